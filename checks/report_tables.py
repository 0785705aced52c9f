"""The tables of the report: what failed first, steps, symbols, guardrails, data checks, timeline, provenance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from checks.charts_scale import BPS, NUMBER, PERCENT, SECONDS, USD, moment_text
from checks.report_figures import by_symbol
from checks.report_load import RunFiles
from checks.report_words import CHECK_SIGNS, NONE, STAGE_NAMES
from trading_core.gate.result import text
from trading_core.plan import Stage
from trading_core.stages.result import Check, CheckStatus

TIMELINE_ROWS_MAX = 200
FINDINGS_MAX = 60


@dataclass(frozen=True)
class Cell:
    """A cell's words; `css` is empty, good, warn, bad, mute, num or code."""

    words: str
    css: str = ""


@dataclass(frozen=True)
class Table:
    """A table with the sentence that stands in its place when it has no rows."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: str
    note: str = ""
    anchor: str = ""


def failed_checks(run: RunFiles) -> Table:
    """Return what failed, was not evaluated or warned, with the remedy: failures first, in order of stages."""
    order = (CheckStatus.FAILED, CheckStatus.WARNED, CheckStatus.NOT_EVALUATED)
    found = [(stage, c) for stage in Stage if stage in run.stages for c in run.stages[stage].checks]
    rows = [_check_row(stage, c) for status in order for stage, c in found if c.status is status]
    heads = ("Check", "Stage", "Result", "Observed", "Needed", "What to do")
    return Table("Checks that did not pass", heads, tuple(rows), "Every check of every stage that ran passed.")


def _check_row(stage: Stage, c: Check) -> tuple[Cell, ...]:
    sign, css, words = CHECK_SIGNS[c.status]
    remedy = c.remedy or (f"It waits for {c.blocked_by}." if c.blocked_by else "")
    name = Cell(c.name, "strong")
    return (name, Cell(STAGE_NAMES[stage]), Cell(f"{sign} {words}", css), Cell(c.observed), Cell(c.needed), Cell(remedy))


def steps(run: RunFiles) -> Table:
    """Return the protocol's steps; one that the plan names and nobody ended was not evaluated."""
    rows = []
    ended = [r for r in (run.timeline.rows if run.timeline else ()) if r.kind == "step"]
    for row in ended:
        shown = Cell("\N{CHECK MARK} Shown", "good") if row.is_shown else Cell("\N{MULTIPLICATION X} Not shown", "bad")
        figures = ", ".join(f"{_words(name)} {_figure(name, float(v))}" for name, v in row.measurements.items())
        rows.append((Cell(_words(row.name), "strong"), shown, Cell(row.detail), Cell(figures), Cell(str(row.seq), "num")))
    names = {row.name for row in ended}
    for name in run.plan.protocol.steps if run.plan else ():
        if name not in names:
            missing = Cell("\N{WHITE CIRCLE} Not evaluated", "mute")
            rows.append((Cell(_words(name), "strong"), missing, Cell("it did not end"), Cell(""), Cell("")))
    heads = ("Step", "Result", "Seen", "Measured", "Event")
    return Table("Protocol steps", heads, tuple(rows), "No step was run.")


def _words(name: str) -> str:
    for unit in ("_s", "_ms", "_bps"):
        name = name.removesuffix(unit)
    words = name.replace("_", " ")
    return f"{words[:1].upper()}{words[1:]}" if " " in words or name.islower() else words


def _figure(name: str, value: float) -> str:
    if name.endswith("_s"):
        return SECONDS.text(value)
    return USD.text(value) if name.endswith("notional") or name in ("fees", "flow", "gap") else NUMBER.text(value)


def symbols(run: RunFiles) -> Table:
    """Return a row for each symbol."""
    books = run.books.rows if run.books else ()
    found = by_symbol(run.logs, run.refusals, run.liquidity.rows if run.liquidity else (), books[-1] if books else None)
    rows = tuple(
        (
            Cell(s.symbol, "strong"), _num(f"{s.sent:,}"), _num(_share(s.accepted, s.accepted + s.rejected)),
            _num(f"{s.rejected:,}"), _num(f"{s.denied:,}"), _num(f"{s.fills:,}"), _num(_or_none(s.maker_share, PERCENT.text)),
            _num(USD.text(s.bought)), _num(USD.text(s.sold)), _num(USD.text(s.fees)),
            _num(_or_none(s.slippage_bps, BPS.text)), _num(_or_none(s.spread_bps, BPS.text)),
            _num(_or_none(s.staleness_max_s, SECONDS.text)), _num(_or_none(s.position, NUMBER.text)),
        )
        for s in found
    )
    heads = (
        "Symbol", "Sent", "Accepted", "Rejected", "Denied", "Fills", "Maker", "Bought", "Sold", "Fees", "Mean slippage",
        "Median spread", "Longest silence", "Position at end",
    )
    note = "Probes are left out of sent, accepted, rejected and denied. Slippage is against the mid at submit; positive is worse."
    return Table("By symbol", heads, rows, "No symbol was traded.", note)


def _num(words: str) -> Cell:
    return Cell(words, "num")


def _share(part: int, whole: int) -> str:
    return PERCENT.text(part / whole) if whole else NONE


def _or_none(value: float | None, words: Any) -> str:
    return NONE if value is None else str(words(value))


