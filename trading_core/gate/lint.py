"""Plan lint: what would waste 24 hours, found before they are spent. Refuses or warns, each time with the reason."""

from __future__ import annotations

from collections.abc import Mapping

from trading_core.gate.lint_evidence import EVIDENCE_CHECKS
from trading_core.gate.lint_limits import LIMIT_CHECKS
from trading_core.gate.lint_model import Bench, PlanFinding, Severity
from trading_core.money import Price
from trading_core.plan import Plan
from trading_core.products import Product

__all__ = ["PlanFinding", "Severity", "lint_plan"]


def lint_plan(
    plan: Plan, prices: Mapping[str, Price], products: Mapping[str, Product], below: Plan | None = None
) -> list[PlanFinding]:
    """Return every finding, refusals first. What the plan's `settled` explains is no longer warned about.

    Prices are today's middle by product id, and by alias where one was resolved; what has no price is not
    compared with money. A refusal cannot be settled away, save those that the plan may say explicitly.
    """
    bench = Bench(plan=plan, prices=prices, products=products, below=below)
    checks = (*EVIDENCE_CHECKS, *LIMIT_CHECKS)
    findings = [_settled(plan, finding) for check in checks for finding in check(bench)]
    order = list(Severity)
    return sorted(findings, key=lambda f: (order.index(f.severity), f.key, f.sentence))


def _settled(plan: Plan, finding: PlanFinding) -> PlanFinding:
    because = plan.settled.get(finding.key)
    if because is None or finding.severity is Severity.REFUSE:
        return finding
    return finding.model_copy(update={"severity": Severity.SETTLED, "because": because})
