"""The log of a run in Prefect's UI: a line for each stage, and each check that failed with what to do.

Sent from a thread of Prefect's client: an API that is away holds nothing up. The terminal has its own words.
"""

from __future__ import annotations

import logging

from prefect.logging.handlers import APILogHandler
from prefect.runtime import flow_run

from trading_core.gate.decide import DecisionRecord
from trading_core.gate.outcomes import Verdict
from trading_core.stages.result import StageResult, StageStatus

log = logging.getLogger("greenlight.run")
log.setLevel(logging.INFO)
log.propagate = False  # the terminal shows the same in a form of its own
log.addHandler(APILogHandler())


def tell(words: str, level: int = logging.INFO) -> None:
    """Write one line into the log of the Prefect run; does nothing outside of one."""
    if flow_run.id is not None:
        log.log(level, words, extra={"flow_run_id": flow_run.id})


def tell_stage(result: StageResult, *, is_kept: bool = False) -> None:
    """Say how a stage ended, and of each check that failed what to do."""
    how = "kept, not executed again" if is_kept else str(result.status)
    level = logging.INFO if result.status is StageStatus.PASSED else logging.WARNING
    first = result.failed_checks[0].name if result.failed_checks else result.summary
    tell(f"{result.stage} {how}: {first}", level)
    for check in result.failed_checks:
        remedy = f" – {check.remedy}" if check.remedy else ""
        tell(f"{check.name} {check.status}: was {check.observed}, needed {check.needed}{remedy}", level)


def tell_verdict(record: DecisionRecord) -> None:
    """Say the verdict and its reason."""
    tell(f"go_no_go: {record.headline}", logging.WARNING if record.verdict is Verdict.NO_GO else logging.INFO)
