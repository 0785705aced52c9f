"""`greenlight plan`: list, show and check the rungs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from flows.console import make_console
from trading_core.gate.lint import lint_plan
from trading_core.gate.lint_model import Severity
from trading_core.local_exchange.catalogue import load_listings
from trading_core.money import decimal_of
from trading_core.plan_files import find_plan, plan_below, plan_names

app = typer.Typer(no_args_is_help=True, help="List, show and check the plans.")
REFUSED = 4

PlanName = Annotated[str, typer.Argument(help="A plan's name, or the path of a .toml file.")]


@app.command("list")
def list_plans() -> None:
    """List the rungs, lowest first."""
    table = Table("plan", "title", "window", "products", "criteria", box=None)
    for name in plan_names():
        plan = find_plan(name)
        products = ", ".join(p.product_id for p in plan.products)
        window = f"{plan.protocol.window_s / 3600:g} h"
        table.add_row(name, plan.title, window, products, str(len(plan.criteria)))
    make_console().print(table)


@app.command()
def show(plan: PlanName) -> None:
    """Show what a plan allows and demands, each with its reason."""
    found = find_plan(plan)
    console = make_console()
    console.print(f"[bold]{found.title}[/bold]  {found.description}\ndigest {found.digest}\n")
    limits = Table("product", "max size", "max notional", "because", box=None)
    for p in found.products:
        limits.add_row(p.product_id, str(p.max_size), f"${p.max_notional}", p.because)
    console.print(limits)
    criteria = Table("tier", "criterion", "kind", "because", box=None)
    for c in sorted(found.criteria, key=lambda c: c.tier):
        criteria.add_row(c.tier, c.title, c.kind, c.because)
    console.print(criteria)
    guardrails = Table("guardrail", "limit", "tightens to", "because", box=None)
    for g in found.guardrails:
        guardrails.add_row(g.name, str(g.limit), g.tightens_to, g.because)
    console.print(guardrails)


@app.command()
def check(plan: PlanName) -> None:
    """Look for what 24 hours could not prove, at the contract's listed prices: exit code 4 if refused."""
    found = find_plan(plan)
    listings = load_listings()
    prices = {name: decimal_of(str(listing.raw["price"])) for name, listing in listings.items()}
    products = {name: listing.product for name, listing in listings.items()}
    findings = lint_plan(found, prices, products, plan_below(found))
    console = make_console()
    for finding in findings:
        console.print(f"{finding.severity:<7} {finding.key}: {finding.sentence}")
    refused = sum(f.severity is Severity.REFUSE for f in findings)
    console.print(f"{found.name}: {refused} refused, {len(findings) - refused} warned or settled")
    if refused:
        raise typer.Exit(REFUSED)
