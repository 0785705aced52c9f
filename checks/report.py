"""From a run directory to report.html, report.md and report.json; whatever is missing is said, never invented.

    python -m checks.report artifacts/phase2/<run id>
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from checks.report_charts import chart_sections
from checks.report_compare import (
    checkpoints,
    comparison,
    funding,
    latencies,
    margin_windows,
    parity,
    results,
)
from checks.report_criteria import criteria, evidence
from checks.report_load import Problem, RunFiles, load_run
from checks.report_questions import questions
from checks.report_tables import (
    Table,
    broken_findings,
    broken_guardrails,
    failed_checks,
    files,
    findings,
    guardrails,
    provenance,
    steps,
    symbols,
    timeline,
)
from checks.report_view import Banner, banner, stages, tiles
from trading_core.canonical import canonical_json
from trading_core.errors import GreenlightError
from trading_core.run_files import REPORT_HTML, REPORT_JSON, REPORT_MARKDOWN
from trading_core.storage.artifact_store import write_atomically

SCHEMA_VERSION = 1
T = TypeVar("T")
NO_TABLE = Table("A table is missing here", (), (), "It could not be made; see the top of the page.")
NO_BANNER = Banner(
    verdict="NO VERDICT", sign="\N{WHITE CIRCLE}", css="bad", disposition="", next_steps=(), badge="", context="",
    run_id="", sentence="The decision could not be shown. Nothing is authorised.",
)
TABLES: dict[str, tuple[Callable[[RunFiles], Table], ...]] = {
    "early": (broken_guardrails, failed_checks, broken_findings),
    "compared": (comparison, parity),
    "tables": (steps, results, symbols, latencies, checkpoints, margin_windows, funding, guardrails),
    "late": (findings, timeline),
    "provenance": (provenance, files),
}


@dataclass(frozen=True)
class ReportFiles:
    """Where the three reports of a run lie."""

    html: Path
    markdown: Path
    json: Path


def build_report(run_dir: Path) -> ReportFiles:
    """Write the three reports of a run, each whole or not at all.

    Never raises for what the run lacks or has garbled: the page says so. Raises StorageError if the directory
    cannot be written. The reports are derived from the evidence and are no evidence, hence not in the manifest.
    """
    run = load_run(run_dir)
    view = view_of(run)
    out = ReportFiles(run_dir / REPORT_HTML, run_dir / REPORT_MARKDOWN, run_dir / f"{REPORT_JSON}.json")
    write_atomically(out.html, html_of(run, view).encode())
    write_atomically(out.markdown, _render("report.md.j2", view).encode())
    write_atomically(out.json, canonical_json(_machine_view(view)) + b"\n")
    return out


def view_of(run: RunFiles) -> dict[str, Any]:
    """Return everything that the pages show, charts left out: the same for HTML, Markdown and JSON."""
    lists: dict[str, Callable[[RunFiles], list[Any]]] = {
        "tiles": tiles, "questions": questions, "stages": stages, "groups": criteria, "evidence": evidence,
    }
    view: dict[str, Any] = {"banner": _guarded(run, "banner", banner, NO_BANNER)}
    view |= {name: _guarded(run, name, make, []) for name, make in lists.items()}
    for name, makers in TABLES.items():
        view[name] = tuple(_guarded(run, make.__name__, make, NO_TABLE) for make in makers)
    return {**view, "problems": run.problems, "absent": run.absent}


def _guarded(run: RunFiles, name: str, make: Callable[[RunFiles], T], instead: T) -> T:
    """Return a part of the page, or what stands in its place: one absurd figure must not cost the other parts."""
    try:
        return make(run)
    except (ArithmeticError, LookupError, TypeError, ValueError) as e:
        run.problems.append(Problem(f"The part {name} of this page", f"could not be made: {type(e).__name__}: {e}"))
        return instead


def html_of(run: RunFiles, view: dict[str, Any]) -> str:
    """Return the page: one file, no script, no outside asset, and a policy that forbids both."""
    css = _environment(autoescape=False).get_template("report.css").render()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return _render("report.html.j2", {**view, "css": Markup(css), "css_digest": digest, "charts": chart_sections(run)})


def _machine_view(view: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    for name, part in view.items():
        if isinstance(part, list | tuple):
            plain[name] = [item if isinstance(item, str) else asdict(item) for item in part]
        else:
            plain[name] = asdict(part)
    return plain


def _render(template: str, view: dict[str, Any]) -> str:
    return _environment(autoescape=template.endswith(".html.j2")).get_template(template).render(**view)


def _environment(*, autoescape: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("checks"), autoescape=autoescape, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=False,
    )
    environment.filters["cell"] = _markdown_cell
    environment.filters["first_words"] = lambda words: words.partition(":")[0]
    return environment


def _markdown_cell(words: str) -> str:
    """Return words that cannot break a Markdown table, start markup or open a link."""
    for sign in "\\`*_[]<>|#":
        words = words.replace(sign, f"\\{sign}")
    return " ".join(words.split())


def main(arguments: list[str] | None = None) -> int:
    """Build the reports of one run directory; 0 if they were written, 2 for wrong use."""
    parser = argparse.ArgumentParser(prog="python -m checks.report", description="Write the reports of a run.")
    parser.add_argument("run_dir", type=Path)
    run_dir: Path = parser.parse_args(arguments).run_dir
    if not run_dir.is_dir():
        sys.stderr.write(f"{run_dir} is no directory: give a run directory, artifacts/PLAN/RUN\n")
        return 2
    try:
        out = build_report(run_dir)
    except GreenlightError as e:
        sys.stderr.write(f"{e}\n")
        return 1
    sys.stdout.write(f"{out.html}\n{out.markdown}\n{out.json}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
