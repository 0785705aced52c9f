"""The tables of the report: what failed first, steps, symbols, guardrails, data checks, timeline, provenance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from checks.charts_scale import BPS, NUMBER, PERCENT, SECONDS, USD, moment_text
from checks.findings import EvidenceRow, Finding
from checks.report_figures import by_symbol
from checks.report_load import RunFiles
from checks.report_words import CHECK_SIGNS, NONE, OUTCOME_CSS, OUTCOME_SIGNS, OUTCOME_WORDS, STAGE_NAMES
from trading_core.gate.fold import GuardrailStatus
from trading_core.gate.outcomes import Outcome
from trading_core.gate.result import text
from trading_core.plan import Stage, Tier
from trading_core.stages.result import Check, CheckStatus

TIMELINE_ROWS_MAX = 200
FINDINGS_MAX = 60
ROWS_SHOWN = 3
ROW_CHARACTERS_MAX = 180  # checks.json has the rest
FINE = (Outcome.PASS, Outcome.NOT_APPLICABLE)
GUARDRAIL_HEADS = ("Guardrail", "Result", "Worst", "Limit", "Looked at", "Longest gap", "Detail")
FINDING_HEADS = ("Data check", "Artifact", "Tier", "Result", "Rows", "Detail")


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
    result = Cell(f"{sign} {words}", css)
    return (name, Cell(STAGE_NAMES[stage]), result, Cell(c.observed), Cell(c.needed), Cell(remedy))


def steps(run: RunFiles) -> Table:
    """Return the protocol's steps; one that the plan names and nobody ended was not evaluated."""
    rows = []
    ended = [r for r in (run.timeline.rows if run.timeline else ()) if r.kind == "step"]
    for row in ended:
        shown = Cell("\N{CHECK MARK} Shown", "good") if row.is_shown else Cell("\N{MULTIPLICATION X} Not shown", "bad")
        figures = ", ".join(f"{_words(name)} {_figure(name, float(v))}" for name, v in row.measurements.items())
        name = Cell(_words(row.name), "strong")
        rows.append((name, shown, Cell(row.detail), Cell(figures), Cell(str(row.seq), "num")))
    names = {row.name for row in ended}
    missing = Cell("\N{WHITE CIRCLE} Not evaluated", "mute")
    for step in run.plan.protocol.steps if run.plan else ():
        if step not in names:
            rows.append((Cell(_words(step), "strong"), missing, Cell("it did not end"), Cell(""), Cell("")))
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
            _num(f"{s.rejected:,}"), _num(f"{s.denied:,}"), _num(f"{s.fills:,}"),
            _num(_or_none(s.maker_share, PERCENT.text)),
            _num(USD.text(s.bought)), _num(USD.text(s.sold)), _num(USD.text(s.fees)),
            _num(_or_none(s.slippage_bps, BPS.text)), _num(_or_none(s.spread_bps, BPS.text)),
            _num(_or_none(s.staleness_max_s, SECONDS.text)), _num(_or_none(s.position, NUMBER.text)),
        )
        for s in found
    )
    heads = (
        "Symbol", "Sent", "Acceptance", "Rejected", "Denied", "Fills", "Maker", "Bought", "Sold", "Fees",
        "Mean slippage", "Median spread", "Longest silence", "Position at end",
    )
    note = (
        "Probes are left out of sent, accepted, rejected and denied. "
        "Slippage is against the mid at submit; positive is worse."
    )
    return Table("By symbol", heads, rows, "No symbol was traded.", note)


def _num(words: str) -> Cell:
    return Cell(words, "num")


def _share(part: int, whole: int) -> str:
    return PERCENT.text(part / whole) if whole else NONE


def _or_none(value: float | None, words: Callable[[float], str]) -> str:
    return NONE if value is None else words(value)


def broken_guardrails(run: RunFiles) -> Table:
    """Return the guardrails that latched or were not watched often enough."""
    found = [g for g in (run.decision.guardrails if run.decision else ()) if g.is_latched or not g.was_watched]
    return Table("Guardrails that did not hold", GUARDRAIL_HEADS, _guardrail_rows(run, found), "")


def guardrails(run: RunFiles) -> Table:
    """Return the guardrails of the plan with what became of them."""
    rows = _guardrail_rows(run, run.decision.guardrails if run.decision else ())
    return Table("Guardrails", GUARDRAIL_HEADS, rows, "No guardrail was watched.")


def _guardrail_rows(run: RunFiles, found: Sequence[GuardrailStatus]) -> tuple[tuple[Cell, ...], ...]:
    rows = []
    planned = {g.name: g.limit for g in (run.plan.guardrails if run.plan else ())}
    for g in found:
        if g.is_latched:
            state = Cell("\N{MULTIPLICATION X} Latched", "bad")
        elif g.was_watched:
            state = Cell("\N{CHECK MARK} Held", "good")
        else:
            state = Cell("\N{WHITE CIRCLE} Not watched", "bad")
        gap = NONE if g.longest_gap_s is None else f"{text(g.longest_gap_s)} s"
        worst = NONE if g.worst is None else text(g.worst)
        bound = g.limit if g.limit is not None else planned.get(g.name)
        limit = NONE if bound is None else text(bound)
        figures = (_num(worst), _num(limit), _num(f"{g.evaluations:,}"), _num(gap))
        rows.append((Cell(_words(g.name), "strong"), state, *figures, Cell(g.detail)))
    return tuple(rows)


