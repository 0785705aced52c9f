"""A venue that misbehaves: the run ends with the verdict that fits, and the first sentence names the reason."""

from __future__ import annotations

import pytest

from tests.e2e.command import Home, one_line, short_phase2
from trading_core.gate.outcomes import Outcome, Verdict

RUN = "faulty"


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ("reject_all", "INSUFFICIENT_FUND"),
        ("stale_feed", "a feed that never moves is not data"),
        ("clock_off_10s", "Clock against the venue is FAIL: 9.999 s (limit 5)"),
        ("clock_behind_10s", "Clock against the venue is FAIL: -10 s (limit 5)"),
        ("key_can_transfer", "Key may not transfer is FAIL: transfer yes"),
        ("halted", "BTC-USD LIMIT GTC post-only: PREVIEW_NOT_ALLOWED_BY_MARKET_STATE"),
    ],
)
def test_a_no_go_names_the_injected_cause_first(home: Home, faults: str, words: str) -> None:
    done = home.run("run", "phase2", "--venue", "simulated", "--faults", faults, "--run-id", RUN)
    record = home.decision(RUN)
    assert (done.code, record.verdict) == (4, Verdict.NO_GO)
    assert words in record.headline
    assert one_line(record.headline)[:60] in one_line(done.out.replace("│", " "))
    assert done.err == ""
    state = home.flow_run(RUN)
    assert (state["state_name"], state["state_type"]) == ("NoGo", "FAILED")


def test_a_clock_in_the_grey_zone_ends_conditional(home: Home) -> None:
    plan = short_phase2(home.root)
    done = home.run("run", plan, "--venue", "simulated", "--faults", "clock_off_3s", "--run-id", RUN)
    record = home.decision(RUN)
    assert (done.code, record.verdict) == (3, Verdict.CONDITIONAL)
    assert "2.999 s is in the grey zone from 2 to 5" in record.headline
    found = record.criterion("clock_offset_s")
    assert found is not None
    assert found.outcome is Outcome.WARN
    state = home.flow_run(RUN)
    assert (state["state_name"], state["state_type"]) == ("CONDITIONAL", "COMPLETED")


def test_a_member_that_vanished_from_the_answer_to_an_order_is_named_first(home: Home) -> None:
    done = home.run("run", "phase2", "--venue", "simulated", "--faults", "schema_drift", "--run-id", RUN)
    record = home.decision(RUN)
    drift = record.criterion("schema_drift")
    assert (done.code, record.verdict) == (4, Verdict.NO_GO)
    assert "the answer has no success_response.order_id" in record.headline
    assert drift is not None
    assert drift.outcome is Outcome.FAIL
    assert "OrderPreviewResponse.order_id_v2 unknown" in drift.detail
