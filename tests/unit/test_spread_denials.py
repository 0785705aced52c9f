"""The share of denials for a wide spread: of the strategy's own signals, not of what a probe provoked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evidence_runs import RunWriter, load_run, make_events, make_intent, write_run
from trading_core import events as ev
from trading_core.gate.evidence import CompositionObservation
from trading_core.metrics.observe import observe
from trading_core.plan import load_plan

STAGE3 = "deployments/plans/stage3.toml"


@pytest.mark.parametrize(
    ("reasons", "part", "whole"), [((), 0, 0), (("SPREAD_TOO_WIDE", "STALE_BOOK", "SPREAD_TOO_WIDE"), 2, 3)]
)
def test_denials_that_the_drill_provoked_do_not_count(
    tmp_path: Path, reasons: tuple[str, ...], part: int, whole: int
) -> None:
    def change(run: RunWriter) -> None:
        for reason in reasons:
            intent = make_intent()
            signal = run.signal("post_only_pulse", intent)
            run.add(ev.OrderDenied(ts_ns=run.now_ns, signal_id=signal, intent=intent, reason=reason, detail=""))

    context = write_run(tmp_path)
    events = make_events(context.plan, changed=change)
    write_run(tmp_path, events)
    plan = load_plan(Path(__file__).parents[2] / STAGE3)  # the rung that judges it
    seen = next(o for o in observe(plan, load_run(context), events) if o.metric == "spread_rejections_share")
    assert isinstance(seen, CompositionObservation)
    assert (seen.part, seen.whole) == (part, whole)
