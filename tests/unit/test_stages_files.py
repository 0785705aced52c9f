"""What a stage leaves behind, also when it ends by an error; and the chain that go/no-go reads."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from tests.core_builders import make_alert
from tests.unit.test_prepare import prepare
from trading_core.clock import VirtualClock
from trading_core.errors import IntegrityError, VenueUnavailable
from trading_core.events import Event, GuardrailTripped, GuardrailWatched
from trading_core.plan import Stage
from trading_core.run import RunContext
from trading_core.stages.files import attempt, keep, read_stage
from trading_core.stages.go_no_go import read_chain
from trading_core.stages.result import CheckStatus, StageResult, StageStatus
from trading_core.storage.event_store import EventStore
from trading_core.store_location import FILE_NAME
from trading_core.trading_state import TradingState

CLOCK = VirtualClock(0)


def result(stage: Stage = Stage.PREFLIGHT) -> StageResult:
    return StageResult(stage=stage, status=StageStatus.PASSED, started_ns=1, ended_ns=2, summary="fine")


def test_a_stage_is_read_back_as_it_was_kept(tmp_path: Path) -> None:
    context = prepare(tmp_path)
    assert read_stage(context, Stage.PREFLIGHT) is None
    assert keep(context, result()) == read_stage(context, Stage.PREFLIGHT) == result()


def test_a_failure_that_we_foresee_is_a_failed_stage_that_is_kept(tmp_path: Path) -> None:
    context = prepare(tmp_path)

    def run() -> StageResult:
        raise VenueUnavailable("no answer")

    failed = attempt(context, Stage.DRY_RUN_PULSE, run)
    assert (failed.status, failed.summary) == (StageStatus.FAILED, "VenueUnavailable: no answer")
    assert [c.status for c in failed.checks] == [CheckStatus.FAILED]
    assert failed.checks[0].remedy
    assert read_stage(context, Stage.DRY_RUN_PULSE) == failed


def test_a_bug_rises_and_leaves_no_result(tmp_path: Path) -> None:
    context = prepare(tmp_path)

    def run() -> StageResult:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        attempt(context, Stage.DRY_RUN_PULSE, run)
    assert read_stage(context, Stage.DRY_RUN_PULSE) is None


def test_a_result_that_was_changed_afterwards_is_not_believed(tmp_path: Path) -> None:
    context = prepare(tmp_path)
    keep(context, result())
    path = context.run_dir / "stages" / "preflight.json"
    path.write_text(path.read_text().replace("fine", "great"))
    with pytest.raises(IntegrityError, match="was changed"):
        read_stage(context, Stage.PREFLIGHT)


def store(context: RunContext, *events: Event) -> None:
    with EventStore.open(context.event_store_root, context.run_id, context.order_prefix) as writer:
        for event in events:
            writer.append(event, "record")


def watched(name: str, evaluations: int) -> GuardrailWatched:
    return GuardrailWatched(
        ts_ns=2, name=name, evaluations=evaluations, longest_gap_s=Decimal(1), worst=Decimal(0), limit=Decimal(1)
    )


def tripped(name: str, observed: str) -> GuardrailTripped:
    return GuardrailTripped(
        ts_ns=1, name=name, observed=observed, limit="1", state=TradingState.REDUCE_ONLY, detail="stale: BTC-USD"
    )


def test_a_run_that_never_traded_has_no_chain_to_verify(tmp_path: Path) -> None:
    chain = read_chain(prepare(tmp_path), [result()])
    assert (chain.is_verified, chain.guardrails) == (True, ())


def test_a_run_that_traded_without_a_chain_is_not_verified(tmp_path: Path) -> None:
    chain = read_chain(prepare(tmp_path), [result(Stage.LIVE_MICRO_TEST)])
    assert not chain.is_verified
    assert chain.detail


def test_guardrails_are_read_from_the_chain_and_a_latch_outlives_its_watch(tmp_path: Path) -> None:
    context = prepare(tmp_path)
    store(context, tripped("drift", "3"), tripped("drift", "9"), watched("drift", 5), watched("loss", 7), make_alert())
    chain = read_chain(context, [result(Stage.LIVE_MICRO_TEST)])
    assert chain.is_verified
    drift, loss = chain.guardrails
    assert (drift.name, drift.is_latched, drift.evaluations, drift.event_seqs) == ("drift", True, 5, (1,))
    assert "3 (limit 1)" in drift.detail
    assert (loss.name, loss.is_latched, loss.evaluations, loss.event_seqs) == ("loss", False, 7, ())


def test_a_guardrail_that_tripped_and_was_never_summed_up_is_latched_all_the_same(tmp_path: Path) -> None:
    context = prepare(tmp_path)
    store(context, tripped("drift", "3"))
    (drift,) = read_chain(context, [result(Stage.LIVE_MICRO_TEST)]).guardrails
    assert (drift.is_latched, drift.evaluations, drift.worst) == (True, 0, None)


@pytest.mark.parametrize(("speed", "gap"), [(1.0, "1"), (10.0, "0.1")])
def test_a_gap_between_looks_is_told_in_seconds_of_the_machine(tmp_path: Path, speed: float, gap: str) -> None:
    context = prepare(tmp_path).model_copy(update={"speed": speed})
    store(context, watched("drift", 5))
    (drift,) = read_chain(context, [result(Stage.LIVE_MICRO_TEST)]).guardrails
    assert drift.longest_gap_s == Decimal(gap)


def test_an_event_that_was_changed_breaks_the_chain(tmp_path: Path) -> None:
    context = prepare(tmp_path)
    store(context, tripped("drift", "3"), make_alert())
    with sqlite3.connect(context.event_store_root / FILE_NAME) as database:
        database.execute("UPDATE events SET payload = replace(payload, '\"3\"', '\"0\"') WHERE seq = 1")
    database.close()
    chain = read_chain(context, [result(Stage.LIVE_MICRO_TEST)])
    assert not chain.is_verified
    assert "event 1" in chain.detail
    assert chain.guardrails == ()
