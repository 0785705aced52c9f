"""The fold: outcomes in, one verdict out, by nine rules of which the first that matches decides. No scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pydantic import Field

from trading_core.gate.outcomes import Disposition, Outcome, Verdict
from trading_core.gate.result import CriterionResult, text
from trading_core.plan import Exact, Level, PlanModel, Stage, Tier
from trading_core.stages.result import StageStatus

STAGE_ORDER = {stage: index for index, stage in enumerate(Stage)}
GUARDRAIL_GAP_MAX_S = 5  # gates.md: evaluated at least every five seconds
_BROKEN = frozenset({Outcome.NO_DATA, Outcome.ERROR})
_SETTLED = frozenset({Outcome.PASS, Outcome.NOT_APPLICABLE})


class GuardrailStatus(PlanModel):
    """What became of one guardrail of the plan: how often it was looked at, and whether it latched.

    `longest_gap_s` is in seconds of the machine, not of an accelerated venue.
    """

    name: str
    is_latched: bool
    evaluations: int = Field(ge=0)
    longest_gap_s: Exact | None = None
    worst: Exact | None = None
    limit: Exact | None = None
    detail: str = ""
    event_seqs: tuple[int, ...] = ()

    @property
    def was_watched(self) -> bool:
        """Tell whether it was evaluated, and often enough."""
        is_dense = self.longest_gap_s is None or self.longest_gap_s <= GUARDRAIL_GAP_MAX_S
        return self.evaluations > 0 and is_dense


class StageSummary(PlanModel):
    """How one stage ended, and the sentence that says why."""

    stage: Stage
    status: StageStatus
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """Everything that the fold looks at. What the plan lists and nobody reported counts against."""

    results: tuple[CriterionResult, ...]
    level: Level
    latched: tuple[GuardrailStatus, ...] = ()
    unwatched: tuple[str, ...] = ()
    unfinished: tuple[StageSummary, ...] = ()
    chain_problem: str = ""
    waived: frozenset[str] = frozenset()
    should_budget: int = 1
    has_restricted_envelope: bool = False
    approval_problem: str = ""
    alert_problem: str = ""  # a CRITICAL that nobody acknowledged


class Folded(PlanModel):
    """The answer, the number of the rule that gave it, and one sentence with the figure that decided."""

    verdict: Verdict
    disposition: Disposition | None
    rule: int = Field(ge=1, le=9)
    headline: str


def fold(ballot: Ballot) -> Folded:
    """Return the first rule's answer that matches."""
    for rule in RULES:
        if folded := rule(ballot):
            return folded
    return Folded(verdict=Verdict.GO, disposition=None, rule=9, headline=_go_sentence(ballot))


def _rule_1_guardrail(ballot: Ballot) -> Folded | None:
    if not ballot.latched:
        return None
    first = min(ballot.latched, key=lambda g: g.name)
    by_figure = "" if first.worst is None else f"{text(first.worst)} (limit {text(first.limit)})"
    figures = first.detail or by_figure
    words = f"guardrail {first.name} latched" + (f": {figures}" if figures else "")
    return _no_go(Disposition.ROLLBACK, 1, words)


def _rule_2_evidence(ballot: Ballot) -> Folded | None:
    if ballot.chain_problem:
        return _no_go(Disposition.REPAIR, 2, f"the evidence chain does not verify: {ballot.chain_problem}")
    if not any(r.tier is Tier.MUST and r.outcome is not Outcome.NOT_APPLICABLE for r in ballot.results):
        return _no_go(Disposition.REPAIR, 2, "no must criterion applies: an empty gate lets nothing through")
    return None


def _rule_3_must_failed(ballot: Ballot) -> Folded | None:
    failed = _open_musts(ballot, frozenset({Outcome.FAIL}))
    return _no_go(Disposition.REJECT, 3, _name_worst(failed)) if failed else None


def _rule_4_must_unusable(ballot: Ballot) -> Folded | None:
    if ballot.unfinished:
        first = min(ballot.unfinished, key=lambda s: (s.status is not StageStatus.FAILED, STAGE_ORDER[s.stage]))
        words = f"stage {first.stage} {'failed' if first.status is StageStatus.FAILED else 'was not run'}"
        return _no_go(Disposition.REPAIR, 4, words + (f": {first.summary}" if first.summary else ""))
    if unusable := _open_musts(ballot, _BROKEN):
        return _no_go(Disposition.REPAIR, 4, _name_worst(unusable))
    if ballot.unwatched:
        return _no_go(Disposition.REPAIR, 4, f"guardrail {min(ballot.unwatched)} was not watched every 5 s")
    return None


