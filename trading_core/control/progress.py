"""How far each criterion has come while a run trades: "41 of at least 72 orders", by the gate's own statistics."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from trading_core.gate.catalog import EXERCISED_BY
from trading_core.gate.evidence import Tally
from trading_core.gate.statistics import e_refute, e_threshold, e_value, orders_needed
from trading_core.plan import Criterion, Kind, Plan, Stage


def progress_of(plan: Plan, tallies: Mapping[str, Tally], steps: Mapping[str, bool]) -> list[dict[str, Any]]:
    """Return a row for each criterion that trading decides: rates by their e-process, effects by their step."""
    rows = []
    for criterion in plan.criteria:
        tally = tallies.get(criterion.metric)
        if criterion.kind in (Kind.RATE, Kind.LATENCY_QUANTILE) and criterion.p0 is not None and tally is not None:
            rows.append(_rate(criterion, criterion.p0, tally))
        elif criterion.kind is Kind.EXERCISED and criterion.stage is Stage.LIVE_MICRO_TEST:
            rows.append(_exercised(criterion, steps))
    return rows


def _rate(criterion: Criterion, p0: Decimal, tally: Tally) -> dict[str, Any]:
    is_shown, is_refuted, needed = _judged(p0, criterion.alpha, tally.successes, tally.failures)
    failed = f", {tally.failures} against it" if tally.failures else ""
    if is_refuted:
        words, share = f"refuted: {tally.successes} of {tally.n}{failed}", 1.0
    elif is_shown:
        words, share = f"shown with {tally.n} orders{failed}", 1.0
    else:
        words, share = f"{tally.n} of at least {needed} orders{failed}", min(tally.n / needed, 0.99)
    return _row(criterion, words, share, "bad" if is_refuted else "good" if is_shown else "")


def _exercised(criterion: Criterion, steps: Mapping[str, bool]) -> dict[str, Any]:
    step = EXERCISED_BY.get(criterion.metric, "")
    if step not in steps:
        return _row(criterion, "not shown yet", 0.0, "")
    return _row(criterion, "shown" if steps[step] else "not shown", 1.0, "good" if steps[step] else "bad")


def _row(criterion: Criterion, words: str, share: float, tone: str) -> dict[str, Any]:
    return {"name": criterion.name, "title": criterion.title, "tier": criterion.tier.value, "words": words,
            "share": share, "tone": tone}


@lru_cache(maxsize=1_000)
def _judged(p0: Decimal, alpha: Decimal, successes: int, failures: int) -> tuple[bool, bool, int]:
    tally, limit = Tally(successes=successes, failures=failures), e_threshold(alpha)
    return e_value(tally, p0) >= limit, e_refute(tally, p0) >= limit, _needed(p0, failures, alpha)


@lru_cache(maxsize=200)
def _needed(p0: Decimal, failures: int, alpha: Decimal) -> int:
    return orders_needed(p0, failures, alpha)
