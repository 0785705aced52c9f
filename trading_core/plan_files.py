"""The plans that ship with the project, looked up by name; a path to another plan works as well."""

from __future__ import annotations

from pathlib import Path

from trading_core.errors import ConfigurationError
from trading_core.plan import Plan, Rung, load_plan

PLANS_DIR = Path(__file__).resolve().parent.parent / "deployments" / "plans"


def plan_names() -> list[str]:
    """Return the names of the plans, lowest rung first."""
    return [rung.value for rung in Rung if plan_path(rung.value).is_file()]


def plan_path(name: str) -> Path:
    """Return where the plan of that name is."""
    return PLANS_DIR / f"{name}.toml"


def find_plan(name: str) -> Plan:
    """Return a plan by its name or by the path of its file; raises ConfigurationError if there is none."""
    if name in plan_names():
        return load_plan(plan_path(name))
    if name.endswith(".toml"):
        return load_plan(Path(name))
    raise ConfigurationError(f"there is no plan {name!r}: choose {', '.join(plan_names())} or a .toml file")


def plan_below(plan: Plan) -> Plan | None:
    """Return the plan of the rung that must have been passed before this one; None for the first rung."""
    return None if plan.needs_rung is None else load_plan(plan_path(plan.needs_rung.value))
