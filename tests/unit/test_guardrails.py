"""Guardrails: each trips beyond its limit and not at it, once, and says how well it was watched."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from tests.desk_builders import Market, make_guardrails, make_intent, make_plan
from tests.sim_rig import SimRig
from tests.unit.test_engine import lose, reject
from trading_core.clock import NS
from trading_core.commands import Decisions, TightenState
from trading_core.desk import Desk
from trading_core.events import (
    GuardrailTripped,
    GuardrailWatched,
    OrderAccepted,
    RunEnding,
    StreamChanged,
    StreamState,
    VenueFailed,
)
from trading_core.guardrails import READERS
from trading_core.local_exchange.faults import FaultPlan
from trading_core.moves import away_order
from trading_core.plan import GuardrailMetric
from trading_core.script import Script, Until
from trading_core.trading_state import TradingState


def guarded(**limits: str) -> Market:
    return Market(make_plan(guardrails=make_guardrails(**limits),
                            protocol={"snapshot_every_s": 100_000, "save_every_s": 100_000}))


def trips(decisions: Decisions) -> list[str]:
    return [e.name for e in decisions.records if isinstance(e, GuardrailTripped)]


def test_a_quiet_market_trips_nothing() -> None:
    market = guarded()
    assert [trips(market.tick()) for _ in range(60)] == [[]] * 60


@pytest.mark.parametrize(
    ("metric", "at", "beyond"),
    [
        ("clock_offset_s", {"clock_offset_s": Decimal(5)}, {"clock_offset_s": Decimal("5.001")}),
        ("clock_offset_s", {"clock_offset_s": Decimal(-5)}, {"clock_offset_s": Decimal("-5.001")}),
        ("margin_call", {"margin_level": "WARNING"}, {"margin_level": "DANGER"}),
        ("margin_call", {"margin_level": "BASE"}, {"margin_level": "LIQUIDATION"}),
        (
            "margin_utilization", {"margin_used": Decimal(50), "margin_available": Decimal(50)},
            {"margin_used": Decimal(51), "margin_available": Decimal(49)},
        ),
        (
            "drift", {"balances": {"USD": Decimal("10001")}}, {"balances": {"USD": Decimal("10001.01")}},
        ),
    ],
)
def test_a_figure_of_the_account_trips_beyond_its_limit_and_not_at_it(
    metric: str, at: dict[str, object], beyond: dict[str, object]
) -> None:
    market = guarded()
    market.account(**at)
    assert trips(market.tick()) == []
    market.account(**beyond)
    decisions = market.tick()
    assert trips(decisions) == [metric]
    assert [c.state for c in decisions.commands if isinstance(c, TightenState)] == [TradingState.REDUCE_ONLY]
    assert market.desk.state is TradingState.REDUCE_ONLY
    assert trips(market.tick()) == []


@pytest.mark.parametrize(("metric", "limit"), [("unexpected_rejections", 3), ("consecutive_rejections", 4)])
def test_rejections_trip_beyond_their_number(metric: str, limit: int) -> None:
    market = guarded(**{metric: str(limit)})
    for _ in range(limit):
        reject(market, is_expected=True)
        reject(market)
    assert trips(market.tick()) == []
    reject(market)
    assert trips(market.tick()) == [metric]


def test_five_rejections_of_one_symbol_trip_whatever_another_symbol_gets(tmp_path: Path) -> None:
    sol = {"product_id": "SOL-USD", "max_size": "10", "max_notional": "1000", "because": "small"}
    plan = make_plan(
        guardrails=make_guardrails(consecutive_rejections="4"),
        products=[*make_plan().model_dump(mode="json")["products"], sol],
    )
    rig = SimRig(tmp_path, plan=plan, faults=FaultPlan(reject_share=1.0, reject_products=("SOL-USD",)))
    with rig.session(taking_turns) as session:
        session.run(rig.clock.now_ns() + 120 * NS)
        assert session.is_over
    (trip,) = rig.log.of(GuardrailTripped)
    assert (trip.observed, trip.detail) == ("5", "SOL-USD, the venue's last reason: INSUFFICIENT_FUND")
    assert len(rig.log.of(OrderAccepted)) >= 4


def taking_turns(desk: Desk) -> Script:
    """Place on one symbol, then on the other, far from the market."""
    for _ in range(10):
        for product_id in ("BTC-USD", "SOL-USD"):
            desk.place(away_order(desk, product_id), "test")
            yield Until(lambda: False, desk.now_ns + 3 * NS)
            desk.cancel_all("test")
            yield Until(lambda: False, desk.now_ns + 2 * NS)


def test_an_accepted_order_ends_a_row_of_rejections() -> None:
    market = guarded(consecutive_rejections="4")
    for _ in range(4):
        reject(market)
    market.open(make_intent("0.0001", "30000"))
    reject(market)
    assert trips(market.tick()) == []


def test_one_rate_limit_error_trips_and_another_failure_does_not() -> None:
    market = guarded(rate_limit_errors="0")
    market.feed(VenueFailed(ts_ns=market.now_ns, kind="VenueUnavailable", detail=""))
    assert trips(market.tick()) == []
    market.feed(VenueFailed(ts_ns=market.now_ns, kind="RateLimited", detail=""))
    assert trips(market.tick()) == ["rate_limit_errors"]


def test_a_second_unresolved_order_trips() -> None:
    market = guarded(unresolved_orders="1")
    first, second = market.place(make_intent("0.001")), market.place(make_intent("0.001", "48000"))
    lose(market, first)
    assert trips(market.tick()) == []
    lose(market, second)
    assert trips(market.tick()) == ["unresolved_orders"]


def test_a_loss_beyond_the_days_limit_trips() -> None:
    market = guarded(daily_loss="100")
    market.tick()
    market.buy("0.01")
    market.book(bid=4_000_000 - 50)  # the middle is 40,000: down by exactly $100
    market.tick(1, with_book=False)
    assert trips(market.tick(1, with_book=False)) == []
    market.book(bid=4_000_000 - 51)
    assert trips(market.tick(1, with_book=False)) + trips(market.tick(1, with_book=False)) == ["daily_loss"]


@pytest.mark.parametrize("is_down", [True, False])
def test_silence_trips_beyond_thirty_seconds_also_when_the_stream_is_known_to_be_down(is_down: bool) -> None:
    market = guarded(staleness_s="30")
    if is_down:
        market.feed(StreamChanged(ts_ns=market.now_ns, state=StreamState.DISCONNECTED))
    assert trips(market.tick(30, with_book=False)) == []
    assert trips(market.tick(0.001, with_book=False)) == ["staleness_s"]


def test_how_well_each_guardrail_was_watched_is_told_at_the_end() -> None:
    market = guarded(drift="1", clock_offset_s="5")
    for seconds in (1, 2, 7):
        market.tick(seconds)
    market.now_ns += 9 * NS
    ended = market.feed(RunEnding(ts_ns=market.now_ns, reason="test"))
    watched = {e.name: e for e in ended.records if isinstance(e, GuardrailWatched)}
    assert (watched["drift"].evaluations, watched["drift"].longest_gap_s) == (3, 9)
    assert (watched["clock_offset_s"].evaluations, watched["clock_offset_s"].worst) == (0, None)


def test_each_metric_that_a_plan_may_name_can_be_read() -> None:
    assert READERS.keys() == set(get_args(GuardrailMetric))
