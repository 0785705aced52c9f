"""The statistics of the gate: e-processes in exact Decimals, Clopper–Pearson bounds, sizes and forecasts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from fractions import Fraction

import msgspec
import numpy as np
from scipy import special

from trading_core.gate.evidence import Tally

PASS_MIX = (Decimal("0.4"), Decimal("0.6"), Decimal("0.8"), Decimal("0.9"), Decimal("1"))
REFUTE_MIX = (Decimal("0.5"), Decimal("0.7"), Decimal("0.85"), Decimal("0.9"))
ALPHA = Decimal("0.05")

# Fifty digits, and an exponent range that a day of orders cannot leave. Decimal gives the same digits anywhere.
_EXACT = Context(prec=50, Emax=999_999_999, Emin=-999_999_999)
_DIGITS = 9  # of bounds that scipy computes in binary: beyond these, platforms may differ
ORDERS_MAX = 20_000  # two weeks of one order a minute: a forecast beyond it is "not at this rate"


class Bounds(msgspec.Struct, frozen=True):
    """One-sided lower and upper bounds of a share, each at 1 − alpha."""

    lower: Decimal
    upper: Decimal


def e_value(tally: Tally, p0: Decimal) -> Decimal:
    """Return the mixture e-process against "the rate is at most p0": evidence that it is higher."""
    return _mixture(tally, p0, [p0 + (1 - p0) * share for share in PASS_MIX])


def e_refute(tally: Tally, p0: Decimal) -> Decimal:
    """Return the mirror process against "the rate is at least p0": evidence that it is lower."""
    return _mixture(tally, p0, [p0 * share for share in REFUTE_MIX])


def e_threshold(alpha: Decimal = ALPHA) -> Decimal:
    """Return 1/alpha: what an e-process must reach, whenever it is looked at."""
    return _EXACT.divide(Decimal(1), alpha)


def _mixture(tally: Tally, p0: Decimal, rates: list[Decimal]) -> Decimal:
    total = Decimal(0)
    for rate in rates:
        gain = _power(_EXACT.divide(rate, p0), tally.successes)
        loss = _power(_EXACT.divide(1 - rate, 1 - p0), tally.failures)
        total = _EXACT.add(total, _EXACT.multiply(gain, loss))
    return _EXACT.divide(total, Decimal(len(rates)))


def _power(base: Decimal, exponent: int) -> Decimal:
    return Decimal(1) if exponent == 0 else _EXACT.power(base, Decimal(exponent))


def clopper_pearson(successes: int, n: int, alpha: Decimal = ALPHA) -> Bounds:
    """Return the exact one-sided bounds of a share; (0, 1) without trials. Rounded to nine digits, outwards."""
    failures, tail = n - successes, float(alpha)
    lower = float(special.betaincinv(successes, failures + 1, tail)) if successes else 0.0
    upper = float(special.betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    scale = 10**_DIGITS
    # A last-bit wobble must not push a bound over a digit, hence the shift by a thousandth of one.
    low, high = math.floor(lower * scale + 1e-3), math.ceil(upper * scale - 1e-3)
    return Bounds(Decimal(max(low, 0)).scaleb(-_DIGITS), Decimal(min(high, scale)).scaleb(-_DIGITS))


def is_above_at(tally: Tally, p0: Decimal, alpha: Decimal = ALPHA) -> bool:
    """Tell, in exact arithmetic, whether the Clopper–Pearson lower bound is at least p0."""
    return _binomial_tail(tally.n, tally.failures, 1 - Fraction(p0)) <= Fraction(alpha)


def _binomial_tail(n: int, at_most: int, p: Fraction) -> Fraction:
    return sum((math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(at_most + 1)), Fraction(0))


def fixed_size(p0: Decimal, failures: int = 0, alpha: Decimal = ALPHA) -> int:
    """Return how many trials with so many failures clear p0 by Clopper–Pearson, looked at once.

    >>> [fixed_size(Decimal("0.95"), failures) for failures in range(4)]
    [59, 93, 124, 153]
    """
    return _smallest(failures, lambda n: is_above_at(Tally(successes=n - failures, failures=failures), p0, alpha))


def orders_needed(p0: Decimal, failures: int = 0, alpha: Decimal = ALPHA) -> int:
    """Return how many trials with so many failures bring the e-process to 1/alpha.

    >>> [orders_needed(Decimal("0.95"), failures) for failures in range(4)]
    [72, 128, 169, 207]
    """
    limit = e_threshold(alpha)
    return _smallest(failures, lambda n: e_value(Tally(successes=n - failures, failures=failures), p0) >= limit)


def composition_size(limit: Decimal, alpha: Decimal = ALPHA) -> int:
    """Return how many items, none of them of the part, put the part's share below the limit.

    >>> [composition_size(Decimal(limit)) for limit in ("0.5", "0.3", "0.1")]
    [5, 9, 29]
    """
    return fixed_size(1 - limit, 0, alpha)


def _smallest(start: int, holds: Callable[[int], bool]) -> int:
    """Return the smallest n from start on for which a monotone condition holds."""
    low, step = start, 1
    while not holds(low + step):
        low, step = low + step, step * 2
    if low == start and holds(start):
        return start
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def poisson_upper(events: int, window_s: int, alpha: Decimal = ALPHA) -> Decimal:
    """Return the upper bound of the events per hour; −ln α / T if there were none."""
    expected = -math.log(float(alpha)) if events == 0 else float(special.gammaincinv(events + 1, 1 - float(alpha)))
    return Decimal(repr(round(expected * 3600 / window_s, 6)))


def concentrated_symbol(by_symbol: Mapping[str, Tally], alpha: Decimal = ALPHA) -> tuple[str, Decimal] | None:
    """Return the symbol that holds more failures than chance explains, with its p-value; None if none does.

    Hypergeometric: of all trials, so many failed; how likely is it that one symbol drew so many of them?
    Bonferroni over the symbols.
    """
    n = sum(tally.n for tally in by_symbol.values())
    failures = sum(tally.failures for tally in by_symbol.values())
    if len(by_symbol) < 2 or failures == 0:
        return None
    worst = min(
        (_drawn_at_least(tally.failures, n, failures, tally.n), symbol) for symbol, tally in by_symbol.items()
    )
    if worst[0] * len(by_symbol) > Fraction(alpha):
        return None
    return worst[1], Decimal(repr(round(float(worst[0]), 9)))


def _drawn_at_least(drawn: int, population: int, marked: int, draws: int) -> Fraction:
    ways = sum(
        math.comb(marked, k) * math.comb(population - marked, draws - k)
        for k in range(drawn, min(marked, draws) + 1)
    )
    return Fraction(ways, math.comb(population, draws))


def orders_missing(tally: Tally, p0: Decimal, alpha: Decimal = ALPHA) -> int | None:
    """Return how many more orders at the observed rate reach 1/alpha; None if that rate never does.

    The forecast rounds the expected failures up, so it errs on the long side.
    """
    more = np.arange(1, ORDERS_MAX + 1, dtype=np.int64)
    failed = -(-more * tally.failures // tally.n) if tally.n else np.zeros_like(more)
    successes, failures = tally.successes + more - failed, tally.failures + failed
    logs = []
    for share in PASS_MIX:
        rate = float(p0 + (1 - p0) * share)
        loss = math.log((1 - rate) / (1 - float(p0))) if rate < 1 else -math.inf
        lost = np.where(failures > 0, failures * loss if rate < 1 else -np.inf, 0.0)
        logs.append(successes * math.log(rate / float(p0)) + lost)
    total = np.logaddexp.reduce(np.array(logs), axis=0) - math.log(len(PASS_MIX))
    reached = np.flatnonzero(total >= math.log(float(e_threshold(alpha))) - 1e-9)
    return int(more[reached[0]]) if reached.size else None
