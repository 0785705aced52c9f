"""Builders for tests of risk, desk and engine: a small plan, intents, views, and an engine with an open market."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.core_builders import T0_NS, make_product
from trading_core.clock import NS
from trading_core.commands import Decisions
from trading_core.desk import Desk
from trading_core.engine import Engine
from trading_core.events import (
    AccountRead,
    AnyEvent,
    BookChanged,
    ClockTicked,
    FillBooked,
    OrderAccepted,
    OrderReported,
    StateChanged,
    StreamChanged,
    StreamState,
)
from trading_core.order_manager import TrackedOrder
from trading_core.orders import (
    Fill,
    Liquidity,
    OrderIntent,
    OrderStatus,
    OrderType,
    Purpose,
    Side,
    TimeInForce,
    VenueOrder,
)
from trading_core.plan import Plan
from trading_core.products import Product
from trading_core.risk import RiskView
from trading_core.script import Script
from trading_core.trading_state import TradingState

BTC = make_product()
ONE_OF_EACH = {
    "daily_loss": "100", "drift": "1", "staleness_s": "30", "margin_utilization": "0.5", "rate_limit_errors": "0",
    "unexpected_rejections": "3", "consecutive_rejections": "4", "unresolved_orders": "1", "clock_offset_s": "5",
    "margin_call": "0",
}


def make_plan(**changes: Any) -> Plan:
    """Return a plan that trades BTC-USD, up to 0.02 BTC and $1,000; a section that is a dict is merged."""
    sections: dict[str, Any] = {
        "name": "phase2", "title": "A plan of the tests", "description": "BTC-USD only.",
        "products": [{"product_id": "BTC-USD", "max_size": "0.02", "max_notional": "1000", "because": "small"}],
        "entry": {
            "strategy": "trading_core.strategies.post_only_pulse:make", "notional_min": "25", "notional_max": "50",
            "interval_s": 8, "offset_bps": "1",
        },
        "policy": {
            "order_types": ["LIMIT", "STOP_LIMIT"], "time_in_force": ["GTC", "IOC"], "is_entry_post_only": True,
            "auto_cancel_s": 30, "retries_max": 2, "because": "small",
        },
        "risk": {
            "leverage_max": "1", "aggregate_notional_max": "2000", "daily_loss_max": "100", "open_orders_max": 8,
            "orders_per_minute_max": 30, "price_collar_bps": "100", "spread_bps_max": "10", "stale_after_s": "10",
            "pre_funding_quiet_s": 1800, "margin_utilization_max": "0.10",
        },
        "sizing": {"mode": "CONSERVATIVE", "impact_bps_max": "10"},
        "guardrails": [],
        "protocol": {"window_s": 60, "steps": [], "oversize_notional": "100000", "drill_flat_within_s": 60},
        "criteria": [],
        "envelope": {"notional_max": "1000", "aggregate_notional_max": "2000"},
    }
    for key, value in changes.items():
        sections[key] = {**sections[key], **value} if isinstance(value, dict) else value
    return Plan.model_validate(sections)


def make_guardrails(**limits: str) -> list[dict[str, str]]:
    """Return guardrails named after their metrics; all of them at their usual limits if none is named."""
    return [
        {"name": metric, "metric": metric, "limit": limit, "tightens_to": "REDUCE_ONLY", "because": "test"}
        for metric, limit in (limits or ONE_OF_EACH).items()
    ]


def make_intent(
    size: str = "0.01", price: str | None = "50000", side: Side = Side.BUY, *, purpose: Purpose = Purpose.ENTRY,
    order_type: OrderType = OrderType.LIMIT, time_in_force: TimeInForce = TimeInForce.GTC, post_only: bool = True,
    reduce_only: bool = False, stop_price: str | None = None, cancel_after_s: int | None = 30,
    product_id: str = "BTC-USD",
) -> OrderIntent:
    """Return a post-only buy of 0.01 BTC at 50,000."""
    return OrderIntent(
        product_id=product_id, side=side, size=Decimal(size), limit_price=None if price is None else Decimal(price),
        purpose=purpose, order_type=order_type, time_in_force=time_in_force, post_only=post_only,
        reduce_only=reduce_only, stop_price=None if stop_price is None else Decimal(stop_price),
        cancel_after_s=cancel_after_s,
    )


def make_exit(size: str = "0.01", price: str = "50000", side: Side = Side.SELL) -> OrderIntent:
    """Return a reducing IOC."""
    return make_intent(
        size, price, side, purpose=Purpose.EXIT, time_in_force=TimeInForce.IOC, post_only=False, reduce_only=True,
        cancel_after_s=None,
    )


def make_view(plan: Plan | None = None, product: Product = BTC, **changes: Any) -> RiskView:
    """Return a quiet market and an empty account of $10,000; strings become decimals."""
    plan = plan or make_plan()
    fields: dict[str, Any] = {
        "now_ns": T0_NS, "state": TradingState.ACTIVE, "product": product, "limits": plan.products[0],
        "risk": plan.risk, "policy": plan.policy, "mid": "50000", "spread_bps": "2", "staleness_s": "1",
        "position": "0", "resting_entry_size": "0", "resting_exit_size": "0", "aggregate_exposure": "0",
        "equity": "10000", "day_pnl": "0", "open_orders": 0, "orders_last_minute": 0, "has_unresolved": False,
        "has_twin": False, "margin_utilization": "0", "margin_free": "10000", "funding_in_s": None,
        **changes,
    }
    exact = ("mid", "spread_bps", "staleness_s", "position", "resting_entry_size", "resting_exit_size",
             "aggregate_exposure", "equity", "day_pnl", "margin_utilization", "margin_free")
    fields |= {name: Decimal(fields[name]) for name in exact if isinstance(fields[name], str)}
    return RiskView(**fields)


def make_report(
    order: TrackedOrder, status: OrderStatus, filled: str = "0", *, order_id: str = "", fees: str = "0"
) -> OrderReported:
    """Return what the venue would report of the order."""
    return OrderReported(
        ts_ns=T0_NS,
        order=VenueOrder(
            order_id=order_id or f"v-{order.client_order_id}", client_order_id=order.client_order_id,
            product_id=order.intent.product_id, side=order.intent.side, status=status, filled_size=Decimal(filled),
            size=order.intent.size, total_fees=Decimal(fees),
        ),
    )


class Market:
    """An engine with an open book at 50,000.00 / 50,001.00, ACTIVE, fed by hand; time moves only by `tick`."""

    def __init__(
        self, plan: Plan | None = None, script: Script | None = None, *, balances: dict[str, str] | None = None,
        products: tuple[Product, ...] = (BTC,), lots: int = 1_000_000_000, engine: Engine | None = None,
    ) -> None:
        self.balances = balances or {"USD": "10000"}
        chosen = {p.product_id: p for p in products}
        self.engine = engine or Engine(Desk(plan or make_plan(), chosen, "run"), script)
        self.desk = self.engine.desk
        self.now_ns = T0_NS
        self.feed(StreamChanged(ts_ns=self.now_ns, state=StreamState.CONNECTED))
        for product in products:
            self.book(lots=lots, product_id=product.product_id)
        self.state(TradingState.ACTIVE)
        self.account()

    def feed(self, event: AnyEvent) -> Decisions:
        """Let the engine take one event."""
        return self.engine.process(event)

    def book(self, bid: int = 5_000_000, lots: int = 1_000_000_000, product_id: str = "BTC-USD") -> Decisions:
        """Set the book: ten levels of the lots on each side, in ticks of a cent."""
        return self.feed(
            BookChanged(
                ts_ns=self.now_ns, product_id=product_id, is_snapshot=True,
                bids=tuple((bid - n * 10, lots) for n in range(10)),
                asks=tuple((bid + 100 + n * 10, lots) for n in range(10)),
            )
        )

    def state(self, state: TradingState) -> Decisions:
        """Change the trading state."""
        return self.feed(StateChanged(ts_ns=self.now_ns, state=state, reason="test", actor="test"))

    def account(self, **changes: Any) -> Decisions:
        """Read the account, as the balances say."""
        fields: dict[str, Any] = {
            "balances": {name: Decimal(amount) for name, amount in self.balances.items()}, "positions": {},
            "margin_used": Decimal(0), "margin_available": Decimal(0), "margin_window": "INTRADAY", "open_orders": 0,
            **changes,
        }
        return self.feed(AccountRead(ts_ns=self.now_ns, **fields))

    def tick(self, seconds: float = 1, *, with_book: bool = True) -> Decisions:
        """Let seconds pass, with a fresh book unless the feed is to be silent; then the clock ticks."""
        self.now_ns += int(seconds * NS)
        if with_book:
            self.book()
        return self.feed(ClockTicked(ts_ns=self.now_ns))

    def place(self, intent: OrderIntent | None = None) -> TrackedOrder:
        """Place an order that the desk approves."""
        self.desk.decisions = Decisions()
        answer = self.desk.place(intent or make_intent(price="49000"), "test")
        assert isinstance(answer, TrackedOrder), answer
        return answer

    def open(self, intent: OrderIntent | None = None) -> TrackedOrder:
        """Place an order and let the venue accept it."""
        order = self.place(intent)
        self.feed(
            OrderAccepted(
                ts_ns=self.now_ns, client_order_id=order.client_order_id, order_id=f"v-{order.client_order_id}",
                latency_ms=Decimal(50),
            )
        )
        return order

    def report(self, order: TrackedOrder, status: OrderStatus, filled: str = "0") -> Decisions:
        """Let the venue report the order."""
        return self.feed(make_report(order, status, filled))

    def book_fill(self, order: TrackedOrder, size: str, entry_id: str = "", price: str = "") -> Decisions:
        """Let the fills endpoint confirm a fill."""
        chosen = Decimal(price) if price else (order.intent.limit_price or Decimal(50000))
        return self.feed(
            FillBooked(
                ts_ns=self.now_ns,
                fill=Fill(
                    entry_id=entry_id or f"e-{order.client_order_id}-{len(order.fills)}", trade_id="t",
                    order_id=order.order_id, product_id=order.intent.product_id, side=order.intent.side,
                    price=chosen, size=Decimal(size), commission=Decimal(0), liquidity=Liquidity.MAKER,
                    ts_ns=self.now_ns,
                ),
            )
        )

    def fill(self, order: TrackedOrder, size: str = "") -> None:
        """Fill the order, whole unless a size is given, and book it."""
        part = Decimal(size) if size else order.intent.size
        status = OrderStatus.FILLED if part == order.intent.size else OrderStatus.OPEN
        self.report(order, status, str(part))
        self.book_fill(order, str(part - order.booked))

    def buy(self, size: str = "0.01") -> TrackedOrder:
        """Hold a position of this size, bought at 50,000."""
        order = self.open(make_intent(size))
        self.fill(order)
        return order
