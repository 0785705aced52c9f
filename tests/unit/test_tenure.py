"""A running rung loses what it stands on: reduce-only at once, flat, and a demotion that says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.desk_builders import make_guardrails, make_plan
from tests.sim_rig import SimRig
from tests.unit.test_gate_ladder import HOUR_NS, STAGE3, decided, subject_of
from tests.unit.test_session import assert_flat, hold
from trading_core.alert_book import AlertBook, acknowledge
from trading_core.clock import NS
from trading_core.desk import Desk
from trading_core.engine import Engine
from trading_core.events import AlertRaised, AnyEvent, GuardrailTripped, RunEnding, StateChanged
from trading_core.gate.demotions import DemotionCause
from trading_core.gate.ladder import restricted
from trading_core.gate.publish import DECISIONS_FILE, DEMOTIONS_FILE, GateFiles
from trading_core.gate.subject import Subject
from trading_core.lifeline import Lifeline
from trading_core.plan import Level, Plan
from trading_core.plan_files import find_plan
from trading_core.run import RunContext, VenueName
from trading_core.session import Session
from trading_core.storage.event_reader import StoredEvent
from trading_core.tenure import RungTenure
from trading_core.trading_state import TradingState

STAGE4 = find_plan("stage4")
LIMIT_NS = 300 * NS


class Tenured(SimRig):
    """A session on the simulated venue whose rung stands on something; the machine's time moves by hand."""

    def __init__(self, folder: Path, *, plan: Plan | None = None, venue: VenueName = VenueName.SIMULATED,
                 **changes: Any) -> None:
        traded = make_plan(name="stage4", needs_rung="stage3", **changes)
        super().__init__(folder, plan=traded)
        self.context = RunContext(
            run_id="r", order_prefix="p", plan=plan or traded, venue=venue, run_dir=folder / "run",
            event_store_root=folder / "events", subject_digest="d",
        )
        self.files = GateFiles(self.context.event_store_root)
        self.lifeline, self.wall_ns = Lifeline(), 0

    def tenure(self, subject: Subject | None = None) -> RungTenure:
        """Return what the session's rung stands on, from now on."""
        return RungTenure(
            self.context, subject or subject_of(self.context.plan), "account", clock=self.clock, guard=self.guard,
            lifeline=self.lifeline, wall_ns=lambda: self.wall_ns,
        )

    def tenured(self, tenure: RungTenure) -> Session:
        """Return a session that holds a position, on that tenure."""
        desk = Desk(self.plan, self.products, "sim")
        return Session(
            clock=self.clock, feed=self.feed, broker=self.broker, log=self.log, engine=Engine(desk, hold(desk)),
            guard=self.guard, lifeline=self.lifeline, tenure=tenure,
        )

    def demotions(self) -> list[tuple[str, str, str]]:
        """Return cause, run and reason of each demotion in the file."""
        return [(d.cause, d.run_id, d.reason) for d in self.files.demotions.demotions()]


def at_the_end_of(rig: Tenured, tenure: RungTenure, when: Callable[[Session], None]) -> None:
    """Trade until there is a position, let something happen, and run until the session is over and left."""
    with rig.tenured(tenure) as session:
        rig.run(session, 60)
        assert rig.held() > 0
        when(session)
        session.run(rig.clock.now_ns() + 600 * NS)
        assert session.is_over


def critical(seq: int = 7, name: str = "stray_order") -> StoredEvent:
    event: AnyEvent = AlertRaised(ts_ns=1, name=name, severity="CRITICAL", detail="it is there")
    return StoredEvent(seq=seq, ts_ns=1, kind="record", event=event)


@pytest.fixture
def rig(tmp_path: Path) -> Tenured:
    return Tenured(tmp_path)


def test_a_guardrail_that_trips_demotes_the_running_rung_and_the_session_ends_flat(tmp_path: Path) -> None:
    rig = Tenured(tmp_path, guardrails=make_guardrails(daily_loss="0.0001"))
    with rig.tenured(rig.tenure()) as session:
        session.run(rig.clock.now_ns() + 600 * NS)
        assert session.is_over
    (trip,) = rig.log.of(GuardrailTripped)
    ((cause, run_id, reason),) = rig.demotions()
    assert (cause, run_id) == (DemotionCause.GUARDRAIL, "r")
    assert reason.startswith(f"guardrail daily_loss: {trip.observed} (limit 0.0001)")
    assert rig.guard.state is TradingState.REDUCE_ONLY
    assert_flat(rig)


def test_a_critical_alert_that_nobody_acknowledges_in_time_demotes(rig: Tenured) -> None:
    tenure = rig.tenure()

    def happens(session: Session) -> None:
        tenure.note(7, critical().event)
        rig.wall_ns = LIMIT_NS - 1
        rig.run(session, 30)
        assert not session.is_over
        rig.wall_ns = LIMIT_NS

    at_the_end_of(rig, tenure, happens)
    words = "CRITICAL alert stray_order was not acknowledged within 300 s"
    assert rig.demotions() == [(DemotionCause.ALERT, "r", words)]
    assert rig.log.of(StateChanged)[-1].reason == f"stage4 demoted: {words}"
    assert rig.log.of(RunEnding)[0].reason == f"stage4 demoted: {words}"
    assert_flat(rig)


