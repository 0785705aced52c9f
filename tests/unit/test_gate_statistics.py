"""The gate's statistics against the vectors of the gate model, and against exact arithmetic."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from trading_core.gate.evidence import Tally
from trading_core.gate.statistics import (
    PASS_MIX,
    REFUTE_MIX,
    clopper_pearson,
    composition_size,
    concentrated_symbol,
    e_refute,
    e_threshold,
    e_value,
    fixed_size,
    is_above_at,
    orders_missing,
    orders_needed,
    poisson_upper,
)

RUNS, LOOKS = 10_000, 600


def tally(successes: int, failures: int) -> Tally:
    return Tally(successes=successes, failures=failures)


@pytest.mark.parametrize(
    ("p0", "sizes"),
    [
        ("0.80", (14, 22, 30, 37)), ("0.90", (29, 46, 61, 76)), ("0.95", (59, 93, 124, 153)),
        ("0.99", (299, 473, 628, 773)),
    ],
)
def test_fixed_sizes_are_those_of_the_model(p0: str, sizes: tuple[int, ...]) -> None:
    assert tuple(fixed_size(Decimal(p0), failures) for failures in range(4)) == sizes


@pytest.mark.parametrize(("p0", "orders"), [("0.95", (72, 128, 169, 207)), ("0.80", (17, 30, 40, 49))])
def test_orders_needed_are_those_of_the_model(p0: str, orders: tuple[int, ...]) -> None:
    assert tuple(orders_needed(Decimal(p0), failures) for failures in range(4)) == orders


@pytest.mark.parametrize(("limit", "size"), [("0.50", 5), ("0.30", 9), ("0.10", 29)])
def test_composition_sizes_are_those_of_the_model(limit: str, size: int) -> None:
    assert composition_size(Decimal(limit)) == size


@pytest.mark.parametrize(("p0", "failures"), [("0.95", 0), ("0.95", 3), ("0.80", 0), ("0.80", 2)])
def test_one_order_less_does_not_reach_the_threshold(p0: str, failures: int) -> None:
    needed = orders_needed(Decimal(p0), failures)
    assert e_value(tally(needed - failures, failures), Decimal(p0)) >= e_threshold()
    assert e_value(tally(needed - 1 - failures, failures), Decimal(p0)) < e_threshold()


@pytest.mark.parametrize(("successes", "failures"), [(0, 0), (71, 0), (125, 3), (0, 9), (400, 12)])
@pytest.mark.parametrize("p0", ["0.8", "0.95"])
def test_e_processes_equal_exact_fractions(successes: int, failures: int, p0: str) -> None:
    p = Fraction(p0)
    up = [p + (1 - p) * Fraction(share) for share in PASS_MIX]
    down = [p * Fraction(share) for share in REFUTE_MIX]
    for rates, value in ((up, e_value(tally(successes, failures), Decimal(p0))),
                         (down, e_refute(tally(successes, failures), Decimal(p0)))):
        terms = ((q / p) ** successes * ((1 - q) / (1 - p)) ** failures for q in rates)
        exact = Fraction(sum(terms, Fraction(0))) / len(rates)
        assert abs(Fraction(value) - exact) <= exact / 10**40


def test_clopper_pearson_agrees_with_the_exact_binomial_test() -> None:
    for successes, n in ((59, 59), (58, 59), (91, 93), (290, 299)):
        cleared = is_above_at(tally(successes, n - successes), Decimal("0.95"))
        assert (clopper_pearson(successes, n).lower >= Decimal("0.95")) == cleared


def test_bounds_without_trials_are_the_whole_range() -> None:
    bounds = clopper_pearson(0, 0)
    assert (bounds.lower, bounds.upper) == (0, 1)


def test_bounds_hold_the_estimate_between_them() -> None:
    for successes, n in ((0, 5), (5, 5), (3, 7), (950, 1000)):
        bounds = clopper_pearson(successes, n)
        assert bounds.lower <= Decimal(successes) / n <= bounds.upper


def test_no_event_in_an_hour_leaves_three_per_hour_possible() -> None:
    assert poisson_upper(0, 3600) == Decimal("2.995732")


def test_poisson_bound_grows_with_events() -> None:
    assert poisson_upper(0, 3600) < poisson_upper(1, 3600) < poisson_upper(5, 3600)


def test_failures_of_one_symbol_are_noticed() -> None:
    clean = tally(72, 0)
    found = concentrated_symbol({"A": tally(70, 6), "B": clean, "C": clean, "D": clean})
    assert found is not None
    assert found[0] == "A"


def test_failures_spread_evenly_are_no_concentration() -> None:
    assert concentrated_symbol({name: tally(70, 2) for name in "ABCD"}) is None


def test_one_symbol_alone_cannot_concentrate() -> None:
    assert concentrated_symbol({"A": tally(70, 9)}) is None


def test_forecast_of_a_clean_start_is_the_rest_of_the_vector() -> None:
    assert orders_missing(tally(40, 0), Decimal("0.95")) == 32


def test_forecast_at_a_hopeless_rate_is_never() -> None:
    assert orders_missing(tally(90, 10), Decimal("0.95")) is None


def test_forecast_reaches_the_threshold_and_not_one_order_earlier() -> None:
    start, p0 = tally(100, 1), Decimal("0.95")
    more = orders_missing(start, p0)
    assert more is not None
    failed = -(-more // 101)
    assert e_value(tally(100 + more - failed, 1 + failed), p0) >= e_threshold()
    earlier = -(-(more - 1) // 101)
    assert e_value(tally(100 + more - 1 - earlier, 1 + earlier), p0) < e_threshold()


@pytest.mark.parametrize("p0", [0.8, 0.95])
def test_looking_after_every_order_gives_a_false_go_in_at_most_five_of_a_hundred_runs(p0: float) -> None:
    accepted = np.random.default_rng(20261121).random((RUNS, LOOKS)) < p0
    successes = np.cumsum(accepted, axis=1)
    failures = np.arange(1, LOOKS + 1) - successes
    terms = []
    for share in PASS_MIX:
        rate = p0 + (1 - p0) * float(share)
        with np.errstate(divide="ignore", invalid="ignore"):
            lost = np.where(failures > 0, failures * np.log((1 - rate) / (1 - p0)), 0.0)
        terms.append(successes * np.log(rate / p0) + lost)
    peak = np.logaddexp.reduce(np.array(terms), axis=0).max(axis=1) - np.log(len(PASS_MIX))
    assert np.mean(peak >= np.log(20)) <= 0.05


def test_a_good_bot_passes_within_the_planned_orders_nearly_always() -> None:
    accepted = np.random.default_rng(7).random((RUNS, 400)) < 0.995
    failures = 400 - accepted.sum(axis=1)
    enough = max(f for f in range(20) if e_value(tally(400 - f, f), Decimal("0.95")) >= 20)
    assert np.mean(failures <= enough) >= 0.95
