"""Earlier runs that a run is compared with: the last good runs of its bot's family, and the pinned golden run."""

from __future__ import annotations

from collections.abc import Iterable

from trading_core.gate.decide import DecisionRecord
from trading_core.gate.outcomes import Outcome, Reason, Verdict
from trading_core.gate.people import PeopleFiles, figures
from trading_core.gate.result import Baseline
from trading_core.gate.subject import Subject
from trading_core.plan import Kind, Level, Plan, PlanModel, Tier

BASELINE_RUNS = 3  # gates.md: the last three GO runs


class Family(PlanModel):
    """What runs must share to be compared; code, parameters and plan may change, for their change is what is judged."""

    strategy: str
    venue: str
    faults: str
    account_fingerprint: str
    products: tuple[str, ...]


def family_of(subject: Subject) -> Family:
    """Return the family that a subject belongs to."""
    return Family(
        strategy=subject.strategy, venue=subject.venue, faults=subject.faults,
        account_fingerprint=subject.account_fingerprint, products=tuple(sorted(subject.products)),
    )


def earlier_runs(
    records: Iterable[DecisionRecord], gate: str, level: Level, subject: Subject, attempt_id: str
) -> list[DecisionRecord]:
    """Return the good runs before this attempt, newest first; of each attempt only its latest decision counts.

    The order is the decision log's: a simulated venue's clock says nothing of which run came first. `attempt_id` may
    have been decided before: what was logged since its first decision is newer, and no baseline.
    """
    last: dict[str, DecisionRecord] = {}
    for record in records:
        if record.attempt_id == attempt_id:
            break
        last.pop(record.attempt_id, None)
        last[record.attempt_id] = record
    mine = family_of(subject)
    return [
        r for r in reversed(last.values())
        if (r.gate, r.level) == (gate, level) and is_good(r) and family_of(r.subject) == mine
    ]


def is_good(record: DecisionRecord) -> bool:
    """Tell whether later runs may be compared with this one: a GO, or one that lacks nothing but baselines itself.

    The first runs of a gate have none. If they did not count, no run of it could ever have one.
    """
    if record.verdict is not Verdict.CONDITIONAL:
        return record.verdict is Verdict.GO
    waived = {use.waiver.criterion for use in record.waivers if use.is_applied}
    reserved = [
        r for r in record.criteria
        if r.tier is not Tier.NICE and (r.name in waived or r.outcome not in (Outcome.PASS, Outcome.NOT_APPLICABLE))
    ]
    return all(r.reason is Reason.NO_BASELINE and r.name not in waived for r in reserved)


def baselines(
    plan: Plan, gate: str, level: Level, subject: Subject, attempt_id: str, records: Iterable[DecisionRecord],
    people: PeopleFiles,
) -> dict[str, Baseline]:
    """Return, for each compared metric, its figures in the last good runs that have it, and in the golden run."""
    compared = [c for c in plan.criteria if c.kind is Kind.COMPARISON]
    if not compared:
        return {}
    records = list(records)
    newest = earlier_runs(records, gate, level, subject, attempt_id)
    mine = {r.run_id for r in records if family_of(r.subject) == family_of(subject)}
    golden = next((g for g in people.golden(gate, level) if g.run_id in mine), None)
    found = {}
    for criterion in compared:
        metric = criterion.metric
        runs = [r for r in newest if metric in figures(r)][:BASELINE_RUNS]
        found[metric] = Baseline(
            values=tuple(figures(r)[metric] for r in runs), runs=tuple(r.run_id for r in runs),
            golden=None if golden is None else golden.values.get(metric),
            golden_run="" if golden is None else golden.run_id,
        )
    return found
