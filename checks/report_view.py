"""What the first screen of the report says: verdict, tiles, the five key questions, the stages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from checks.charts_scale import MILLISECONDS, PERCENT, USD, moment_text, span_text
from checks.report_figures import drawdown, latencies_ms, quantile
from checks.report_load import RunFiles
from checks.report_words import (
    LEVEL_WORDS,
    NEXT_STEPS,
    NONE,
    STAGE_NAMES,
    STAGE_SIGNS,
    VERDICT_CSS,
    VERDICT_SIGNS,
    share,
)
from trading_core.clock import NS, from_iso
from trading_core.gate.decide import DecisionRecord
from trading_core.gate.outcomes import Disposition, Outcome, Verdict
from trading_core.gate.result import CriterionResult
from trading_core.gate.statistics import clopper_pearson
from trading_core.plan import Kind, Stage, Tier
from trading_core.stages.result import StageStatus

ACCEPTANCE_METRICS = ("order_acceptance", "order_rejected_share")  # both count an accepted order as a success


@dataclass(frozen=True)
class Banner:
    """The verdict and the sentence that a person takes away."""

    verdict: str
    sign: str
    css: str
    disposition: str
    sentence: str
    next_steps: tuple[str, ...]
    badge: str
    context: str
    run_id: str


@dataclass(frozen=True)
class Tile:
    """One figure with what it is measured against; `css` is empty, good, warn or bad."""

    label: str
    value: str
    note: str
    css: str = ""


@dataclass(frozen=True)
class StageBox:
    """One stage in the strip."""

    name: str
    sign: str
    css: str
    status: str
    duration: str
    summary: str
    counts: str


def banner(run: RunFiles) -> Banner:
    """Return the verdict, or in its place the sentence that there is none: then nothing is authorised."""
    record = run.decision
    context = _context(run)
    name = run.run_dir.name if record is None else record.run_id
    if record is None:
        broken = next((p.words for p in run.problems if p.name.startswith("decision")), "")
        words = f"decision.json {broken}." if broken else "No decision was recorded: the run goes on or was cut off."
        return Banner(
            "NO VERDICT", "\N{WHITE CIRCLE}", "bad", "", f"{words} Without a decision nothing is authorised.",
            _remedies(run) or ("Run the go/no-go stage again on this run.",), "no decision", context, name,
        )
    return Banner(
        record.verdict.value, VERDICT_SIGNS[record.verdict], VERDICT_CSS[record.verdict],
        record.disposition.value if record.disposition else "", _sentence(record), _next_steps(run, record),
        LEVEL_WORDS[record.level], context, name,
    )


def _sentence(record: DecisionRecord) -> str:
    words = record.headline
    for prefix in (f"NO-GO ({record.disposition}): ", f"{record.verdict}: "):
        words = words.removeprefix(prefix)
    return _as_sentence(words)


def _next_steps(run: RunFiles, record: DecisionRecord) -> tuple[str, ...]:
    steps = _remedies(run)
    if record.disposition is not None:
        steps += (NEXT_STEPS[record.disposition],)
    if record.disposition is Disposition.EXTEND:
        open_musts = [c for c in record.criteria if c.tier is Tier.MUST and c.outcome is Outcome.INCONCLUSIVE]
        steps += tuple(
            f"{c.title}: {c.shortfall.sentence}."
            for c in open_musts if c.shortfall and c.shortfall.sentence not in record.headline
        )
    if record.verdict is Verdict.CONDITIONAL:
        steps += ("It promotes into the restricted envelope only, with the obligations of the plan.",)
    if (given := record.authorises) is not None and record.verdict is not Verdict.NO_GO:
        rung = given.next_rung or given.rung
        until = moment_text(from_iso(given.valid_until))
        cap = USD.text(float(given.envelope.aggregate_notional_max))
        steps += (f"Authorises {rung} with at most {cap} in total, until {until} UTC, for this subject only.",)
    elif record.verdict is not Verdict.NO_GO:
        steps += ("Next: the same plan on a venue of a higher level.",)
    return steps


def _remedies(run: RunFiles) -> tuple[str, ...]:
    remedies = (c.remedy for stage in run.stages.values() for c in stage.failed_checks if c.remedy)
    return tuple(_as_sentence(words) for words in dict.fromkeys(remedies))[:3]


def _as_sentence(words: str) -> str:
    return words[:1].upper() + words[1:].rstrip(".") + "."


def _context(run: RunFiles) -> str:
    parts = []
    if run.plan is not None:
        parts.append(f"{run.plan.title} ({run.plan.name})")
    if (window := run.window()) is not None:
        length = span_text((window[1] - window[0]) / NS)
        parts.append(f"{moment_text(window[0])} to {moment_text(window[1])} UTC, {length}")
    header = next((a.header for a in run.artifacts.values()), None)
    if header is not None:
        parts.append(f"venue {header.venue}: {header.source}")
    elif run.subject is not None:
        parts.append(f"venue {run.subject.venue}")
    return " · ".join(parts)


def tiles(run: RunFiles) -> list[Tile]:
    """Return the six figures. One that cannot be computed says so; it is never a zero."""
    return [_pnl(run), _drawdown(run), _acceptance(run), _margin(run), _latency(run), _drift(run)]


def _pnl(run: RunFiles) -> Tile:
    rows = run.books.rows if run.books else ()
    if not rows:
        return Tile("Net PnL", NONE, "no snapshot was taken")
    last = rows[-1]
    net = float(last.equity - last.opening_equity - last.transfers)
    return Tile("Net PnL", USD.text(net), f"after {USD.text(float(last.fees))} fees")


def _drawdown(run: RunFiles) -> Tile:
    rows = run.books.rows if run.books else ()
    if not rows:
        return Tile("Worst drawdown", NONE, "no snapshot was taken")
    worst = min(value for _, value in drawdown(rows))
    limit = None if run.plan is None else float(run.plan.risk.daily_loss_max)
    note = "below the highest equity" if limit is None else f"from the peak; a day may lose {USD.text(limit)}"
    latched = run.decision is not None and any(g.is_latched and g.name == "daily_loss" for g in run.decision.guardrails)
    return Tile("Worst drawdown", USD.text(worst), note, "bad" if latched else "")


def _acceptance(run: RunFiles) -> Tile:
    if run.refusals is None:
        return Tile("Acceptance", NONE, "no order was sent")
    totals = run.refusals.totals
    n = totals.accepted + totals.rejected
    if n == 0:
        return Tile("Acceptance", NONE, "no order was answered")
    low = share(clopper_pearson(totals.accepted, n).lower)
    found = acceptance_of(run)
    css = "bad" if found is not None and found.outcome is Outcome.FAIL else ""
    return Tile("Acceptance", share(Decimal(totals.accepted) / n), f"of {n:,} orders; at least {low} (95% bound)", css)


def _margin(run: RunFiles) -> Tile:
    rows = run.margin.rows if run.margin else ()
    if not rows:
        return Tile("Peak margin", NONE, "no margin was read")
    peak = float(max(r.margin_utilization for r in rows))
    limit = None if run.plan is None else float(run.plan.risk.margin_utilization_max)
    note = "of equity" if limit is None else f"limit {PERCENT.text(limit)}"
    css = _beyond(run, "margin_utilization") if limit is not None and peak > limit else ""
    return Tile("Peak margin", PERCENT.text(peak), note, css)


def _latency(run: RunFiles) -> Tile:
    values = latencies_ms(run.logs) if run.logs else []
    p95 = quantile(values, 0.95)
    if p95 is None:
        return Tile("Order latency p95", NONE, "no order was answered")
    target = latency_target(run)
    note = f"of {len(values):,} answers" if target is None else f"target under {MILLISECONDS.text(target)}"
    css = _beyond(run, "place_order_latency_ms") if target is not None and p95 >= target else ""
    return Tile("Order latency p95", MILLISECONDS.text(p95), note, css)


def _drift(run: RunFiles) -> Tile:
    rows = run.books.rows if run.books else ()
    if not rows:
        return Tile("Largest drift", NONE, "no snapshot was taken")
    worst = max((abs(r.drift) for r in rows if r.is_quiescent), default=None)
    if worst is None:
        return Tile("Largest drift", NONE, "no snapshot without an order in flight")
    limit = drift_limit(run)
    css = _beyond(run, "reconciliation") if float(worst) > limit else ""
    return Tile("Largest drift", f"${worst:.4f}", f"at most {USD.text(limit)}", css)


def _beyond(run: RunFiles, metric: str) -> str:
    """A figure beyond its limit warns; it is bad once its criterion says so (a share of time may be allowed)."""
    found = criterion_of(run, metric)
    return "warn" if found is not None and found.outcome is Outcome.PASS else "bad"


def criterion_of(run: RunFiles, metric: str) -> CriterionResult | None:
    """Return the result for a metric, if the decision has one."""
    return next((c for c in run.decision.criteria if c.metric == metric), None) if run.decision else None


def acceptance_of(run: RunFiles) -> CriterionResult | None:
    """Return the strictest criterion about accepted orders: a must before a nice-to-have."""
    found = [c for c in (run.decision.criteria if run.decision else ()) if c.metric in ACCEPTANCE_METRICS]
    return min(found, key=lambda c: list(Tier).index(c.tier), default=None)


def latency_target(run: RunFiles) -> float | None:
    """Return the plan's limit for placing an order, in milliseconds."""
    limits = [c.quantile_limit for c in (run.plan.criteria if run.plan else ()) if c.kind is Kind.LATENCY_QUANTILE]
    return next((float(limit) for limit in limits if limit is not None), None)


