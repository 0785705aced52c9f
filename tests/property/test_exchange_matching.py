"""Whatever two accounts do, the local exchange never crosses, never overfills and never makes or loses money."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, initialize, invariant, multiple, rule

from trading_core.clock import NS
from trading_core.local_exchange.config import AccountConfig, ExchangeConfig
from trading_core.local_exchange.editing import EditRequest
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.model import (
    Attached,
    ExchangeOrder,
    FillMade,
    NewOrder,
    OrderChanged,
    OrderConfig,
    Refusal,
    Scaled,
    WireStatus,
)
from trading_core.orders import Liquidity, Side

START_NS = 1_795_230_000 * NS
PRODUCTS = ("BTC-USD", "XRP-USD", "SLP-20DEC30-CDE")
ACCOUNTS = ("first", "second")
CONFIGS = (
    OrderConfig.LIMIT_GTC,
    OrderConfig.LIMIT_GTD,
    OrderConfig.LIMIT_IOC,
    OrderConfig.LIMIT_FOK,
    OrderConfig.STOP_LIMIT_GTC,
    OrderConfig.TRIGGER_BRACKET_GTC,
    OrderConfig.MARKET_IOC,
    OrderConfig.TWAP,
    OrderConfig.SCALED,
)
RESTING = (OrderConfig.LIMIT_GTC, OrderConfig.LIMIT_GTD)


class Matching(RuleBasedStateMachine):
    """Two accounts trade three products around the touch, in every way, for some minutes."""

    orders: Bundle[tuple[str, str]] = Bundle("orders")

    @initialize(seed=st.integers(0, 50), day=st.sampled_from(["calm", "volatile"]), minute=st.integers(0, 1439))
    def open_exchange(self, seed: int, day: str, minute: int) -> None:
        balances = {"USD": Decimal(60_000), "BTC": Decimal("0.5"), "XRP": Decimal(20_000)}
        self.exchange = LocalExchange(
            ExchangeConfig.model_validate(
                {
                    "start_ns": START_NS,
                    "seed": seed,
                    "day": day,
                    "start_minute": minute,
                    "products": PRODUCTS,
                    "accounts": [AccountConfig(account_id=name, balances=balances) for name in ACCOUNTS],
                }
            )
        )
        self.totals = self.exchange.value_totals()
        self.count = 0
        self.joined: dict[str, int] = {}  # order id → when it last took its place in the queue
        self.places = 0

    @rule(
        target=orders,
        account=st.sampled_from(ACCOUNTS),
        product_id=st.sampled_from(PRODUCTS),
        side=st.sampled_from(Side),
        config=st.sampled_from(CONFIGS),
        offset=st.integers(-40, 40),
        stop_offset=st.integers(-400, 400),
        notional=st.integers(1, 40_000),
        post_only=st.booleans(),
    )
    def create(
        self,
        account: str,
        product_id: str,
        side: Side,
        config: OrderConfig,
        offset: int,
        stop_offset: int,
        notional: int,
        post_only: bool,
    ) -> tuple[str, str] | MultipleResults[tuple[str, str]]:
        product, last = self.exchange.product(product_id), self.exchange.last_price(product_id)
        price = last + offset * product.price_increment * (10 if product_id == "BTC-USD" else 1)
        by_quote = config is OrderConfig.MARKET_IOC and side is Side.BUY and product.venue == "CBE"
        self.count += 1
        request = NewOrder(
            client_order_id=f"c{self.count}",
            product_id=product_id,
            side=side,
            config=config,
            base_size=None if by_quote else product.size_for(Decimal(notional), last),
            quote_size=Decimal(notional) if by_quote else None,
            limit_price=None if config is OrderConfig.MARKET_IOC else price,
            stop_price=last + stop_offset * product.price_increment if config.is_stop or config.is_bracket else None,
            post_only=post_only and config in RESTING,
            end_ns=self.exchange.now_ns + 40 * NS if config.has_end_time else None,
            start_ns=self.exchange.now_ns,
            buckets=4, bucket_ns=10 * NS,
            scaled=Scaled(count=3, min_price=price, max_price=price + 60 * product.price_increment),
            attached=self.guard(product_id, side, last) if config in RESTING and not post_only else None,
        )
        answer = self.exchange.create_order(account, request)
        self.check_events(self.exchange.advance(self.exchange.now_ns))
        if isinstance(answer, Refusal):
            return multiple()
        assert self.exchange.create_order(account, request).order_id == answer.order_id  # type: ignore[union-attr]
        if config in RESTING:
            self.places += 1
            self.joined[answer.order_id] = self.places
        return (account, answer.order_id)

    def guard(self, product_id: str, side: Side, last: Decimal) -> Attached | None:
        """Return a bracket of two per cent around the market, where the venue allows one."""
        product = self.exchange.product(product_id)
        if side is Side.SELL and product.venue == "CBE":
            return None
        distance = product.round_price(last / 50, Side.BUY) * side.sign
        return Attached(limit_price=last + distance, stop_price=last - distance)

    @rule(order=orders)
    def cancel(self, order: tuple[str, str]) -> None:
        account, order_id = order
        was_live = self.exchange.order(account, order_id).status.is_live
        result = self.exchange.cancel(account, [order_id])[0]
        assert result.success == was_live
        assert not self.exchange.order(account, order_id).status.is_live

    @rule(order=orders, offset=st.integers(-40, 40), percent=st.integers(20, 200))
    def edit(self, order: tuple[str, str], offset: int, percent: int) -> None:
        account, order_id = order
        before = self.exchange.order(account, order_id)
        product = self.exchange.product(before.request.product_id)
        if before.limit_price is None:
            return
        price = before.limit_price + offset * product.price_increment
        size = product.round_size(before.size * percent / 100)
        answer = self.exchange.edit(account, order_id, EditRequest(price=price, size=size))
        if answer.success and (price != before.limit_price or size > before.size):
            self.places += 1
            self.joined[order_id] = self.places
        self.check_events(self.exchange.advance(self.exchange.now_ns))

    @rule(seconds=st.sampled_from([0.05, 0.1, 1.0, 7.3, 30.0, 90.0]))
    def wait(self, seconds: float) -> None:
        self.check_events(self.exchange.advance(self.exchange.now_ns + int(seconds * NS)))

    def check_events(self, events: Sequence[object]) -> None:
        """Each order only grows; a resting order fills only when no older one stands before it."""
        for event in events:
            if isinstance(event, OrderChanged):
                assert event.order.filled_size <= event.order.size
            if isinstance(event, FillMade):
                assert event.fill.size > 0
                if event.fill.liquidity is Liquidity.MAKER:
                    self.check_priority(event)

    def check_priority(self, event: FillMade) -> None:
        filled = self.exchange.order(event.account_id, event.fill.order_id)
        place = self.joined.get(filled.order_id)
        if place is None or filled.limit_price != event.fill.price:
            return
        for name in ACCOUNTS:
            for other in self.exchange.open_orders(name):
                is_same_queue = (
                    other.request.product_id == event.fill.product_id
                    and other.request.side is event.fill.side
                    and other.order_id in self.joined
                    and other.updated_ns < event.ts_ns
                    and other.order_id != filled.order_id
                )
                if is_same_queue:
                    assert not self.stands_before(other, filled, place)

    def stands_before(self, other: ExchangeOrder, filled: ExchangeOrder, place: int) -> bool:
        assert other.limit_price is not None
        assert filled.limit_price is not None
        advantage = (other.limit_price - filled.limit_price) * filled.request.side.sign
        return advantage > 0 or (advantage == 0 and self.joined[other.order_id] < place)

    @invariant()
    def the_book_never_crosses(self) -> None:
        for product_id in PRODUCTS:
            book = self.exchange.book(product_id, 5)
            assert book.bids
            assert book.asks
            assert book.bids[0][0] < book.asks[0][0]
            assert all(size > 0 for _, size in book.bids + book.asks)

    @invariant()
    def no_currency_is_made_or_lost(self) -> None:
        assert self.exchange.value_totals() == self.totals

    @invariant()
    def holds_are_the_sum_of_the_open_orders_holds(self) -> None:
        for name in ACCOUNTS:
            held = {b.currency: b.hold for b in self.exchange.balances(name)}
            orders = self.exchange.orders(name)
            for currency, amount in held.items():
                assert amount == sum((o.hold for o in orders if o.hold_currency == currency), Decimal(0))
            assert all(o.hold == 0 for o in orders if not o.status.is_live)

    @invariant()
    def spot_balances_stay_above_zero(self) -> None:
        for name in ACCOUNTS:
            for balance in self.exchange.balances(name):
                if balance.currency != "USD" or not self.exchange.positions(name):
                    assert balance.available >= 0 or balance.currency == "USD", balance

    @invariant()
    def fills_add_up_to_their_orders(self) -> None:
        for name in ACCOUNTS:
            filled: dict[str, Decimal] = {}
            fees: dict[str, Decimal] = {}
            for fill in self.exchange.fills(name):
                filled[fill.order_id] = filled.get(fill.order_id, Decimal(0)) + fill.size
                fees[fill.order_id] = fees.get(fill.order_id, Decimal(0)) + fill.commission
            for order in self.exchange.orders(name):
                assert order.filled_size == filled.get(order.order_id, Decimal(0))
                assert order.total_fees == fees.get(order.order_id, Decimal(0))
                assert (order.status is WireStatus.FILLED) <= (order.filled_size == order.size)


TestMatching = Matching.TestCase
TestMatching.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
