"""How shares are judged: rates and latency quantiles by e-process, compositions by exact bound."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from trading_core.gate.evidence import CompositionObservation, RateObservation, Tally
from trading_core.gate.outcomes import Outcome, Reason
from trading_core.gate.result import (
    Finding,
    GateContext,
    PriorTally,
    Shortfall,
    SymbolResult,
    share_text,
    text,
)
from trading_core.gate.statistics import (
    clopper_pearson,
    composition_size,
    concentrated_symbol,
    e_refute,
    e_threshold,
    e_value,
    orders_missing,
)
from trading_core.plan import Criterion, Kind

SECONDS_PER_HOUR = 3600
E_RECORDED_MAX = Decimal(10**12)


def judge_rate(criterion: Criterion, seen: RateObservation, context: GateContext) -> Finding:
    """Return what the trials of this attempt and of the earlier ones show about the rate p0.

    Passes only if the pooled e-process reaches 1/alpha, no symbol is refuted by itself and none concentrates the
    failures. Raises ValueError if the plan gives no p0 or the symbols do not add up to the pool.
    """
    if criterion.p0 is None:
        raise ValueError(f"criterion {criterion.name} has no p0: add it to the plan")
    _require_sums(seen)
    if seen.pooled.n == 0:
        return Finding(outcome=Outcome.NO_DATA, reason=Reason.EMPTY, n=0, detail="no trial was made")
    prior = context.attempts.get(criterion.name)
    pooled, by_symbol = _with_prior(seen, prior)
    limit = e_threshold(criterion.alpha)
    symbols = tuple(_symbol(name, tally, criterion.p0, limit) for name, tally in sorted(by_symbol.items()))
    bounds = clopper_pearson(pooled.successes, pooled.n, criterion.alpha)
    gain, loss = e_value(pooled, criterion.p0), e_refute(pooled, criterion.p0)
    base = Finding(
        outcome=Outcome.INCONCLUSIVE,
        reason=Reason.INSUFFICIENT_SAMPLE,
        detail=_rate_text(criterion, pooled, seen),
        estimate=_share(pooled.successes, pooled.n),
        lower=bounds.lower,
        upper=bounds.upper,
        n=pooled.n,
        failures=pooled.failures,
        e_value=_short(gain),
        e_refute=_short(loss),
        threshold=limit,
        by_symbol=symbols,
        prior_attempts=prior.attempts if prior else 0,
    )
    if loss >= limit:
        return _turn(base, Outcome.FAIL, Reason.BOUND_BELOW, "; refuted")
    if finding := _one_symbol_spoils(criterion, base, by_symbol):
        return finding
    if gain >= limit and pooled.n >= (criterion.n_min or 0):
        return _turn(base, Outcome.PASS, Reason.BOUND_CLEARS, "")
    shortfall = _rate_shortfall(criterion, pooled, context)
    return base.model_copy(update={"shortfall": shortfall, "detail": f"{base.detail}; {shortfall.sentence}"})


def _one_symbol_spoils(criterion: Criterion, base: Finding, by_symbol: dict[str, Tally]) -> Finding | None:
    """Return why no pooled figure may pass: a symbol refuted by itself, or one that has the failures."""
    if refuted := [s for s in base.by_symbol if s.is_refuted]:
        worst = max(refuted, key=lambda s: (s.e_refute, s.symbol))
        words = f"; {worst.symbol} is refuted by itself: {worst.failures} of {worst.n} failed"
        return _turn(base, Outcome.FAIL, Reason.BOUND_BELOW, words)
    if found := concentrated_symbol(by_symbol, criterion.alpha):
        symbol, p_value = found
        words = f"; {symbol} has {by_symbol[symbol].failures} of the {base.failures} failures (p = {p_value})"
        return _turn(base, Outcome.INCONCLUSIVE, Reason.HETEROGENEOUS, words)
    return None


def judge_composition(criterion: Criterion, seen: CompositionObservation) -> Finding:
    """Return whether the upper bound of the part's share is below the limit.

    Not applicable to an empty whole, nor to one below the plan's `n_min`: so few have no composition.
    """
    if criterion.limit is None:
        raise ValueError(f"criterion {criterion.name} has no limit: add it to the plan")
    if seen.part > seen.whole:
        raise ValueError(f"part {seen.part} is above the whole {seen.whole}")
    if seen.whole == 0:
        words = "there was none to divide"
        return Finding(outcome=Outcome.NOT_APPLICABLE, reason=Reason.PRECONDITION_FALSE, n=0, detail=words)
    if seen.whole < (criterion.n_min or 0):
        words = f"{seen.part} of {seen.whole}: fewer than {criterion.n_min} have no composition"
        return Finding(outcome=Outcome.NOT_APPLICABLE, reason=Reason.PRECONDITION_FALSE, n=seen.whole, detail=words)
    bounds = clopper_pearson(seen.part, seen.whole, criterion.alpha)
    at_most, limit = share_text(bounds.upper), share_text(criterion.limit)
    base = Finding(
        outcome=Outcome.INCONCLUSIVE,
        reason=Reason.INSUFFICIENT_SAMPLE,
        detail=f"{seen.part} of {seen.whole}, at most {at_most} (limit {limit})",
        estimate=_share(seen.part, seen.whole),
        lower=bounds.lower,
        upper=bounds.upper,
        n=seen.whole,
        failures=seen.part,
        threshold=criterion.limit,
    )
    if bounds.upper < criterion.limit:
        return _turn(base, Outcome.PASS, Reason.BOUND_CLEARS, "")
    if bounds.lower > criterion.limit:
        return _turn(base, Outcome.FAIL, Reason.BOUND_BELOW, "")
    needed = max(0, composition_size(criterion.limit, criterion.alpha) - seen.whole) or None
    sentence = f"{needed} more could show it" if needed else "more are needed, with a smaller share of these"
    shortfall = Shortfall(unit="rejections", more=needed, sentence=sentence)
    return base.model_copy(update={"shortfall": shortfall, "detail": f"{base.detail}; {sentence}"})


def _require_sums(seen: RateObservation) -> None:
    if not seen.by_symbol:
        return
    summed = (sum(t.successes for t in seen.by_symbol.values()), sum(t.failures for t in seen.by_symbol.values()))
    if summed != (seen.pooled.successes, seen.pooled.failures):
        pool = (seen.pooled.successes, seen.pooled.failures)
        raise ValueError(f"the symbols add up to {summed}, the pool says {pool} (successes, failures)")


def _with_prior(seen: RateObservation, prior: PriorTally | None) -> tuple[Tally, dict[str, Tally]]:
    if prior is None:
        return seen.pooled, dict(seen.by_symbol)
    names = {*seen.by_symbol, *prior.by_symbol}
    none = Tally(successes=0, failures=0)
    symbols = {name: _add(seen.by_symbol.get(name, none), prior.by_symbol.get(name, none)) for name in names}
    return _add(seen.pooled, prior.pooled), symbols


def _add(one: Tally, other: Tally) -> Tally:
    return Tally(successes=one.successes + other.successes, failures=one.failures + other.failures)


def _symbol(name: str, tally: Tally, p0: Decimal, limit: Decimal) -> SymbolResult:
    loss = e_refute(tally, p0)
    return SymbolResult(
        symbol=name,
        n=tally.n,
        failures=tally.failures,
        e_value=_short(e_value(tally, p0)),
        e_refute=_short(loss),
        is_refuted=loss >= limit,
    )


def _rate_shortfall(criterion: Criterion, pooled: Tally, context: GateContext) -> Shortfall:
    assert criterion.p0 is not None
    more = orders_missing(pooled, criterion.p0, criterion.alpha)
    if more is None:
        words = f"never shown at the observed rate of {share_text(_share(pooled.successes, pooled.n))}"
        return Shortfall(unit="orders", more=None, sentence=words)
    more = max(more, (criterion.n_min or 0) - pooled.n)
    prior = context.attempts.get(criterion.name)
    made = pooled.n - (prior.pooled.n if prior else 0)
    words = f"{more} more {'order is' if more == 1 else 'orders are'} needed"
    if not context.trading_window_s or made <= 0:
        return Shortfall(unit="orders", more=more, sentence=words)
    exact = Decimal(more * context.trading_window_s) / (made * SECONDS_PER_HOUR)
    hours = exact.quantize(Decimal("0.01"), ROUND_CEILING)
    return Shortfall(unit="orders", more=more, hours=hours, sentence=f"{words}, {text(hours)} h at this rate")


def _rate_text(criterion: Criterion, pooled: Tally, seen: RateObservation) -> str:
    assert criterion.p0 is not None
    if criterion.kind is Kind.LATENCY_QUANTILE:
        limit, worst = text(criterion.quantile_limit), "" if seen.worst is None else f", worst {text(seen.worst)}"
        what = f"{pooled.successes} of {pooled.n} within {limit} ms{worst}"
    else:
        what = f"{pooled.successes} of {pooled.n}"
    share, beside = share_text(_share(pooled.successes, pooled.n)), f", {seen.detail}" if seen.detail else ""
    return f"{what}, {share} (must exceed {share_text(criterion.p0)}){beside}"


def _turn(base: Finding, outcome: Outcome, reason: Reason, words: str) -> Finding:
    return base.model_copy(update={"outcome": outcome, "reason": reason, "detail": base.detail + words})


def _share(part: int, whole: int) -> Decimal:
    return (Decimal(part) / Decimal(whole)).quantize(Decimal("0.000001")) if whole else Decimal(0)


def _short(value: Decimal) -> Decimal:
    """Return an e-value as it is recorded: nine decimals, cut at 10^12, far beyond any threshold."""
    return min(value, E_RECORDED_MAX).quantize(Decimal("0.000000001"))
