"""The live micro test as a stage: a result whatever happened, and a check for each step also if it never began."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim_rig import ListLog, SimRig, failing_log
from trading_core.errors import ConfigurationError
from trading_core.events import CancelRequested, OrderAccepted, SizedDown
from trading_core.local_exchange.faults import PRESETS, FaultPlan
from trading_core.orders import Purpose
from trading_core.plan import Plan
from trading_core.plan_files import find_plan
from trading_core.protocol import check_steps
from trading_core.run import RunContext, VenueName
from trading_core.stages import live_micro_test
from trading_core.stages.live_micro_test import MicroTestInput
from trading_core.stages.result import Check, CheckStatus, StageResult, StageStatus
from trading_core.strategies.port import load_strategy

STEPS = find_plan("phase2").protocol.steps


def short_plan(**changes: object) -> Plan:
    """Return phase 2 with a minute of trading."""
    plan = find_plan("phase2")
    return plan.model_copy(update={"protocol": plan.protocol.model_copy(update={"window_s": 60, **changes})})


def run(folder: Path, faults: FaultPlan | None = None, log: ListLog | None = None) -> tuple[StageResult, SimRig]:
    """Run the stage on a simulated venue."""
    rig = SimRig(folder, faults=faults or FaultPlan(), plan=short_plan())
    rig.log = log or rig.log
    context = RunContext(
        run_id="r", order_prefix="p", plan=rig.plan, venue=VenueName.SIMULATED, run_dir=folder,
        event_store_root=folder, subject_digest="d",
    )
    result = live_micro_test.run(
        MicroTestInput(
            context=context, products=rig.products, clock=rig.clock, feed=rig.feed, broker=rig.broker, log=rig.log,
            guard=rig.guard, strategy=load_strategy(rig.plan.entry, 1),
        )
    )
    return result, rig


def check_of(result: StageResult, name: str) -> Check:
    return next(c for c in result.checks if c.name == name)


def assert_flat(rig: SimRig) -> None:
    """Check at the healthy venue that nothing was left."""
    rig.exchange.set_faults(FaultPlan())
    assert rig.broker.open_orders() == []
    assert rig.held() * rig.exchange.last_price("BTC-USD") < 1


def test_a_healthy_venue_shows_every_step_and_ends_flat(tmp_path: Path) -> None:
    result, rig = run(tmp_path)
    assert result.status is StageStatus.PASSED, result.summary
    assert [c.name for c in result.checks] == ["session", "guardrails", *STEPS, "flat_at_end"]
    assert {c.remedy for c in result.checks} == {""}
    assert any(e.limit_name == "impact_bps_max" for e in rig.log.of(SizedDown))
    assert any(e.cause == "auto_cancel" for e in rig.log.of(CancelRequested))
    assert_flat(rig)


def test_a_guardrail_ends_the_run_and_the_steps_say_what_blocked_them(tmp_path: Path) -> None:
    result, rig = run(tmp_path, PRESETS["reject_all"])
    assert result.status is StageStatus.FAILED
    assert check_of(result, "guardrails").status is CheckStatus.FAILED
    assert "INSUFFICIENT_FUND" in check_of(result, "guardrails").observed
    blocked = [c for c in result.checks if c.status is CheckStatus.NOT_EVALUATED]
    assert blocked
    assert {c.blocked_by for c in blocked} == {"guardrails"}
    assert check_of(result, "flat_at_end").status is CheckStatus.PASSED
    assert_flat(rig)


def test_a_full_disk_is_the_sessions_failure_and_the_steps_are_blocked_by_it(tmp_path: Path) -> None:
    log = failing_log(lambda event: isinstance(event, CancelRequested))
    result, rig = run(tmp_path, log=log)
    assert result.summary == "session: StorageError: the disk is full"
    assert check_of(result, "session").remedy
    assert {c.blocked_by for c in result.checks if c.status is CheckStatus.NOT_EVALUATED} == {"session"}
    assert check_of(result, "flat_at_end").observed.startswith("flat at the venue")
    assert len(log.of(OrderAccepted)) >= 1
    assert_flat(rig)


def test_an_account_that_cannot_be_read_places_nothing(tmp_path: Path) -> None:
    result, rig = run(tmp_path, FaultPlan(removed_members=("hold",)))
    assert result.status is StageStatus.FAILED
    assert rig.exchange.orders(rig.exchange.account_ids()[0]) == []


@pytest.mark.parametrize(
    "name",
    ["outcome_unknown", "outcome_unknown_silent", "reset_before_create", "reset_after_create", "server_errors",
     "hang", "slow", "price_gap", "stale_feed_later", "rate_limited", "halted", "unauthorized_sometimes"],
)
def test_under_each_fault_the_stage_returns_a_result_and_is_flat_or_says_that_it_is_not(
    tmp_path: Path, name: str
) -> None:
    result, rig = run(tmp_path, PRESETS[name])
    flat = check_of(result, "flat_at_end")
    assert [c.name for c in result.checks] == ["session", "guardrails", *STEPS, "flat_at_end"]
    if flat.status is CheckStatus.PASSED:
        calm = FaultPlan().model_copy(
            update={f: getattr(PRESETS[name], f) for f in ("depth_share", "gap_at_s", "gap_share")}
        )
        rig.exchange.set_faults(calm)
        assert rig.broker.open_orders() == []
        assert rig.held() * rig.exchange.last_price("BTC-USD") < 1
    else:
        assert flat.remedy == "close at the venue by hand, now"


def test_the_crossing_probe_is_left_out_of_entries_and_tagged(tmp_path: Path) -> None:
    _, rig = run(tmp_path)
    purposes = {e.intent.purpose for _, e in rig.log.rows if hasattr(e, "intent")}
    assert {Purpose.ENTRY, Purpose.EXIT, Purpose.PROBE_CROSSING, Purpose.PROBE_OVERSIZE} <= purposes


def test_a_step_that_nobody_has_written_is_refused_by_name() -> None:
    check_steps(STEPS)
    with pytest.raises(ConfigurationError, match="unknown steps swim, fly: choose from"):
        check_steps(("post_only_entry", "swim", "fly"))


@pytest.mark.parametrize(
    "strategy", ["nothing.here:make", "trading_core.strategies.post_only_pulse:nobody", "no colon", ":make"]
)
def test_a_strategy_that_is_not_there_is_refused_by_name(strategy: str) -> None:
    entry = find_plan("phase2").entry.model_copy(update={"strategy": strategy})
    with pytest.raises(ConfigurationError, match="is not there"):
        load_strategy(entry, 1)
