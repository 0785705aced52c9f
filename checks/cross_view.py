"""What a cross check is given, what it answers, and the two looks that most of them take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from checks.findings import Finding
from trading_core.artifacts import ExecutionLogs, FillStep, ReconciliationHistory, ReconciliationRow
from trading_core.events import AnyEvent
from trading_core.metrics.evidence import Evidence
from trading_core.run import RunContext
from trading_core.storage.artifact_store import ArtifactStore

EXACT = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class CrossView:
    """All that a cross check may look at; `findings` are those of the single artifacts, by criterion."""

    context: RunContext
    evidence: Evidence
    events: Sequence[tuple[int, AnyEvent]]
    store: ArtifactStore
    findings: Mapping[str, Finding]


class Broken(list[str]):
    """What contradicts, one sentence each; empty is well."""


def fills_of(logs: ExecutionLogs) -> list[FillStep]:
    """Return all fills of known orders, in the order of their events."""
    return sorted((f for trace in logs.rows for f in trace.fills), key=lambda fill: fill.seq)


def quiet_books(view: CrossView) -> tuple[list[ReconciliationRow], list[FillStep]]:
    """Return the quiet snapshots and all fills, in the order of their events."""
    history, logs = view.evidence.get(ReconciliationHistory), view.evidence.get(ExecutionLogs)
    return [row for row in history.rows if row.is_quiescent], fills_of(logs)
