"""The drill on a rehearsal with its own exchange and its own session process: every rung shown and measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from trading_core.control.drill import run_drill
from trading_core.errors import ConfigurationError
from trading_core.plan_files import find_plan
from trading_core.prepare import prepare_run
from trading_core.run import RunContext, VenueName


def context_of(folder: Path, venue: VenueName) -> RunContext:
    return prepare_run(
        plan=find_plan("phase2"), venue=venue, day="volatile", seed=1, speed=20.0, faults="", run_id="drilled",
        artifacts_root=folder / "artifacts", event_store_root=folder / "events",
    )


@pytest.mark.e2e
@pytest.mark.soak
def test_every_rung_is_shown_and_measured(tmp_path: Path) -> None:
    plan = find_plan("phase2")
    said: list[str] = []
    done = run_drill(context_of(tmp_path, VenueName.LOCAL), said.append)
    assert done.is_shown, done.steps
    took = {step.name: step.seconds for step in done.steps if step.seconds is not None}
    assert {"reduce_only", "entry_refused", "flat", "disabled"} <= took.keys()
    assert took["reduce_only"] < 5
    assert took["flat"] < plan.rollback.close_all_after_min * 60
    assert took["disabled"] < plan.rollback.disable_after_min * 60


def test_a_drill_is_refused_where_no_exchange_of_ours_can_be_started(tmp_path: Path) -> None:
    context = context_of(tmp_path, VenueName.LOCAL).model_copy(update={"venue": VenueName.SANDBOX})
    with pytest.raises(ConfigurationError, match="for a rehearsal"):
        run_drill(context, lambda _: None)
