"""The laws of the fold, proven for every multiset of up to four criteria: 7 outcomes × 3 tiers, and escalation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import chain, combinations, combinations_with_replacement, permutations, product

import pytest

from trading_core.gate.fold import Ballot, Folded, GuardrailStatus, StageSummary, fold
from trading_core.gate.outcomes import REASONS, Disposition, Outcome, Verdict
from trading_core.gate.result import CriterionResult
from trading_core.plan import Kind, Level, Stage, Tier
from trading_core.stages.result import StageStatus

Symbol = tuple[Outcome, Tier, bool]
SYMBOLS: list[Symbol] = [(o, t, False) for o, t in product(Outcome, Tier)] + [(Outcome.FAIL, Tier.SHOULD, True)]
RANK = {Verdict.GO: 0, Verdict.CONDITIONAL: 1, Verdict.NO_GO: 2}
# From good to bad; NO_DATA and ERROR are equally bad.
LADDER = [Outcome.PASS, Outcome.WARN, Outcome.INCONCLUSIVE, Outcome.NO_DATA, Outcome.ERROR, Outcome.FAIL]
CONTEXTS = [
    {"has_restricted_envelope": envelope, "approval_problem": problem, "should_budget": budget}
    for envelope, problem, budget in product((True, False), ("", "0 of 1 approvals"), (0, 1, 2))
]
FOUR = 4


@cache
def result(symbol: Symbol, position: int) -> CriterionResult:
    outcome, tier, escalates = symbol
    reason = min(REASONS[outcome])
    return CriterionResult(
        outcome=outcome, reason=reason, detail="seen", name=f"c{position}", title=f"Criterion {position}", tier=tier,
        kind=Kind.RATE, stage=Stage.LIVE_MICRO_TEST, metric="m", because="a law", escalates=escalates,
    )


def ballot(symbols: tuple[Symbol, ...], **changes: object) -> Ballot:
    base = Ballot(results=tuple(result(s, i) for i, s in enumerate(symbols)), level=Level.L0)
    return replace(base, **changes)  # type: ignore[arg-type]


def gates(up_to: int) -> Iterator[tuple[Symbol, ...]]:
    """Every multiset of up to so many criteria: that order does not matter is a law of its own."""
    return chain.from_iterable(combinations_with_replacement(SYMBOLS, n) for n in range(up_to + 1))


def applicable_musts(symbols: tuple[Symbol, ...]) -> list[Outcome]:
    return [o for o, tier, _ in symbols if tier is Tier.MUST and o is not Outcome.NOT_APPLICABLE]


def test_order_of_criteria_does_not_matter() -> None:
    for symbols in gates(FOUR):
        results = ballot(symbols).results
        expected = fold(ballot(symbols, has_restricted_envelope=True))
        for order in permutations(results):
            assert fold(ballot(symbols, results=order, has_restricted_envelope=True)) == expected


@pytest.mark.parametrize("context", CONTEXTS, ids=str)
def test_a_worse_outcome_never_gives_a_better_verdict(context: dict[str, object]) -> None:
    verdicts = {symbols: RANK[fold(ballot(symbols, **context)).verdict] for symbols in gates(FOUR)}
    for symbols, before in verdicts.items():
        for index, (outcome, tier, escalates) in enumerate(symbols):
            if outcome is Outcome.NOT_APPLICABLE:
                continue
            worse = LADDER[LADDER.index(outcome) + 1 :]
            for lower in [*worse, *([Outcome.NOT_APPLICABLE] if outcome is Outcome.PASS else [])]:
                changed = [*symbols[:index], (lower, tier, escalates and lower is Outcome.FAIL), *symbols[index + 1 :]]
                assert verdicts[as_multiset(changed)] >= before


def as_multiset(symbols: list[Symbol]) -> tuple[Symbol, ...]:
    return tuple(sorted(symbols, key=SYMBOLS.index))


@pytest.mark.parametrize("context", CONTEXTS, ids=str)
def test_escalation_never_gives_a_better_verdict(context: dict[str, object]) -> None:
    plain, escalating = (Outcome.FAIL, Tier.SHOULD, False), (Outcome.FAIL, Tier.SHOULD, True)
    for symbols in gates(FOUR - 1):
        calm = fold(ballot((*symbols, plain), **context))
        loud = fold(ballot((*symbols, escalating), **context))
        assert RANK[loud.verdict] >= RANK[calm.verdict]
        assert loud.verdict is Verdict.NO_GO


def test_a_nice_criterion_changes_nothing_at_all() -> None:
    for symbols in gates(FOUR - 1):
        before = fold(ballot(symbols, has_restricted_envelope=True))
        for outcome in Outcome:
            assert fold(ballot((*symbols, (outcome, Tier.NICE, False)), has_restricted_envelope=True)) == before


@pytest.mark.parametrize("context", CONTEXTS, ids=str)
def test_a_gate_without_an_applicable_must_is_no_go(context: dict[str, object]) -> None:
    for symbols in gates(FOUR):
        if not applicable_musts(symbols):
            folded = fold(ballot(symbols, **context))
            assert (folded.verdict, folded.disposition, folded.rule) == (Verdict.NO_GO, Disposition.REPAIR, 2)


def test_only_a_clean_gate_is_go() -> None:
    for symbols in gates(FOUR):
        shown = applicable_musts(symbols)
        shoulds = [o for o, tier, _ in symbols if tier is Tier.SHOULD and o is not Outcome.NOT_APPLICABLE]
        is_clean = bool(shown) and all(o is Outcome.PASS for o in [*shown, *shoulds])
        assert (fold(ballot(symbols, has_restricted_envelope=True)).verdict is Verdict.GO) == is_clean


LATCHED = GuardrailStatus(name="daily_loss", is_latched=True, evaluations=1)
FAILED = StageSummary(stage=Stage.PREFLIGHT, status=StageStatus.FAILED, summary="no key")


@pytest.mark.parametrize(
    ("spoiler", "rules"),
    [
        ({"latched": (LATCHED,)}, {1}),
        ({"chain_problem": "event 7 was changed"}, {2}),
        ({"unfinished": (FAILED,)}, {2, 3, 4}),
        ({"unwatched": ("drift",)}, {2, 3, 4}),
        ({"approval_problem": "0 of 1 approvals"}, {2, 3, 4, 5, 6, 8}),
    ],
    ids=["guardrail", "chain", "stage", "unwatched", "approval"],
)
def test_nothing_outweighs_a_spoiler(spoiler: dict[str, object], rules: set[int]) -> None:
    for symbols in gates(FOUR):
        folded = fold(ballot(symbols, has_restricted_envelope=True, **spoiler))
        assert folded.verdict is Verdict.NO_GO
        assert folded.rule in rules


@pytest.mark.parametrize("context", CONTEXTS, ids=str)
def test_a_waiver_gives_conditional_at_best_and_helps_or_does_nothing(context: dict[str, object]) -> None:
    for symbols in gates(FOUR - 1):
        waivable = [f"c{i}" for i, (o, t, _) in enumerate(symbols) if t is not Tier.NICE and o in LADDER[1:]]
        before = RANK[fold(ballot(symbols, **context)).verdict]
        for count in range(1, len(waivable) + 1):
            for names in combinations(waivable, count):
                verdict = fold(ballot(symbols, waived=frozenset(names), **context)).verdict
                assert verdict is not Verdict.GO
                assert RANK[verdict] <= before


def test_without_a_restricted_envelope_nothing_is_conditional() -> None:
    for symbols in gates(FOUR):
        free = fold(ballot(symbols, has_restricted_envelope=True))
        bound = fold(ballot(symbols, has_restricted_envelope=False))
        if free.verdict is Verdict.CONDITIONAL:
            assert (bound.verdict, bound.disposition) == (Verdict.NO_GO, Disposition.HOLD)
        else:
            assert bound == free


@pytest.mark.parametrize("budget", [0, 1, 2])
def test_the_first_matching_rule_decides(budget: int) -> None:
    for symbols in gates(FOUR):
        folded = fold(ballot(symbols, has_restricted_envelope=True, should_budget=budget))
        assert (folded.rule, folded.disposition) == expected_rule(symbols, budget)


def expected_rule(symbols: tuple[Symbol, ...], budget: int) -> tuple[int, Disposition | None]:
    """The table of the gate model, written a second time and without looking at the first."""
    musts = applicable_musts(symbols)
    shoulds = [(o, e) for o, t, e in symbols if t is Tier.SHOULD and o not in (Outcome.PASS, Outcome.NOT_APPLICABLE)]
    reasons = {o for o, _ in shoulds}
    if not musts:
        return 2, Disposition.REPAIR
    if Outcome.FAIL in musts:
        return 3, Disposition.REJECT
    if Outcome.NO_DATA in musts or Outcome.ERROR in musts:
        return 4, Disposition.REPAIR
    if Outcome.INCONCLUSIVE in musts:
        return 5, Disposition.EXTEND
    if any(e for _, e in shoulds):
        return 6, Disposition.REJECT
    if len(shoulds) > budget:
        for outcomes, disposition in (
            ({Outcome.FAIL}, Disposition.REJECT),
            ({Outcome.NO_DATA, Outcome.ERROR}, Disposition.REPAIR),
            ({Outcome.INCONCLUSIVE}, Disposition.EXTEND),
        ):
            if reasons & outcomes:
                return 6, disposition
        return 6, Disposition.HOLD
    return (7, None) if Outcome.WARN in musts or shoulds else (9, None)


def test_every_no_go_names_a_disposition_and_nothing_else_does() -> None:
    for symbols in gates(FOUR):
        folded: Folded = fold(ballot(symbols))
        assert (folded.verdict is Verdict.NO_GO) == (folded.disposition is not None)
        assert folded.headline.startswith(str(folded.verdict))
