"""What plan lint is made of: findings, and the bench that a plan is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from trading_core.money import Price
from trading_core.plan import Plan, PlanModel
from trading_core.products import Product


class Severity(StrEnum):
    """REFUSE: the plan cannot do what it says. WARN: it can, but somebody should know. SETTLED: the plan says why."""

    REFUSE = "refuse"
    WARN = "warn"
    SETTLED = "settled"


class PlanFinding(PlanModel):
    """One finding: where in the plan, and a sentence with the value, the limit and what to do."""

    severity: Severity
    key: str
    sentence: str
    because: str = ""  # why the plan keeps it, if it is settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What the plan is held against: today's prices, the venue's products, the rung below."""

    plan: Plan
    prices: Mapping[str, Price]
    products: Mapping[str, Product]
    below: Plan | None = None


LintCheck = Callable[[Bench], Iterator[PlanFinding]]


def refuse(key: str, sentence: str) -> PlanFinding:
    """Return a refusal: no `settled` entry lifts it."""
    return PlanFinding(severity=Severity.REFUSE, key=key, sentence=sentence)


def warn(key: str, sentence: str) -> PlanFinding:
    """Return a warning: a `settled` entry with the same key turns it into a note."""
    return PlanFinding(severity=Severity.WARN, key=key, sentence=sentence)
