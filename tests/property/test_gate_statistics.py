"""The e-processes for any tally, and the whole judge under re-runs and extensions at the boundary."""

from __future__ import annotations

from decimal import Decimal
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.gate_fixtures import make_context, make_criterion, make_ref
from trading_core.gate.criteria import evaluate
from trading_core.gate.evidence import RateObservation, Tally
from trading_core.gate.outcomes import Outcome
from trading_core.gate.result import PriorTally
from trading_core.gate.statistics import (
    clopper_pearson,
    concentrated_symbol,
    e_refute,
    e_threshold,
    e_value,
    orders_missing,
)
from trading_core.plan import Kind

COUNTS = st.integers(0, 3000)
RATES = st.sampled_from([Decimal("0.5"), Decimal("0.8"), Decimal("0.95"), Decimal("0.99")])
SUBJECTS, ATTEMPTS, ORDERS = 400, 5, 60


def tally(successes: int, failures: int) -> Tally:
    return Tally(successes=successes, failures=failures)


@given(COUNTS, COUNTS, RATES)
def test_a_success_raises_the_evidence_and_a_failure_lowers_it(successes: int, failures: int, p0: Decimal) -> None:
    before = e_value(tally(successes, failures), p0)
    assert e_value(tally(successes + 1, failures), p0) > before
    assert e_value(tally(successes, failures + 1), p0) < before


@given(COUNTS, COUNTS, RATES)
def test_the_mirror_moves_the_other_way(successes: int, failures: int, p0: Decimal) -> None:
    before = e_refute(tally(successes, failures), p0)
    assert e_refute(tally(successes + 1, failures), p0) < before
    assert e_refute(tally(successes, failures + 1), p0) > before


@given(COUNTS, COUNTS, RATES)
def test_nothing_is_shown_and_refuted_at_once(successes: int, failures: int, p0: Decimal) -> None:
    both = (e_value(tally(successes, failures), p0), e_refute(tally(successes, failures), p0))
    assert min(both) < e_threshold()


@given(COUNTS, COUNTS)
def test_bounds_enclose_the_share_and_lie_between_zero_and_one(successes: int, failures: int) -> None:
    n = successes + failures
    bounds = clopper_pearson(successes, n)
    assert 0 <= bounds.lower <= bounds.upper <= 1
    if n:
        assert bounds.lower <= Decimal(successes) / n <= bounds.upper


@given(st.integers(1, 300), st.integers(0, 6), RATES)
def test_a_forecast_is_enough(successes: int, failures: int, p0: Decimal) -> None:
    more = orders_missing(tally(successes, failures), p0)
    if more is not None:
        failed = -(-more * failures // (successes + failures))
        assert e_value(tally(successes + more - failed, failures + failed), p0) >= e_threshold() * Decimal("0.999999")


@given(st.dictionaries(st.sampled_from("ABCDE"), st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=5))
def test_only_a_symbol_with_failures_is_accused(counts: dict[str, tuple[int, int]]) -> None:
    symbols = {name: tally(*pair) for name, pair in counts.items()}
    found = concentrated_symbol(symbols)
    if found is not None:
        assert symbols[found[0]].failures > 0


def test_re_running_until_it_passes_gives_a_false_pass_in_at_most_five_of_a_hundred_subjects() -> None:
    random, criterion, ref = Random(20261121), make_criterion(Kind.RATE), make_ref()
    passed = 0
    for _ in range(SUBJECTS):
        prior = tally(0, 0)
        for attempt in range(ATTEMPTS):
            failures = sum(random.random() >= 0.95 for _ in range(ORDERS))
            own = tally(ORDERS - failures, failures)
            past = {"m": PriorTally(pooled=prior, attempts=attempt)} if attempt else {}
            seen = RateObservation(metric="m", refs=(ref,), pooled=own)
            outcome = evaluate(criterion, seen, make_context(attempts=past)).outcome
            prior = tally(prior.successes + own.successes, prior.failures + own.failures)
            if outcome is Outcome.PASS:
                passed += 1
                break
    assert passed / SUBJECTS <= 0.05
