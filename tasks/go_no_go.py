"""Stage 6 of 6: always runs, whatever came before."""

from __future__ import annotations

import os

from prefect import task

from checks.report import build_report
from tasks.options import ACTS
from tasks.pages import show_decision
from trading_core.gate.decide import DecisionRecord
from trading_core.gate.signing import signing_key
from trading_core.mirroring import mirrored
from trading_core.run import RunContext
from trading_core.settings import load_settings
from trading_core.stages import go_no_go as stage
from trading_core.stages.result import StageResult


@task(name="go/no-go", task_run_name="go/no-go", **ACTS)
def go_no_go(context: RunContext, stages: list[StageResult], now_ns: int = 0) -> DecisionRecord:
    """Decide on the evidence, write the decision and its report, and show both in Prefect.

    `now_ns` is the moment of a decision that is made again later.
    """
    record = stage.run(context, stages, now_ns=now_ns, key=signing_key(load_settings(os.environ)))
    report = build_report(context.run_dir)
    mirrored(context)
    show_decision(context, record, report)
    return record
