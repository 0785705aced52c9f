"""Runs that are too short for their rung, and faults that only a margin account can feel."""

from __future__ import annotations

import json

from tests.e2e.command import Home, changed_plan, one_line
from trading_core.gate.outcomes import Outcome, Verdict

RUN = "rung"


def test_three_quarters_of_an_hour_of_stage_3_are_refused_with_what_they_cannot_show(home: Home) -> None:
    plan = changed_plan(home.root / "short.toml", "stage3", {"window_s = 86400": "window_s = 2700"})
    done = home.run("run", plan, "--venue", "simulated", "--run-id", RUN)
    record = home.decision(RUN, "stage3")
    assert (done.code, record.verdict) == (4, Verdict.NO_GO)
    assert "45 orders are planned, 95 % needs 72 even without one failure" in record.headline
    assert "lengthen the window" in one_line(done.out)
    assert home.stage_status(RUN, "stage3") == {"preflight": "FAILED", "go_no_go": "PASSED"}
    not_shown = [c for c in record.criteria if c.outcome is Outcome.NO_DATA]
    assert len(not_shown) > len(record.criteria) / 2


def test_a_margin_call_on_a_futures_position_is_named_first(home: Home) -> None:
    plan = changed_plan(
        home.root / "futures.toml", "phase2",
        {
            'product_id = "BTC-USD"\nmax_size = "0.01"\nmax_notional = "200"':
                'product_id = "BIP-20DEC30-CDE"\nmax_size = "3"\nmax_notional = "4000"',
            'notional_min = "25"\nnotional_max = "33"': 'notional_min = "1000"\nnotional_max = "1300"',
            'aggregate_notional_max = "200"': 'aggregate_notional_max = "4000"',
            '[envelope]\nnotional_max = "200"': '[envelope]\nnotional_max = "4000"',
            'oversize_notional = "100000"': 'oversize_notional = "3000000"',
            "products.BTC-USD.max_size": "products.BIP-20DEC30-CDE.max_size",
        },
    )
    done = home.run("run", plan, "--venue", "simulated", "--faults", "margin_call", "--run-id", RUN)
    record = home.decision(RUN)
    assert (done.code, record.verdict) == (4, Verdict.NO_GO)
    assert "guardrail margin_call latched" in record.headline
    account = home.events / "accounts" / f"rehearsal-{RUN}" / "trading_state.jsonl"
    assert json.loads(account.read_text("utf-8").splitlines()[-1])["state"] == "HALTED"
