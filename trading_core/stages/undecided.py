"""Attempts that traded and were never decided: what they showed counts, and live none may pass over them."""

from __future__ import annotations

from collections.abc import Collection

from trading_core.artifact_export import export
from trading_core.artifacts import ArtifactName
from trading_core.errors import StorageError
from trading_core.events import OrderSubmitted, SessionStarted
from trading_core.gate.attempts import Attempt, CriterionTally
from trading_core.gate.criteria import OBSERVED_BY
from trading_core.gate.evidence import Observation, RateObservation
from trading_core.gate.outcomes import Reason
from trading_core.metrics.evidence import Evidence, LoadedArtifact
from trading_core.metrics.observe import observe
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


def tallies_of(context: RunContext, attempt: Attempt) -> dict[str, CriterionTally]:
    """Return what another attempt of this subject showed, from its events: a tally for each criterion that is a rate.

    One that stored nothing sent no order, and gives none. Raises StorageError if its events cannot be read.
    """
    if attempt.run_id not in {run.run_id for run in list_runs(context.store)}:
        return {}
    with EventReader(context.store, attempt.run_id) as reader:
        events = [(stored.seq, stored.event) for stored in reader.events()]
    began = next((event for _, event in events if isinstance(event, SessionStarted)), None)
    sizes = {p.product_id: p.contract_size for p in began.products} if began is not None else {}
    made = export(context.model_copy(update={"run_id": attempt.run_id}), events, sizes).named()
    evidence = Evidence({name: LoadedArtifact(name, model=made[name]) for name in ArtifactName})
    rates = tuple(c for c in context.plan.criteria if OBSERVED_BY[c.kind] is RateObservation)
    observed = observe(context.plan.model_copy(update={"criteria": rates}), evidence, events)
    pooled = {seen.metric: tally for seen in observed if (tally := _tally(attempt.run_id, seen)) is not None}
    return {c.name: pooled[c.metric] for c in rates if c.metric in pooled}


def _tally(run_id: str, seen: Observation) -> CriterionTally | None:
    """Return what was observed; None if nothing was tried. Raises StorageError if events contradict each other."""
    if seen.problem not in (None, Reason.EMPTY):
        raise StorageError(f"run {run_id}, {seen.metric}: {seen.detail}")
    if not isinstance(seen, RateObservation) or seen.pooled.n == 0:
        return None
    return CriterionTally(pooled=seen.pooled, by_symbol=dict(seen.by_symbol))


def _has_traded(context: RunContext, run_id: str) -> bool:
    with EventReader(context.store, run_id) as reader:
        started = next((s.event for s in reader.events(types=("SessionStarted",))), None)
        if not isinstance(started, SessionStarted) or started.subject_digest != context.subject_digest:
            return False
        return any(isinstance(stored.event, OrderSubmitted) for stored in reader.events(types=("OrderSubmitted",)))
