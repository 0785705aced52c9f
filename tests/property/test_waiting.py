"""Replacements and held stops under any order of events: exposure never doubles, a stop is never in two places."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.desk_builders import Market, make_intent, make_plan
from trading_core.commands import Decisions, SubmitOrder
from trading_core.events import CancelAnswered, LocalStopChanged, OrderAccepted, OrderLost, OrderNotFound
from trading_core.order_manager import TrackedOrder
from trading_core.orders import OrderIntent, OrderStatus, OrderType, Purpose, Side
from trading_core.waiting import HeldStop

SIZE = Decimal("0.01")
deeds = st.lists(
    st.tuples(st.sampled_from(["accept", "lose", "absent", "fill", "book", "cancelled", "refuse", "tick", "replace"]),
              st.integers(0, 3)), max_size=30,
)


def sent(decisions: Decisions) -> list[OrderIntent]:
    return [c.order.intent for c in decisions.commands if isinstance(c, SubmitOrder)]


class Quote:
    """One quote that is replaced again and again, while a venue answers in any order."""

    def __init__(self) -> None:
        self.market = Market(make_plan(risk={"orders_per_minute_max": 1000}))
        self.order = self.market.place(make_intent("0.01", "49000"))
        self.orders = [self.order]
        self.bid = 48_000

    def do(self, deed: str, number: int) -> None:
        market, order = self.market, self.order
        name, now_ns = order.client_order_id, market.now_ns
        filled = order.reported + SIZE * number / 10
        match deed:
            case "accept" if order.status is OrderStatus.SUBMITTED:
                market.feed(OrderAccepted(
                    ts_ns=now_ns, client_order_id=name, order_id=f"v-{name}", latency_ms=Decimal(1)))
            case "lose" if order.status is OrderStatus.SUBMITTED:
                market.feed(OrderLost(ts_ns=now_ns, client_order_id=name, cause="test"))
            case "absent":
                market.feed(OrderNotFound(ts_ns=now_ns, client_order_id=name))
            case "fill" if order.order_id and not order.is_final and filled < order.intent.size:
                market.report(order, OrderStatus.OPEN, str(filled))
            case "book" if order.has_unbooked_fill:
                market.book_fill(order, str(order.unbooked))
            case "cancelled" if order.status is OrderStatus.CANCEL_REQUESTED:
                market.report(order, OrderStatus.CANCELLED, str(order.reported))
            case "refuse" if order.status is OrderStatus.CANCEL_REQUESTED:
                market.feed(CancelAnswered(ts_ns=now_ns, client_order_id=name, is_accepted=False))
            case "tick":
                self.tick()
            case "replace" if not order.is_final and not market.desk.waiting.is_replaced(order):
                self.bid -= 10
                market.desk.waiting.replace(market.desk, order, make_intent("0.01", str(self.bid)), "test")

    def tick(self) -> None:
        known = set(self.market.desk.orders.orders)
        before = self.order
        decisions = self.market.tick(1)
        for name in self.market.desk.orders.orders.keys() - known:
            assert before.is_final, "the successor left although its forerunner may still fill"
            assert not before.has_unbooked_fill
            self.order = self.market.desk.orders.orders[name]
            self.orders.append(self.order)
        assert len(sent(decisions)) <= 1


@given(deeds)
@settings(max_examples=150, deadline=None)
def test_a_replacement_never_doubles_the_exposure(chosen: list[tuple[str, int]]) -> None:
    quote = Quote()
    for deed, number in chosen:
        quote.do(deed, number)
        desk = quote.market.desk
        assert desk.position("BTC-USD") + sum((o.outstanding for o in desk.orders.outstanding()), Decimal(0)) <= SIZE
        assert sum(o.status.may_be_at_venue for o in quote.orders) <= 1


def stop(side: Side) -> OrderIntent:
    """Return a stop-limit 2 % from the market, on the side where it waits."""
    stop_price, limit_price = ("51000", "51020") if side is Side.BUY else ("49000", "48980")
    return make_intent(
        "0.005", limit_price, side, order_type=OrderType.STOP_LIMIT, stop_price=stop_price, post_only=False,
        purpose=Purpose.ENTRY if side is Side.BUY else Purpose.EXIT, reduce_only=side is Side.SELL,
        cancel_after_s=None,
    )


@given(st.booleans(), st.lists(st.sampled_from(["buy", "sell", "up", "down", "drop", "tick", "place"]), max_size=20))
@settings(max_examples=150, deadline=None)
def test_a_stop_is_at_the_venue_or_held_here_and_never_both(is_local: bool, deeds: list[str]) -> None:
    policy = {"local_stops": ("BTC-USD",) if is_local else (), "is_entry_post_only": False}
    market = Market(make_plan(policy=policy, risk={"price_collar_bps": "500", "orders_per_minute_max": 1000}))
    market.buy("0.01")
    stops: list[TrackedOrder | HeldStop] = []
    bid = 5_000_000
    for deed in deeds:
        market.desk.decisions = Decisions()
        match deed:
            case "buy" | "sell":
                answer = market.desk.place_stop(stop(Side.BUY if deed == "buy" else Side.SELL), "test")
                stops += [answer] if isinstance(answer, TrackedOrder | HeldStop) else []
            case "place":
                market.desk.place(stop(Side.SELL), "test")
            case "drop":
                for held in list(market.desk.waiting.stops.values()):
                    market.desk.waiting.drop(market.desk, held)
            case "up" | "down":
                bid = 5_200_000 if deed == "up" else 4_800_000
        decisions = market.desk.decisions
        if deed in ("up", "down", "tick"):
            market.tick(1, with_book=False)
            market.book(bid)
            decisions = market.tick(1, with_book=False)
        orders = sent(decisions)
        told = [r for r in decisions.records if isinstance(r, LocalStopChanged)]
        assert not (is_local and any(o.order_type is OrderType.STOP_LIMIT for o in orders))
        assert is_local or not (told or market.desk.waiting.stops)
        assert len(market.desk.waiting.stops) <= len(stops)
        assert all(s.stop_id not in market.desk.waiting.stops for s in _triggered(told, stops))


def _triggered(told: list[LocalStopChanged], stops: list[TrackedOrder | HeldStop]) -> list[HeldStop]:
    """Return the held stops that were just triggered: none of them waits on."""
    gone = {r.stop_id for r in told if r.change == "TRIGGERED"}
    return [s for s in stops if isinstance(s, HeldStop) and s.stop_id in gone]


def test_a_triggered_stop_leaves_as_a_limit_order_once() -> None:
    market = Market(make_plan(policy={"local_stops": ("BTC-USD",)}, risk={"price_collar_bps": "500"}))
    market.buy("0.01")
    market.desk.decisions = Decisions()
    held = market.desk.place_stop(stop(Side.SELL), "test")
    assert isinstance(held, HeldStop)
    market.tick(1)
    assert len(market.desk.waiting.stops) == 1
    market.book(4_890_000)
    [order] = sent(market.tick(1, with_book=False))
    assert (order.order_type, order.stop_price, order.limit_price) == (OrderType.LIMIT, None, Decimal(48_980))
    assert sent(market.tick(1, with_book=False)) == []


def test_leaving_gives_up_what_waits() -> None:
    market = Market(make_plan(policy={"local_stops": ("BTC-USD",)}))
    order = market.open()
    market.desk.place_stop(stop(Side.BUY), "test")
    market.desk.waiting.replace(market.desk, order, make_intent("0.01", "48000"), "test")
    market.desk.leave()
    market.report(order, OrderStatus.CANCELLED)
    assert sent(market.tick(1)) == []
    assert market.desk.waiting.stops == {}
