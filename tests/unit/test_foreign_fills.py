"""What somebody else trades on the account, above all the venue: booked, told, and nothing is closed twice."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.desk_builders import Market, make_guardrails, make_intent, make_plan
from trading_core.commands import CancelOrder, FetchFills, SubmitOrder, TightenState
from trading_core.events import AlertRaised, FillBooked, GuardrailTripped, OrderAccepted, OrderReported, OrderSubmitted
from trading_core.orders import Fill, Liquidity, OrderStatus, OrderType, Purpose, Side, VenueOrder
from trading_core.trading_state import TradingState

THEIRS = VenueOrder(
    order_id="v-9", client_order_id="liquidation-1", product_id="BTC-USD", side=Side.SELL,
    status=OrderStatus.FILLED, filled_size=Decimal("0.01"), size=Decimal("0.01"),
)


def sold_by(market: Market, order_id: str = "v-9", ts_ns: int | None = None) -> FillBooked:
    """Return the fill that closes what was bought."""
    return FillBooked(
        ts_ns=market.now_ns,
        fill=Fill(
            entry_id="e-9", trade_id="t", order_id=order_id, product_id="BTC-USD", side=Side.SELL,
            price=Decimal(50_000), size=Decimal("0.01"), commission=Decimal(0), liquidity=Liquidity.TAKER,
            ts_ns=market.now_ns if ts_ns is None else ts_ns,
        ),
    )


def test_what_the_venue_liquidated_is_booked_and_no_exit_follows_it() -> None:
    market = Market()
    market.buy("0.01")
    told = market.feed(OrderReported(ts_ns=market.now_ns, order=THEIRS))
    assert [c for c in told.commands if isinstance(c, FetchFills)] == [FetchFills("v-9")]
    market.feed(sold_by(market))
    assert market.desk.position("BTC-USD") == 0
    assert market.desk.exit("BTC-USD", Purpose.EXIT, "test") is None


def test_an_exit_that_rests_when_the_venue_closes_the_position_is_cancelled() -> None:  # seed 376 of the simulation
    market = Market()
    market.buy("0.01")
    resting = market.open(make_intent(price="50100", side=Side.SELL, reduce_only=True))
    market.feed(OrderReported(ts_ns=market.now_ns, order=THEIRS))
    told = market.feed(sold_by(market))
    assert [c for c in told.commands if isinstance(c, CancelOrder)] == [
        CancelOrder(resting.client_order_id, resting.order_id)
    ]


def test_an_exit_that_the_venue_took_after_it_closed_the_position_is_cancelled() -> None:
    market = Market()
    market.buy("0.01")
    sent = market.place(make_intent(price="50100", side=Side.SELL, reduce_only=True))
    market.feed(OrderReported(ts_ns=market.now_ns, order=THEIRS))
    market.feed(sold_by(market))
    market.feed(
        OrderAccepted(ts_ns=market.now_ns, client_order_id=sent.client_order_id, order_id="v-1", latency_ms=Decimal(5))
    )
    assert CancelOrder(sent.client_order_id, "v-1") in market.tick().commands


def test_an_exit_that_others_left_something_to_close_stays() -> None:
    market = Market()
    market.buy("0.02")
    market.open(make_intent(size="0.01", price="50100", side=Side.SELL, reduce_only=True))
    market.feed(OrderReported(ts_ns=market.now_ns, order=THEIRS))
    told = market.feed(sold_by(market))
    assert not any(isinstance(command, CancelOrder) for command in [*told.commands, *market.tick().commands])


def test_somebody_elses_fill_ends_entries_and_is_told_once() -> None:
    market = Market()
    decisions = [market.feed(OrderReported(ts_ns=market.now_ns, order=THEIRS)) for _ in range(2)]
    alerts = [r for d in decisions for r in d.records if isinstance(r, AlertRaised)]
    assert [(a.name, a.severity) for a in alerts] == [("foreign_fill", "CRITICAL")]
    tightened = [c.state for d in decisions for c in d.commands if isinstance(c, TightenState)]
    assert tightened == [TradingState.REDUCE_ONLY]


@pytest.mark.parametrize(
    "changes",
    [
        {"filled_size": Decimal(0)},  # it rests: the account's figures are what they were
        {"product_id": "DOGE-USD"},  # not a product of this run
        {"client_order_id": "", "order_type": OrderType.BRACKET},  # perhaps the bracket of an entry of ours
    ],
)
def test_an_order_that_takes_nothing_from_this_run_changes_nothing(changes: dict[str, object]) -> None:
    market = Market()
    told = market.feed(OrderReported(ts_ns=market.now_ns, order=msgspec.structs.replace(THEIRS, **changes)))
    assert (told.records, told.commands) == ([], [])


def test_a_fill_of_before_the_books_were_opened_is_in_the_opening_figures() -> None:
    market = Market()
    market.buy("0.01")
    market.feed(OrderReported(ts_ns=market.now_ns, order=THEIRS))
    market.feed(sold_by(market, ts_ns=market.now_ns - 1))
    assert market.desk.position("BTC-USD") == Decimal("0.01")


def test_no_order_of_the_same_tick_leaves_ahead_of_a_guardrail() -> None:
    plan = make_plan(
        guardrails=[g | {"tightens_to": "HALTED"} for g in make_guardrails(drift="1")],
        policy={"local_stops": ["BTC-USD"], "is_entry_post_only": False},
    )
    market = Market(plan)
    stop = make_intent(
        price="50100", stop_price="50000", order_type=OrderType.STOP_LIMIT, post_only=False, purpose=Purpose.PROBE_STOP
    )
    market.desk.place_stop(stop, "test")
    market.engine.drift = Decimal(2)
    decisions = market.tick()
    assert any(isinstance(record, GuardrailTripped) for record in decisions.records)
    assert not any(isinstance(record, OrderSubmitted) for record in decisions.records)
    assert not any(isinstance(command, SubmitOrder) for command in decisions.commands)