def drift_limit(run: RunFiles) -> float:
    """Return what drift is allowed; a cent if the plan does not say."""
    found = (c.limit for c in (run.plan.criteria if run.plan else ()) if c.metric == "reconciliation")
    return next((float(limit) for limit in found if limit is not None), 0.01)


def stages(run: RunFiles) -> list[StageBox]:
    """Return six boxes, whatever was run."""
    summaries = {s.stage: s for s in run.decision.stages} if run.decision else {}
    boxes = []
    for stage in Stage:
        result = run.stages.get(stage)
        if stage is Stage.GO_NO_GO and run.decision is not None:
            status = StageStatus.PASSED if run.decision.verdict is not Verdict.NO_GO else StageStatus.FAILED
            words = f"{run.decision.verdict} by rule {run.decision.rule}"
            boxes.append(replace(_box(stage, status, words, "", ""), status=run.decision.verdict.value))
        elif result is not None:
            passed = sum(c.status.value == "PASSED" for c in result.checks)
            is_said = not result.checks or "check" in result.summary
            counts = "" if is_said else f"{passed} of {len(result.checks)} checks passed"
            took_ns = result.ended_ns - result.started_ns
            duration = span_text(took_ns / NS) if took_ns > 0 else ""  # analysis and decision take no venue time
            boxes.append(_box(stage, result.status, result.summary, duration, counts))
        elif stage in summaries:
            boxes.append(_box(stage, summaries[stage].status, summaries[stage].summary, "", ""))
        else:
            boxes.append(_box(stage, StageStatus.NOT_RUN, "not evaluated", "", ""))
    return boxes


def _box(stage: Stage, status: StageStatus, summary: str, duration: str, counts: str) -> StageBox:
    sign, css, words = STAGE_SIGNS[status]
    return StageBox(STAGE_NAMES[stage], sign, css, words, duration, summary, counts)