def _rule_5_must_inconclusive(ballot: Ballot) -> Folded | None:
    unclear = _open_musts(ballot, frozenset({Outcome.INCONCLUSIVE}))
    return _no_go(Disposition.EXTEND, 5, _name_worst(unclear)) if unclear else None


def _rule_6_shoulds(ballot: Ballot) -> Folded | None:
    left = [r for r in _shoulds_not_passed(ballot) if r.name not in ballot.waived]
    escalated = [r for r in left if r.escalates and r.outcome is Outcome.FAIL]
    if escalated:
        return _no_go(Disposition.REJECT, 6, _name_worst(escalated))
    if len(left) <= ballot.should_budget:
        return None
    disposition = max((_disposition(r.outcome) for r in left), key=_severity)
    decisive = [r for r in left if _disposition(r.outcome) is disposition]
    words = f"{len(left)} should criteria did not pass (budget {ballot.should_budget}), {_name_worst(decisive)}"
    return _no_go(disposition, 6, words)


def _rule_7_and_8(ballot: Ballot) -> Folded | None:
    """Rule 7 caps the verdict at CONDITIONAL; rule 8 then still asks what people owe: acknowledgements, approvals."""
    reservations = [
        r for r in ballot.results
        if r.tier is Tier.MUST and (r.outcome is Outcome.WARN or r.name in ballot.waived)
    ] + _shoulds_not_passed(ballot)
    if reservations and not ballot.has_restricted_envelope:
        words = f"{_name_worst(reservations)}; the plan declares no restricted envelope"
        return _no_go(Disposition.HOLD, 7, words)
    if problem := ballot.alert_problem or ballot.approval_problem:
        return _no_go(Disposition.HOLD, 8, problem)
    if reservations:
        words = f"CONDITIONAL{_scope(ballot.level)}: {_name_worst(reservations)}"
        return Folded(verdict=Verdict.CONDITIONAL, disposition=None, rule=7, headline=words)
    return None


RULES: tuple[Callable[[Ballot], Folded | None], ...] = (
    _rule_1_guardrail,
    _rule_2_evidence,
    _rule_3_must_failed,
    _rule_4_must_unusable,
    _rule_5_must_inconclusive,
    _rule_6_shoulds,
    _rule_7_and_8,
)


def _open_musts(ballot: Ballot, outcomes: frozenset[Outcome]) -> list[CriterionResult]:
    return [
        r for r in ballot.results if r.tier is Tier.MUST and r.outcome in outcomes and r.name not in ballot.waived
    ]


def _shoulds_not_passed(ballot: Ballot) -> list[CriterionResult]:
    return [r for r in ballot.results if r.tier is Tier.SHOULD and r.outcome not in _SETTLED]


def _disposition(outcome: Outcome) -> Disposition:
    if outcome is Outcome.FAIL:
        return Disposition.REJECT
    if outcome in _BROKEN:
        return Disposition.REPAIR
    return Disposition.EXTEND if outcome is Outcome.INCONCLUSIVE else Disposition.HOLD


def _severity(disposition: Disposition) -> int:
    order = [Disposition.HOLD, Disposition.EXTEND, Disposition.REPAIR, Disposition.REJECT, Disposition.ROLLBACK]
    return order.index(disposition)


def _no_go(disposition: Disposition, rule: int, words: str) -> Folded:
    headline = f"NO-GO ({disposition}): {words}"
    return Folded(verdict=Verdict.NO_GO, disposition=disposition, rule=rule, headline=headline)


def _name_worst(results: Iterable[CriterionResult]) -> str:
    """Return the sentence of the result that a person should read first, and how many more there are."""
    ranked = sorted(results, key=lambda r: (r.precedence, STAGE_ORDER[r.stage], r.name))
    more = f" (and {len(ranked) - 1} more)" if len(ranked) > 1 else ""
    first = ranked[0]
    return f"{first.title} is {first.outcome}: {first.detail}{more}"


def _go_sentence(ballot: Ballot) -> str:
    musts = sum(r.tier is Tier.MUST and r.outcome is Outcome.PASS for r in ballot.results)
    return f"GO{_scope(ballot.level)}: all {musts} must criteria that apply were shown"


def _scope(level: Level) -> str:
    return "" if level is Level.L3 else f" for a rehearsal at {level}, which authorises no live rung"
