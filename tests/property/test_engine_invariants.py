"""The engine against a venue that answers late, twice, out of order or not at all: what must hold whatever happens."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.desk_builders import Market, make_intent, make_plan
from trading_core.clock import NS
from trading_core.commands import AskOrder, CancelOrder, Decisions, FetchFills, SubmitOrder
from trading_core.events import (
    AnyEvent,
    CancelAnswered,
    FillBooked,
    OrderAccepted,
    OrderLost,
    OrderNotFound,
    OrderRejected,
    OrderReported,
    RunEnding,
    StreamChanged,
    StreamState,
)
from trading_core.orders import Fill, Liquidity, OrderIntent, OrderStatus, Purpose, Side, TimeInForce, VenueOrder
from trading_core.trading_state import TradingState

ZERO = Decimal(0)
MAX_SIZE = Decimal("0.02")
LOT = Decimal("0.001")
OWN_COINS = Decimal(3)  # of the account, not of the run: must never be sold
PLAN = make_plan(
    risk={"open_orders_max": 5, "orders_per_minute_max": 12},
    protocol={"snapshot_every_s": 7, "save_every_s": 100_000},
)


@dataclass
class Truth:
    """An order as the venue has it. `told` are the reports that may still arrive, in any order."""

    intent: OrderIntent
    order_id: str
    client_order_id: str
    arrived: bool
    status: OrderStatus = OrderStatus.OPEN
    fills: list[Fill] = field(default_factory=list)
    told: list[VenueOrder] = field(default_factory=list)

    @property
    def filled(self) -> Decimal:
        return sum((f.size for f in self.fills), ZERO)

    @property
    def left(self) -> Decimal:
        return self.intent.size - self.filled if self.arrived and self.status is OrderStatus.OPEN else ZERO

    def snapshot(self) -> VenueOrder:
        return VenueOrder(
            order_id=self.order_id, client_order_id=self.client_order_id, product_id="BTC-USD",
            side=self.intent.side, status=self.status, filled_size=self.filled, size=self.intent.size,
        )


class World:
    """A market, a venue that tells the truth late, and a naive account of what really happened."""

    def __init__(self) -> None:
        self.market = Market(PLAN, balances={"USD": "10000", "BTC": str(OWN_COINS)})
        self.orders: list[Truth] = []
        self.booked: dict[str, Fill] = {}
        self.sent_ns: list[int] = []

    # ── what is true ────────────────────────────────────────────────────────────────────────────
    def position(self) -> Decimal:
        return sum((f.size * f.side.sign for o in self.orders for f in o.fills), ZERO)

    def resting(self, side: Side) -> Decimal:
        return sum((o.left for o in self.orders if o.intent.side is side), ZERO)

    # ── what the engine wants, done or lost ─────────────────────────────────────────────────────
    def obey(self, decisions: Decisions, fate: str) -> None:
        for command in decisions.commands:
            match command:
                case SubmitOrder(order=order):
                    self.send(order.client_order_id, order.intent, fate)
                case CancelOrder(order_id=order_id):
                    self.cancel(order_id, fate)
                case AskOrder():
                    self.answer(command, fate)
                case FetchFills(order_id=order_id) if fate != "lost":
                    self.tell_fills(next(o for o in self.orders if o.order_id == order_id))
                case _:
                    pass

    def send(self, client_order_id: str, intent: OrderIntent, fate: str) -> None:
        self.check_may_leave(intent)
        self.sent_ns.append(self.market.now_ns)
        now_ns, number = self.market.now_ns, len(self.orders)
        order = Truth(intent, f"v{number}", client_order_id, arrived=fate not in ("rejected", "lost"))
        self.orders.append(order)
        match fate:
            case "rejected":
                self.feed(OrderRejected(ts_ns=now_ns, client_order_id=client_order_id, reason="X", is_expected=True))
            case "lost" | "unanswered":
                self.feed(OrderLost(ts_ns=now_ns, client_order_id=client_order_id, cause="no answer"))
            case _:
                self.feed(OrderAccepted(
                    ts_ns=now_ns, client_order_id=client_order_id, order_id=order.order_id, latency_ms=ZERO
                ))

    def check_may_leave(self, intent: OrderIntent) -> None:
        state, position = self.market.desk.state, self.position()
        assert state is not TradingState.HALTED
        if state is TradingState.REDUCE_ONLY or intent.side is Side.SELL:
            assert intent.side is Side.SELL
            assert intent.size <= position - self.resting(Side.SELL), "would sell more than there is"
        assert self.market.desk.mark("BTC-USD") is not None

    def cancel(self, order_id: str, fate: str) -> None:
        order = next(o for o in self.orders if o.order_id == order_id)
        if fate == "lost":
            return  # taken, and forgotten
        is_taken = fate != "rejected" and order.status is OrderStatus.OPEN
        if is_taken:
            self.end(order, OrderStatus.CANCELLED)
        answer = CancelAnswered(
            ts_ns=self.market.now_ns, client_order_id=order.client_order_id, is_accepted=is_taken
        )
        self.obey(self.feed(answer), "fine")

    def answer(self, asked: AskOrder, fate: str) -> None:
        order = next(o for o in self.orders if o.client_order_id == asked.client_order_id)
        if fate == "lost":
            return
        if order.arrived:
            self.obey(self.feed(OrderReported(ts_ns=self.market.now_ns, order=order.snapshot())), fate)
        elif not asked.order_id:
            self.feed(OrderNotFound(ts_ns=self.market.now_ns, client_order_id=order.client_order_id))

    # ── what the venue does and tells ───────────────────────────────────────────────────────────
    def trade(self, order: Truth, lots: int) -> None:
        size = min(LOT * lots, order.left)
        if size <= 0:
            return
        order.told.append(order.snapshot())
        order.fills.append(
            Fill(
                entry_id=f"{order.order_id}-{len(order.fills)}", trade_id="t", order_id=order.order_id,
                product_id="BTC-USD", side=order.intent.side, price=order.intent.limit_price or Decimal(50000),
                size=size, commission=Decimal("0.01"), liquidity=Liquidity.MAKER, ts_ns=self.market.now_ns,
            )
        )
        if order.left == 0:
            self.end(order, OrderStatus.FILLED)

    def end(self, order: Truth, status: OrderStatus) -> None:
        order.told.append(order.snapshot())
        order.status = status
        order.told.append(order.snapshot())

    def tell(self, order: Truth, which: int, fate: str) -> None:
        if order.arrived and order.told:
            report = order.told[which % len(order.told)]
            self.obey(self.feed(OrderReported(ts_ns=self.market.now_ns, order=report)), fate)

    def tell_fills(self, order: Truth) -> None:
        for fill in order.fills:
            self.booked[fill.entry_id] = fill
            self.feed(FillBooked(ts_ns=self.market.now_ns, fill=fill))

    def feed(self, event: AnyEvent) -> Decisions:
        return self.market.feed(event)

    # ── what must hold ──────────────────────────────────────────────────────────────────────────
    def check(self) -> None:
        desk, position = self.market.desk, self.position()
        assert position >= 0, "coins of the account were sold"
        assert position + self.resting(Side.BUY) <= MAX_SIZE, "the size cap was exceeded"
        assert self.resting(Side.SELL) <= position, "more is offered than there is"
        assert len(desk.orders.live()) <= 5 + 1  # an exit may come on top
        minute = [ns for ns in self.sent_ns if ns > self.market.now_ns - 60 * NS]
        assert len(minute) <= 12 + sum(o.intent.side is Side.SELL for o in self.orders)
        self.check_books()

    def check_books(self) -> None:
        ledger = self.market.desk.ledger
        assert ledger is not None
        ledger.check()
        fills = self.booked.values()
        cash = Decimal(10000) - sum((f.size * f.price * f.side.sign + f.commission for f in fills), ZERO)
        coins = OWN_COINS + sum((f.size * f.side.sign for f in fills), ZERO)
        balances = ledger.expected_balances()
        assert abs(balances["USD"] - cash) < Decimal("1E-9")
        assert balances["BTC"] == coins


fates = st.sampled_from(["fine", "fine", "fine", "rejected", "lost", "unanswered"])
number = st.integers(0, 40)
deeds = st.one_of(
    st.tuples(st.just("buy"), number, fates),
    st.tuples(st.just("buy"), number, fates),
    st.tuples(st.just("sell"), number, fates),
    st.tuples(st.just("exit"), number, fates),
    st.tuples(st.just("fill"), number, fates),
    st.tuples(st.just("fill"), number, fates),
    st.tuples(st.just("report"), number, fates),
    st.tuples(st.just("book"), number, fates),
    st.tuples(st.just("tick"), number, fates),
    st.tuples(st.sampled_from(["gap", "connect", "book_moves", "active", "reduce_only", "halted", "cancel", "die"]),
              number, fates),
)


def do(world: World, deed: str, n: int, fate: str) -> None:
    """Let one thing happen."""
    market = world.market
    order = world.orders[n % len(world.orders)] if world.orders else None
    match deed:
        case "buy" | "sell" | "exit":
            market.desk.decisions = Decisions()
            market.desk.place(intent_of(deed, n), "test")
            world.obey(market.desk.decisions, fate)
        case "fill" if order is not None:
            world.trade(order, 1 + n % 7)
        case "die" if order is not None and order.left:
            world.end(order, OrderStatus.EXPIRED)
        case "report" if order is not None:
            world.tell(order, n // 3, fate)
        case "book" if order is not None and market.desk.orders.by_venue_id(order.order_id) is not None:
            world.tell_fills(order)
        case "cancel" if order is not None:
            market.desk.decisions = Decisions()
            market.desk.cancel_all("test")
            world.obey(market.desk.decisions, fate)
        case "tick":
            world.obey(market.tick(n), fate)
        case "gap":
            market.feed(StreamChanged(ts_ns=market.now_ns, state=StreamState.GAP))
        case "connect":
            world.obey(market.feed(StreamChanged(ts_ns=market.now_ns, state=StreamState.CONNECTED)), fate)
            market.book()
        case "book_moves":
            market.book(bid=5_000_000 + 1_000 * (n - 20))
        case "active" | "reduce_only" | "halted":
            world.obey(market.state(TradingState(deed.upper())), fate)
        case _:
            pass


def intent_of(deed: str, n: int) -> OrderIntent:
    size = str(LOT * (1 + n % 25))
    if deed == "buy":
        return make_intent(size, str(48000 + n * 10))
    if deed == "sell":
        return make_intent(size, str(51000 + n * 10), Side.SELL)
    return make_intent(
        size, "50000", Side.SELL, purpose=Purpose.EXIT, reduce_only=True, post_only=False,
        time_in_force=TimeInForce.IOC,
    )


@settings(max_examples=250, deadline=None)
@given(st.lists(deeds, max_size=60))
def test_limits_state_and_books_hold_whatever_the_venue_does(done: list[tuple[str, int, str]]) -> None:
    world = World()
    for deed, n, fate in done:
        do(world, deed, n, fate)
        world.check()


@settings(max_examples=100, deadline=None)
@given(st.lists(deeds, max_size=40))
def test_a_run_that_ends_at_a_venue_that_answers_ends_flat(done: list[tuple[str, int, str]]) -> None:
    world = World()
    for deed, n, fate in done:
        do(world, deed, n, fate)
    market = world.market
    do(world, "connect", 0, "fine")
    world.obey(market.state(TradingState.REDUCE_ONLY), "lost")
    world.obey(market.feed(RunEnding(ts_ns=market.now_ns, reason="test")), "fine")
    for _ in range(60):
        for order in world.orders:
            if order.left and order.intent.time_in_force is TimeInForce.IOC:
                world.trade(order, 100)
        world.obey(market.tick(2), "fine")
        world.check()
    assert market.desk.is_flat()
    assert world.position() * 50_000 < 1