def guardrails(run: RunFiles) -> Table:
    """Return the guardrails of the plan with what became of them."""
    rows = []
    for g in run.decision.guardrails if run.decision else ():
        if g.is_latched:
            state = Cell("\N{MULTIPLICATION X} Latched", "bad")
        elif g.was_watched:
            state = Cell("\N{CHECK MARK} Held", "good")
        else:
            state = Cell("\N{WHITE CIRCLE} Not watched", "bad")
        gap = NONE if g.longest_gap_s is None else f"{text(g.longest_gap_s)} s"
        worst = NONE if g.worst is None else text(g.worst)
        limit = NONE if g.limit is None else text(g.limit)
        rows.append((Cell(_words(g.name), "strong"), state, _num(worst), _num(limit), _num(f"{g.evaluations:,}"), _num(gap),
                     Cell(g.detail)))
    heads = ("Guardrail", "Result", "Worst", "Limit", "Looked at", "Longest gap", "Detail")
    return Table("Guardrails", heads, tuple(rows), "No guardrail was watched.")


def findings(run: RunFiles) -> Table:
    """Return the findings of the data checks, failures first."""
    found = sorted(_findings(run.checks), key=lambda f: bool(f.get("success", f.get("passed", False))))
    rows = tuple(_finding_row(f) for f in found[:FINDINGS_MAX])
    note = f"{len(found) - FINDINGS_MAX} more are in checks.json." if len(found) > FINDINGS_MAX else ""
    heads = ("Data check", "Artifact", "Result", "Observed")
    return Table("Data checks on the artifacts", heads, rows, "No data check was made.", note)


def _findings(document: Any) -> Iterator[dict[str, Any]]:
    """Walk the document for rows: whatever has a result is one."""
    if isinstance(document, list):
        for item in document:
            yield from _findings(item)
    elif isinstance(document, dict):
        if "success" in document or "passed" in document or "outcome" in document:
            yield document
        else:
            for item in document.values():
                yield from _findings(item)


def _finding_row(found: dict[str, Any]) -> tuple[Cell, ...]:
    return tuple(Cell(str(value)) for value in found.values())[:4]


def timeline(run: RunFiles) -> Table:
    """Return what happened beside the orders, oldest first."""
    rows = run.timeline.rows if run.timeline else ()
    # Where there are too many, the grave ones stay and the plain ones give way.
    grave = [r for r in rows if r.severity != "INFO" or r.kind == "step"]
    shown = rows if len(rows) <= TIMELINE_ROWS_MAX else grave[:TIMELINE_ROWS_MAX]
    signs = {"INFO": "", "WARNING": "\N{BLACK UP-POINTING TRIANGLE} ", "ERROR": "! ", "CRITICAL": "\N{MULTIPLICATION X} "}
    css = {"INFO": "mute", "WARNING": "warn", "ERROR": "bad", "CRITICAL": "bad"}
    cells = tuple(
        (
            Cell(moment_text(r.ts), "code"), Cell(f"{signs[r.severity]}{r.severity.lower()}", css[r.severity]),
            Cell(r.kind.replace("_", " ")), Cell(r.name, "strong"), Cell(r.detail), Cell(str(r.seq), "num"),
        )
        for r in shown
    )
    note = f"{len(rows) - len(shown)} more are in timeline.json." if len(shown) < len(rows) else ""
    heads = ("UTC", "Severity", "Kind", "Name", "Detail", "Event")
    return Table("Timeline", heads, cells, "Nothing was recorded.", note)


def provenance(run: RunFiles) -> Table:
    """Return where all this comes from: subject, digests, environment, head of the event chain."""
    pairs: list[tuple[str, str]] = []
    if run.subject is not None:
        s = run.subject
        pairs += [
            ("Subject digest", s.digest), ("Git commit", s.git_commit + (" with uncommitted changes" if s.is_dirty else "")),
            ("Lock file digest", s.lock_digest), ("Plan digest", s.plan_digest), ("Strategy", s.strategy),
            ("Parameters", ", ".join(f"{k} = {v}" for k, v in sorted(s.strategy_params.items())) or "none"),
            ("Venue", s.venue), ("Faults injected", s.faults or "none"), ("Account", s.account_fingerprint),
            ("Products", ", ".join(s.products)),
        ]
    header = next((a.header for a in run.artifacts.values()), None)
    if header is not None:
        pairs += [
            ("Market data and fills", header.source), ("Recorded day, seed", f"{header.day}, {header.seed}"),
            ("Producer", header.producer), ("Events stored", f"{header.events:,}, last number {header.last_seq:,}"),
        ]
    if run.decision is not None:
        d = run.decision
        pairs += [
            ("Decided at", d.decided_at), ("Rule that decided", f"{d.rule} of 9"), ("Attempt", d.attempt_id),
            ("Evidence digest", d.evidence_digest), ("Input digest", d.input_digest), ("Event chain head", d.chain_head or NONE),
        ]
    rows = tuple((Cell(name, "strong"), Cell(value, "code")) for name, value in pairs)
    return Table("Provenance", ("What", "Value"), rows, "Neither subject nor decision could be read.")


def files(run: RunFiles) -> Table:
    """Return the files of the manifest with their digests."""
    entries = run.manifest.artifacts if run.manifest else {}
    bad = {p.name for p in run.problems}
    rows = tuple(
        (
            Cell(e.path, "strong"), _num(f"{e.rows:,}"), _num(f"{e.bytes:,}"), Cell(e.sha256, "code"),
            Cell("\N{MULTIPLICATION X} does not hold", "bad") if name in bad else Cell("\N{CHECK MARK} hashes to it", "good"),
        )
        for name, e in sorted(entries.items())
    )
    return Table("Files", ("File", "Rows", "Bytes", "sha256", "Checked now"), rows, "There is no manifest.")
