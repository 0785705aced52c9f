"""Dry-run pulse: live data that moves, wishes that pass through the desk, and nothing that could be placed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.desk_builders import make_plan
from tests.sim_rig import SimRig
from trading_core.advanced_trade.broker_venue import ReadOnlyVenue
from trading_core.advanced_trade.stream_inprocess import InProcessFeed
from trading_core.clock import NS
from trading_core.engine import make_engine
from trading_core.events import AnyEvent, BookChanged
from trading_core.local_exchange.faults import FaultPlan
from trading_core.orders import OrderIntent
from trading_core.plan import Plan
from trading_core.plan_files import find_plan
from trading_core.ports import Feed
from trading_core.risk import DenialReason
from trading_core.stages import dry_run_pulse
from trading_core.stages.dry_run_pulse import PULSE_S, PulseInput
from trading_core.stages.result import Check, CheckStatus, StageResult, StageStatus
from trading_core.strategies.port import Strategy, load_strategy


def pulse(
    rig: SimRig, feed: Feed | None = None, strategy: Strategy | None = None
) -> StageResult:
    """Run the pulse at the rig's venue."""
    return dry_run_pulse.run(
        PulseInput(
            plan=rig.plan, feed=feed or rig.feed, venue=rig.broker, clock=rig.clock,
            strategy=strategy or load_strategy(rig.plan.entry, 1), engine=make_engine(rig.plan, rig.products, "dry"),
        )
    )


def check_of(result: StageResult, name: str) -> Check:
    return next(c for c in result.checks if c.name == name)


def test_one_cycle_passes_and_nothing_reached_the_venue(tmp_path: Path) -> None:
    rig = SimRig(tmp_path, plan=find_plan("phase2"))
    started_ns = rig.clock.now_ns()
    result = pulse(rig)
    assert result.status is StageStatus.PASSED, result.summary
    assert [c.name for c in result.checks] == ["feed_live", "dry_run_cycle", "stale_blocks"]
    assert rig.exchange.orders(rig.exchange.account_ids()[0]) == []
    assert PULSE_S * NS <= rig.clock.now_ns() - started_ns < (PULSE_S + 5) * NS
    assert DenialReason.STALE_BOOK in check_of(result, "stale_blocks").observed


def test_what_the_pulse_is_given_cannot_place(tmp_path: Path) -> None:
    assert not hasattr(ReadOnlyVenue, "submit")
    assert "broker" not in PulseInput.__slots__


def test_a_stale_feed_fails_and_blocks_the_rest(tmp_path: Path) -> None:
    result = pulse(SimRig(tmp_path, faults=FaultPlan(stale_from_s=0.0)))
    assert result.status is StageStatus.FAILED
    assert [c.status for c in result.checks] == [
        CheckStatus.FAILED, CheckStatus.NOT_EVALUATED, CheckStatus.NOT_EVALUATED
    ]
    assert "BTC-USD 1 changes" in check_of(result, "feed_live").observed
    assert check_of(result, "feed_live").remedy


class NeverMoving(InProcessFeed):
    """A feed that repeats its first book each second: it looks alive and is not."""

    _first: BookChanged | None = None

    def poll(self, deadline_ns: int) -> list[AnyEvent]:
        """Return the first book again and again."""
        events = super().poll(deadline_ns)
        self._first = self._first or next((e for e in events if isinstance(e, BookChanged)), None)
        return [self._first if isinstance(e, BookChanged) and self._first else e for e in events]


def test_a_feed_that_repeats_itself_is_not_data(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)
    result = pulse(rig, NeverMoving(rig.exchange, rig.clock, rig.exchange.account_ids()[0]))
    check = check_of(result, "feed_live")
    assert check.status is CheckStatus.FAILED
    assert check.observed.endswith(" 1 prices")
    assert int(check.observed.split()[1]) >= 2


class Nothing:
    """A strategy that never wants anything."""

    name = "nothing"

    def decide(self, desk: object) -> list[OrderIntent]:
        """Return no wish."""
        return []


def test_a_strategy_that_wants_nothing_is_no_cycle(tmp_path: Path) -> None:
    result = pulse(SimRig(tmp_path), strategy=Nothing())
    assert [c.name for c in result.failed_checks] == ["dry_run_cycle"]
    assert "0 orders would have left" in check_of(result, "dry_run_cycle").observed


@pytest.mark.parametrize("plan", [make_plan(risk={"spread_bps_max": "0"}), make_plan(risk={"leverage_max": "0"})])
def test_a_plan_whose_every_entry_is_denied_is_no_cycle(tmp_path: Path, plan: Plan) -> None:
    result = pulse(SimRig(tmp_path, plan=plan))
    assert [c.name for c in result.failed_checks] == ["dry_run_cycle"]


def test_a_venue_that_does_not_answer_fails_with_the_error(tmp_path: Path) -> None:
    result = pulse(SimRig(tmp_path, faults=FaultPlan(server_error_share=1.0)))
    assert result.status is StageStatus.FAILED
    assert "VenueUnavailable" in check_of(result, "feed_live").observed


def test_the_feed_is_closed_however_the_pulse_ends(tmp_path: Path) -> None:
    rig = SimRig(tmp_path, faults=FaultPlan(server_error_share=1.0))
    pulse(rig)
    assert rig.feed.poll(rig.clock.now_ns() + NS) == []
