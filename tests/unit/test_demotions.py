"""A demoted rung: refused until the rung below is shown again, restored by its own GO; windows carry each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.gate_fixtures import NOW_NS
from tests.unit.test_gate_ladder import HOUR_NS, STAGE3, STAGE4, decided, subject_of
from trading_core.clock import NS, iso
from trading_core.errors import IntegrityError
from trading_core.gate.decide import DecisionRecord
from trading_core.gate.demotions import REASON_MAX, Demotion, DemotionCause, DemotionLog
from trading_core.gate.ladder import Permission, as_run_by, may_start, restricted, standings
from trading_core.gate.outcomes import Verdict
from trading_core.gate.subject import bot_of
from trading_core.plan import Level, Plan, Rung
from trading_core.plan_files import find_plan, plan_below

STAGE5 = find_plan("stage5")
FELL_NS = NOW_NS + HOUR_NS


def fallen(rung: Rung = Rung.STAGE4, *, at_ns: int = FELL_NS, level: Level = Level.L3, run_id: str = "r",
           cause: DemotionCause = DemotionCause.GUARDRAIL) -> Demotion:
    bot = bot_of(subject_of(find_plan(rung)))
    return Demotion(bot=bot, rung=rung, level=level, run_id=run_id, cause=cause, reason="it broke", at_ns=at_ns)


def asked(plan: Plan, below: Plan, *records: DecisionRecord, now_ns: int, own: Plan | None = None,
          demotions: tuple[Demotion, ...] = (), entered_ns: int | None = None) -> Permission:
    return may_start(
        plan, below, subject_of(plan), records, now_ns, own=own, demotions=demotions, entered_ns=entered_ns
    )


def test_a_demoted_rung_does_not_start_on_what_the_rung_below_had_shown_before() -> None:
    before, after = decided(STAGE3), decided(STAGE3, at_ns=FELL_NS + NS)
    refused = asked(STAGE4, STAGE3, before, now_ns=FELL_NS + NS, demotions=(fallen(),))
    assert refused.problem == f"stage4 was demoted: it broke (run r, {iso(FELL_NS)}); show stage3 again first"
    assert asked(STAGE4, STAGE3, before, after, now_ns=FELL_NS + 2 * NS, demotions=(fallen(),)).problem == ""


@pytest.mark.parametrize(
    "other", [fallen(Rung.STAGE5), fallen(level=Level.L0)], ids=["another rung", "a rehearsal"]
)
def test_what_another_rung_or_a_rehearsal_lost_stops_nothing(other: Demotion) -> None:
    assert asked(STAGE4, STAGE3, decided(STAGE3), now_ns=FELL_NS + NS, demotions=(other,)).problem == ""


def test_what_another_bot_lost_stops_nothing() -> None:
    other = fallen().model_copy(update={"bot": bot_of(subject_of(STAGE4, git_commit="f" * 40))})
    assert asked(STAGE4, STAGE3, decided(STAGE3), now_ns=FELL_NS + NS, demotions=(other,)).problem == ""


def test_a_demoted_rung_carries_none_above_it_until_its_own_go() -> None:
    records = [decided(STAGE4)]
    standing = standings(records, FELL_NS + NS, (fallen(),))[0]
    assert "stage4 was demoted: it broke" in standing.problem(FELL_NS + NS)
    refused = asked(STAGE5, STAGE4, *records, now_ns=FELL_NS + NS, own=STAGE5, demotions=(fallen(),))
    assert "stage4 was demoted" in refused.problem
    records.append(decided(STAGE4, at_ns=FELL_NS + NS))
    assert asked(STAGE5, STAGE4, *records, now_ns=FELL_NS + 2 * NS, own=STAGE5, demotions=(fallen(),)).problem == ""


def test_a_demotion_at_the_moment_of_the_go_holds() -> None:
    standing = standings([decided(STAGE4)], NOW_NS + NS, (fallen(at_ns=NOW_NS),))[0]
    assert "was demoted" in standing.problem(NOW_NS + NS)


# ── windows that follow each other ──────────────────────────────────────────────────────────────
def test_the_last_window_carries_the_next_one_when_the_rung_below_has_long_expired() -> None:
    now_ns = NOW_NS + 30 * HOUR_NS
    below, window = decided(STAGE4), decided(STAGE5, at_ns=NOW_NS + 25 * HOUR_NS)
    assert window.verdict is Verdict.GO, window.headline
    once = STAGE5.model_copy(update={"tenure": STAGE4.tenure})
    assert "expired" in asked(STAGE5, STAGE4, below, window, now_ns=now_ns, own=once).problem
    carried = asked(STAGE5, STAGE4, below, window, now_ns=now_ns, own=STAGE5)
    assert (carried.problem, carried.words) == ("", "GO of stage5, run run-1")


def test_a_lost_window_carries_nothing_and_the_rung_below_must_be_shown_again() -> None:
    window = decided(STAGE5, at_ns=NOW_NS + 2 * HOUR_NS, bad=True)
    lost = fallen(Rung.STAGE5, at_ns=NOW_NS + 2 * HOUR_NS, cause=DemotionCause.WINDOW)
    below = decided(STAGE4)
    refused = asked(STAGE5, STAGE4, below, window, now_ns=NOW_NS + 3 * HOUR_NS, own=STAGE5, demotions=(lost,))
    assert "stage5 was demoted" in refused.problem
    again = decided(STAGE4, at_ns=NOW_NS + 3 * HOUR_NS)
    now_ns = NOW_NS + 4 * HOUR_NS
    assert asked(STAGE5, STAGE4, below, window, again, now_ns=now_ns, own=STAGE5, demotions=(lost,)).problem == ""


def test_a_conditional_window_lets_the_next_one_run_at_the_size_of_the_rung_below_for_a_day() -> None:
    below, window = decided(STAGE4), decided(STAGE5, at_ns=NOW_NS + 2 * HOUR_NS, grey=True)
    assert window.verdict is Verdict.CONDITIONAL, window.headline
    refused = asked(STAGE5, STAGE4, window, now_ns=NOW_NS + 3 * HOUR_NS, own=STAGE5)
    assert refused.restricted_to is not None
    assert refused.restricted_to.aggregate_notional_max == STAGE4.envelope.aggregate_notional_max
    small = restricted(STAGE5, refused.restricted_to)
    assert asked(small, STAGE4, window, now_ns=NOW_NS + 3 * HOUR_NS, own=STAGE5).problem == ""
    day_after_ns = NOW_NS + 26 * HOUR_NS
    # Its own rules are the full ones: what the small plan shows settles nothing.
    inside = decided(small, at_ns=NOW_NS + 20 * HOUR_NS, subject=subject_of(small))
    late = asked(small, STAGE4, below, window, inside, now_ns=day_after_ns, own=STAGE5)
    assert "expired" in late.problem


def test_a_window_under_easier_rules_of_somebodys_own_carries_nothing() -> None:
    easier = STAGE5.model_copy(update={"should_budget": 9})
    window = decided(easier, at_ns=NOW_NS + 25 * HOUR_NS)
    refused = asked(STAGE5, STAGE4, decided(STAGE4), window, now_ns=NOW_NS + 30 * HOUR_NS, own=STAGE5)
    assert "expired" in refused.problem
    assert easier.digest not in [p.digest for p in as_run_by(STAGE5, STAGE5)]


# ── the strategy that the rung brings ───────────────────────────────────────────────────────────
def test_the_shipped_ladder_can_be_climbed_to_its_top() -> None:
    for name in ("stage3", "stage4", "stage5"):
        plan = find_plan(name)
        below = plan_below(plan)
        assert below is not None
        assert asked(plan, below, decided(below), now_ns=FELL_NS, own=find_plan(name)).problem == "", name


def test_only_the_strategy_that_ships_succeeds_another() -> None:
    entry = STAGE5.entry.model_copy(update={"strategy": "mine:make", "params": {}})
    mine = STAGE5.model_copy(update={"entry": entry})
    found = asked(mine, STAGE4, decided(STAGE4), now_ns=FELL_NS, own=STAGE5)
    assert "strategy was trading_core.strategies.post_only_pulse:make, is mine:make" in found.problem
    other = STAGE5.model_copy(update={"entry": STAGE5.entry.model_copy(update={"params": {"calm.skew_bps": 1}})})
    assert "strategy was" in asked(other, STAGE4, decided(STAGE4), now_ns=FELL_NS, own=STAGE5).problem


# ── a run that is under way ─────────────────────────────────────────────────────────────────────
def test_a_go_that_expires_while_its_run_lasts_ends_nothing_and_lets_nobody_else_in() -> None:
    entered_ns, now_ns = NOW_NS + 23 * HOUR_NS, NOW_NS + 25 * HOUR_NS
    record = decided(STAGE3)
    assert asked(STAGE4, STAGE3, record, now_ns=now_ns, entered_ns=entered_ns).problem == ""
    assert "expired" in asked(STAGE4, STAGE3, record, now_ns=now_ns).problem
    assert "expired" in asked(STAGE4, STAGE3, record, now_ns=now_ns, entered_ns=NOW_NS + 24 * HOUR_NS).problem


@pytest.mark.parametrize(("after_s", "is_held"), [(86_399, True), (86_400, False), (86_401, False)])
def test_an_obligation_that_is_missed_while_a_run_lasts_ends_it(after_s: int, is_held: bool) -> None:
    record = decided(STAGE3, grey=True)
    entered_ns = NOW_NS + HOUR_NS
    envelope = asked(STAGE4, STAGE3, record, now_ns=entered_ns).restricted_to
    assert envelope is not None
    found = asked(restricted(STAGE4, envelope), STAGE3, record, now_ns=NOW_NS + after_s * NS, entered_ns=entered_ns)
    assert (found.problem == "") is is_held
    assert is_held or "was demoted: repeat was due" in found.problem


# ── the file ────────────────────────────────────────────────────────────────────────────────────
def test_a_demotion_is_kept_once_for_each_run_and_cause(tmp_path: Path) -> None:
    log = DemotionLog(tmp_path / "demotions.jsonl")
    for demotion in (fallen(), fallen(at_ns=FELL_NS + 1), fallen(cause=DemotionCause.WINDOW), fallen(run_id="s")):
        log.append(demotion)
    assert [(d.run_id, d.cause) for d in log.demotions()] == [
        ("r", "guardrail"), ("r", "window"), ("s", "guardrail"),
    ]
    assert log.demotions()[0] == fallen()


def test_a_long_reason_is_cut_and_a_changed_line_is_refused(tmp_path: Path) -> None:
    log = DemotionLog(tmp_path / "demotions.jsonl")
    log.append(fallen().model_copy(update={"reason": "x" * (REASON_MAX + 1)}))
    assert len(log.demotions()[0].reason) == REASON_MAX
    log.path.write_text(log.path.read_text("utf-8").replace("guardrail", "window"), "utf-8")
    with pytest.raises(IntegrityError, match="was changed"):
        log.demotions()


def test_a_removed_file_is_noticed(tmp_path: Path) -> None:
    log = DemotionLog(tmp_path / "demotions.jsonl")
    log.append(fallen())
    log.path.unlink()
    with pytest.raises(IntegrityError, match="0 lines that verify"):
        log.demotions()