def broken_findings(run: RunFiles) -> Table:
    """Return the data checks that did not pass, each with the first rows of the artifact that show it."""
    found = [f for f in (run.checks.findings if run.checks else ()) if f.outcome not in FINE]
    rows = [_finding_row(f) for f in sorted(found, key=lambda f: (list(Tier).index(f.tier), f.criterion))]
    rows += [_unevaluated_row(name) for name in (run.checks.unevaluated if run.checks else ())]
    note = f"{len(rows) - FINDINGS_MAX} more are in checks.json." if len(rows) > FINDINGS_MAX else ""
    return Table("Data checks that did not pass", FINDING_HEADS, tuple(rows[:FINDINGS_MAX]), "", note)


def findings(run: RunFiles) -> Table:
    """Return the data checks that passed, a row for each artifact; those that did not stand further up."""
    found = [f for f in (run.checks.findings if run.checks else ()) if f.outcome in FINE]
    passed: dict[str, list[Finding]] = {}
    for f in found:
        passed.setdefault(f.artifact, []).append(f)
    rows = tuple(
        (
            Cell(name, "strong"), Cell(f"{OUTCOME_SIGNS[Outcome.PASS]} {len(group):,} passed", "good"),
            _num(f"{max(f.rows_checked for f in group):,}"), Cell("; ".join(f.title for f in group)),
        )
        for name, group in sorted(passed.items())
    )
    heads = ("Artifact", "Result", "Rows", "What was checked")
    return Table("Data checks that passed", heads, rows, "No data check passed, or none was made.")


def _finding_row(f: Finding) -> tuple[Cell, ...]:
    result = Cell(f"{OUTCOME_SIGNS[f.outcome]} {OUTCOME_WORDS[f.outcome]}", OUTCOME_CSS[f.outcome])
    whole = f" of {f.rows_checked:,}" if f.rows_checked else ""
    rows = f"{f.rows_broken:,}{whole}" if f.rows_broken else f"{f.rows_checked:,}"
    told = [e for e in f.evidence if e.values.get("detail", "") not in f.detail or "detail" not in e.values]
    evidence = "; ".join(_row_words(e) for e in told[:ROWS_SHOWN])
    reason = f"{f.reason.value}: " if f.outcome is not Outcome.PASS else ""
    detail = f"{reason}{f.detail}" + (f" ({evidence})" if evidence and f.outcome is not Outcome.PASS else "")
    return (Cell(f.title, "strong"), Cell(f.artifact), Cell(f.tier.value), result, _num(rows), Cell(detail))


def _row_words(e: EvidenceRow) -> str:
    event = "" if e.seq is None else f", event {e.seq}"
    words = f"row {e.row}{event}: " + ", ".join(f"{name} {value}" for name, value in e.values.items())
    return words if len(words) <= ROW_CHARACTERS_MAX else f"{words[:ROW_CHARACTERS_MAX]}\N{HORIZONTAL ELLIPSIS}"


def _unevaluated_row(name: str) -> tuple[Cell, ...]:
    result = Cell(f"{OUTCOME_SIGNS[Outcome.NO_DATA]} {OUTCOME_WORDS[Outcome.NO_DATA]}", OUTCOME_CSS[Outcome.NO_DATA])
    artifact = Cell(name.partition(".")[0])
    return (Cell(name, "strong"), artifact, Cell(""), result, _num("0"), Cell("NOT_EVALUATED: nobody evaluated it"))


def timeline(run: RunFiles) -> Table:
    """Return what happened beside the orders, oldest first."""
    rows = run.timeline.rows if run.timeline else ()
    # Where there are too many, the grave ones stay and the plain ones give way.
    grave = [r for r in rows if r.severity != "INFO" or r.kind == "step"]
    shown = rows if len(rows) <= TIMELINE_ROWS_MAX else grave[:TIMELINE_ROWS_MAX]
    cells = tuple(
        (
            Cell(moment_text(r.ts), "code when"), _severity(r.severity),
            Cell(r.kind.replace("_", " ")), Cell(r.name, "strong"), Cell(r.detail), Cell(str(r.seq), "num"),
        )
        for r in shown
    )
    note = f"{len(rows) - len(shown)} more are in timeline.json." if len(shown) < len(rows) else ""
    heads = ("UTC", "Severity", "Kind", "Name", "Detail", "Event")
    return Table("Timeline", heads, cells, "Nothing was recorded.", note)


def _severity(name: str) -> Cell:
    signs = {"WARNING": "\N{BLACK UP-POINTING TRIANGLE} ", "ERROR": "! ", "CRITICAL": "\N{MULTIPLICATION X} "}
    css = {"INFO": "mute", "WARNING": "warn"}
    return Cell(f"{signs.get(name, '')}{name.lower()}", css.get(name, "bad"))


def provenance(run: RunFiles) -> Table:
    """Return where all this comes from: subject, digests, environment, head of the event chain."""
    pairs: list[tuple[str, str]] = []
    if run.subject is not None:
        s = run.subject
        pairs += [
            ("Subject digest", s.digest),
            ("Git commit", s.git_commit + (" with uncommitted changes" if s.is_dirty else "")),
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
            ("Evidence digest", d.evidence_digest), ("Input digest", d.input_digest),
            ("Event chain head", d.chain_head or NONE),
            ("Second place of the evidence", d.mirror.detail if d.mirror else NONE),
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
            Cell("\N{MULTIPLICATION X} does not hold", "bad") if name in bad else Cell("\N{CHECK MARK} holds", "good"),
        )
        for name, e in sorted(entries.items())
    )
    return Table("Files", ("File", "Rows", "Bytes", "sha256", "Checked now"), rows, "There is no manifest.")