def test_an_alert_that_somebody_acknowledged_demotes_nothing(rig: Tenured) -> None:
    tenure = rig.tenure()
    AlertBook(rig.context.event_store_root, "account").take("r", [critical()], now_ns=0)
    acknowledge(rig.context.event_store_root, "r:7", by="Ada", note="seen")
    tenure.note(7, critical().event)
    rig.wall_ns = 10 * LIMIT_NS
    tenure.look()
    assert (rig.lifeline.stop_reason, rig.demotions()) == ("", [])


@pytest.mark.parametrize("severity", ["INFO", "WARNING", "ERROR"])
def test_a_lesser_alert_demotes_nothing(rig: Tenured, severity: str) -> None:
    tenure = rig.tenure()
    tenure.note(7, AlertRaised(ts_ns=1, name="x", severity=severity, detail=""))
    rig.wall_ns = 10 * LIMIT_NS
    tenure.look()
    assert rig.demotions() == []


# ── what the rung stands on: the rung below ─────────────────────────────────────────────────────
def live(folder: Path, plan: Plan = STAGE4) -> Tenured:
    return Tenured(folder, plan=plan, venue=VenueName.LIVE)


def test_while_the_rung_below_holds_nothing_happens(tmp_path: Path) -> None:
    rig = live(tmp_path)
    rig.files.decisions.append(decided(STAGE3, at_ns=rig.clock.now_ns()))
    tenure = rig.tenure()
    rig.clock.wait_until(rig.clock.now_ns() + 23 * HOUR_NS)
    tenure.look()
    assert (rig.lifeline.stop_reason, rig.demotions(), rig.guard.state) == ("", [], TradingState.ACTIVE)


def test_an_obligation_that_falls_due_while_the_session_runs_demotes(tmp_path: Path) -> None:
    decided_ns = SimRig(tmp_path / "clock").clock.now_ns()
    record = decided(STAGE3, at_ns=decided_ns - 24 * HOUR_NS + 120 * NS, grey=True)
    assert record.authorises is not None
    rig = live(tmp_path, restricted(STAGE4, record.authorises.envelope))
    rig.files.decisions.append(record)
    at_the_end_of(rig, rig.tenure(), lambda _: None)
    ((cause, _, reason),) = rig.demotions()
    assert cause is DemotionCause.PERMISSION
    assert reason.startswith("stage3 was demoted: repeat was due at")
    assert rig.guard.state is TradingState.REDUCE_ONLY
    assert_flat(rig)


def test_a_no_go_of_the_rung_below_that_comes_while_the_session_runs_demotes(tmp_path: Path) -> None:
    rig = live(tmp_path)
    rig.files.decisions.append(decided(STAGE3, at_ns=rig.clock.now_ns()))
    worse = decided(STAGE3, at_ns=rig.clock.now_ns() + NS, bad=True)
    at_the_end_of(rig, rig.tenure(), lambda _: rig.files.decisions.append(worse) and None)
    assert "the last decision on stage3" in rig.demotions()[0][2]


def test_without_any_permission_the_first_look_demotes(tmp_path: Path) -> None:
    rig = live(tmp_path)
    rig.tenure().look()
    assert "stage3 was never decided at L3" in rig.lifeline.stop_reason
    assert rig.demotions()[0][0] is DemotionCause.PERMISSION


def test_a_rehearsal_needs_no_permission(rig: Tenured) -> None:
    assert rig.context.level is Level.L0
    rig.tenure().look()
    assert (rig.lifeline.stop_reason, rig.demotions()) == ("", [])


@pytest.mark.parametrize("name", [DECISIONS_FILE, DEMOTIONS_FILE])
def test_what_cannot_be_read_halts_the_account_and_ends_the_session(tmp_path: Path, name: str) -> None:
    rig = live(tmp_path)
    rig.files.decisions.append(decided(STAGE3, at_ns=rig.clock.now_ns()))
    (rig.context.event_store_root / name).write_bytes(b"{}\n")
    rig.tenure().look()
    assert rig.guard.state is TradingState.HALTED
    assert "cannot be read" in rig.lifeline.stop_reason


def test_a_demotion_that_cannot_be_recorded_halts_the_account(rig: Tenured) -> None:
    (rig.context.event_store_root).mkdir(parents=True)
    (rig.context.event_store_root / DEMOTIONS_FILE).write_bytes(b"{}\n")
    rig.tenure().note(1, GuardrailTripped(ts_ns=1, name="drift", observed="2", limit="1", state=TradingState.HALTED))
    assert rig.guard.state is TradingState.HALTED
    assert rig.lifeline.stop_reason.startswith("stage4 demoted: guardrail drift")
