"""Runs that are too short for their rung, and faults that only a margin account can feel."""

from __future__ import annotations

from tests.e2e.command import Home, changed_plan, one_line
from trading_core.gate.outcomes import Outcome, Verdict

RUN = "rung"


def test_half_an_hour_of_stage_3_is_refused_with_what_it_cannot_show(home: Home) -> None:
    plan = changed_plan(home.root / "half_hour.toml", "stage3", {"window_s = 86400": "window_s = 1800"})
    done = home.run("run", plan, "--venue", "simulated", "--run-id", RUN)
    record = home.decision(RUN, "stage3")
    assert (done.code, record.verdict) == (4, Verdict.NO_GO)
    assert "30 orders are planned, 95 % needs 72 even without one failure" in record.headline
    assert "lengthen the window" in one_line(done.out)
    assert home.stage_status(RUN, "stage3") == {"preflight": "FAILED", "go_no_go": "PASSED"}
    not_shown = [c for c in record.criteria if c.outcome is Outcome.NO_DATA]
    assert len(not_shown) > len(record.criteria) / 2
