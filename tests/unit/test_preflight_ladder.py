"""Preflight's check of the rung below, and a live run's plan under a CONDITIONAL of the rung below."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.sim_rig import SimRig
from tests.unit.test_gate_ladder import STAGE3, decided, subject_of
from trading_core.gate.decide import DecisionRecord
from trading_core.gate.publish import DECISIONS_FILE, GateFiles
from trading_core.plan import Plan
from trading_core.run import Endpoint, RunContext, VenueName
from trading_core.run_files import SUBJECT
from trading_core.stages import preflight
from trading_core.stages.files import write_document
from trading_core.stages.preflight import PreflightInput
from trading_core.stages.result import Check, CheckStatus, StageStatus
from trading_core.trading_state import TradingState

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


class LiveGround(SimRig):
    """A stage 3 run of live level, with the decisions that a test wants in its log."""

    def __init__(self, folder: Path, plan: Plan = STAGE3, venue: VenueName = VenueName.LIVE) -> None:
        super().__init__(folder, plan=plan)
        self.context = RunContext(
            run_id="r", order_prefix="p", plan=plan, venue=venue, run_dir=folder / "run",
            event_store_root=folder / "events", subject_digest="d",
        )
        self.files = GateFiles(self.context.event_store_root)
        write_document(self.context, SUBJECT, subject_of(plan), start_ns=1, end_ns=1)

    def decided(self, record: DecisionRecord, key: Ed25519PrivateKey | None = None) -> LiveGround:
        """Put a decision into the log."""
        self.files.decisions.append(record, key)
        return self

    def look(self, *, is_key_set: bool = False) -> tuple[StageStatus, Check]:
        """Run preflight and return its status and the check."""
        result = preflight.run(PreflightInput(
            context=self.context, endpoint=Endpoint(), venue=self.broker, clock=self.clock, guard=self.guard,
            credentials=None, disk_free_min_bytes=1, decision_key=KEY.public_key() if is_key_set else None,
        ))
        return result.status, next(c for c in result.checks if c.name == "rung_below")


@pytest.fixture
def ground(tmp_path: Path) -> LiveGround:
    return LiveGround(tmp_path)


def test_a_live_rung_without_the_rung_below_does_not_start(ground: LiveGround) -> None:
    status, check = ground.look()
    assert (status, check.status) == (StageStatus.FAILED, CheckStatus.FAILED)
    assert "phase2 was never decided at L3" in check.observed
    assert "greenlight ladder" in check.remedy


def test_a_live_rung_starts_on_a_fresh_go_of_the_rung_below(ground: LiveGround) -> None:
    _, check = ground.decided(decided(at_ns=ground.clock.now_ns())).look()
    assert (check.status, check.observed) == (CheckStatus.PASSED, "GO of phase2, run run-1")


def test_a_rehearsal_may_start_on_any_rung(tmp_path: Path) -> None:
    _, check = LiveGround(tmp_path, venue=VenueName.SIMULATED).look()
    assert check.status is CheckStatus.PASSED
    assert "it authorises none above" in check.observed


def test_with_a_key_set_an_unsigned_go_does_not_count(ground: LiveGround) -> None:
    record = decided(at_ns=ground.clock.now_ns())
    assert ground.decided(record).look(is_key_set=True)[1].status is CheckStatus.FAILED
    assert ground.decided(record, KEY).look(is_key_set=True)[1].status is CheckStatus.PASSED


def test_a_decision_log_that_was_edited_halts_the_account(ground: LiveGround) -> None:
    ground.decided(decided(at_ns=ground.clock.now_ns()))
    path = ground.context.event_store_root / DECISIONS_FILE
    path.write_text(path.read_text("utf-8").replace('"NO-GO"', '"GO"').replace("run-1", "run-2"), "utf-8")
    _, check = ground.look()
    assert check.status is CheckStatus.FAILED
    assert "was changed" in check.observed
    assert ground.guard.state is TradingState.HALTED
