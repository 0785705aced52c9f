"""Attempts that traded live and were never decided: no ledger has what they showed, so none may pass over them."""

from __future__ import annotations

from collections.abc import Collection

from trading_core.events import OrderSubmitted, SessionStarted
from trading_core.plan import Level
from trading_core.run import RunContext
from trading_core.storage.event_reader import EventReader, list_runs


def undecided(context: RunContext, decided: Collection[str]) -> list[str]:
    """Return what stands in the way: one sentence for each other live run of this subject without a decision.

    A rehearsal authorises nothing, so an interrupted one holds up no other. `decided` are the ids of runs that have
    a decision. Raises StorageError if the event store cannot be read.
    """
    if context.level is not Level.L3:
        return []
    others = [run.run_id for run in list_runs(context.store) if run.run_id not in {*decided, context.run_id}]
    return [
        f"run {run_id} of this subject traded and was never decided: decide it first, so that its orders count"
        for run_id in others if _has_traded(context, run_id)
    ]


def _has_traded(context: RunContext, run_id: str) -> bool:
    with EventReader(context.store, run_id) as reader:
        started = next((s.event for s in reader.events(types=("SessionStarted",))), None)
        if not isinstance(started, SessionStarted) or started.subject_digest != context.subject_digest:
            return False
        return any(isinstance(stored.event, OrderSubmitted) for stored in reader.events(types=("OrderSubmitted",)))
