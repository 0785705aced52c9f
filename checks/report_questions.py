"""The specification's five key questions, each answered in one line from the artifacts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from checks.report_figures import windows
from checks.report_load import RunFiles
from checks.report_view import acceptance_of, drift_limit
from checks.report_words import OUTCOME_WORDS, anchor, share
from trading_core.artifacts import AnswerKind
from trading_core.clock import to_datetime
from trading_core.gate.outcomes import Outcome
from trading_core.gate.result import CriterionResult
from trading_core.gate.statistics import clopper_pearson
from trading_core.orders import OrderType
from trading_core.plan import Tier

NOT_EVALUATED = "Not evaluated."
TRANSITIONS_SHOWN = 6
BOUND = Decimal("0.025")  # of each side: together a 95% interval


@dataclass(frozen=True)
class Answer:
    """A question with its answer: yes, no, a figure, or plainly nothing."""

    question: str
    answer: str
    detail: str
    css: str
    link: str = ""


def questions(run: RunFiles) -> list[Answer]:
    """Return the five answers, in the specification's order."""
    return [_balanced(run), _sized_down(run), _windows(run), _stop_limits(run), _acceptance(run)]


def _balanced(run: RunFiles) -> Answer:
    asked = "Did reconciliation balance?"
    rows = run.books.rows if run.books else ()
    judged = [r for r in rows if r.is_quiescent]
    if not judged:
        return Answer(asked, NOT_EVALUATED, "No snapshot was taken.", "mute")
    limit = Decimal(str(drift_limit(run)))
    balanced = sum(abs(r.drift) <= limit for r in judged)
    identity = sum(abs(r.equity - r.identity) <= limit for r in rows)
    holds = balanced == len(judged) and identity == len(rows)
    detail = (
        f"{balanced:,} of {len(judged):,} snapshots agree with the venue within ${limit}, "
        f"the equity identity holds in {identity:,} of {len(rows):,}."
    )
    return Answer(asked, "Yes." if holds else "No.", detail, "good" if holds else "bad", _link(run, "reconciliation"))


def _sized_down(run: RunFiles) -> Answer:
    asked = "Was SIZED_DOWN triggered appropriately?"
    if run.cuts is None:
        return Answer(asked, NOT_EVALUATED, "There is no record of sizing.", "mute")
    rows = run.cuts.rows
    if not rows:
        if run.cuts.was_probed:
            return Answer(asked, "No.", "The protocol provoked it and none was seen.", "bad")
        return Answer(asked, NOT_EVALUATED, "It was not provoked, and none occurred.", "mute")
    grew = sum(r.adjusted_size >= r.original_size for r in rows)
    refused = sum(r.adjusted_size == 0 for r in rows)
    limits = ", ".join(f"{name} {n}" for name, n in Counter(r.limit_name for r in rows).most_common(4))
    detail = f"{len(rows):,} orders met a limit ({limits}); {refused:,} were refused whole, {grew:,} did not shrink."
    return Answer(asked, "No." if grew else "Yes.", detail, "bad" if grew else "good", _link(run, "sized_down"))


def _windows(run: RunFiles) -> Answer:
    asked = "Were the margin windows right?"
    found = windows(run.margin.rows) if run.margin else []
    if not found:
        words = "No margin window was read: there is none on spot." if run.margin else "No margin was read."
        return Answer(asked, NOT_EVALUATED, words, "mute")
    changes = [f"{to_datetime(b[0]):%H:%M} {a[2]} to {b[2]}" for a, b in pairwise(found)]
    shown = ", ".join(changes[:TRANSITIONS_SHOWN]) + (" and more" if len(changes) > TRANSITIONS_SHOWN else "")
    detail = f"{len(changes)} transitions: {shown} (UTC)." if changes else f"No transition; {found[0][2]} throughout."
    judged = _about(run, "margin_window")
    if judged is None:
        return Answer(asked, "Not judged by this plan.", detail, "mute")
    return _by_criterion(asked, judged, detail)


def _stop_limits(run: RunFiles) -> Answer:
    asked = "Were stop-limit orders accepted?"
    if run.plan is not None and OrderType.STOP_LIMIT not in run.plan.policy.order_types:
        return Answer(asked, "Not part of this plan.", "Its policy allows no stop-limit order.", "mute")
    tried = [t for t in run.logs.rows if t.order_type is OrderType.STOP_LIMIT and t.submit] if run.logs else []
    if not tried:
        return Answer(asked, NOT_EVALUATED, "No stop-limit order was sent.", "mute")
    accepted = [t for t in tried if t.answer and t.answer.kind is AnswerKind.ACCEPTED]
    missing = sorted({t.product_id for t in tried} - {t.product_id for t in accepted})
    lacking = f", none for {', '.join(missing)}" if missing else ""
    detail = f"{len(accepted):,} of {len(tried):,} were accepted{lacking}."
    good = bool(accepted) and not missing
    return Answer(asked, "Yes." if good else "No.", detail, "good" if good else "bad", _link(run, "stop_limit"))


def _acceptance(run: RunFiles) -> Answer:
    asked = "What was the effective acceptance rate?"
    totals = run.refusals.totals if run.refusals else None
    n = totals.accepted + totals.rejected if totals else 0
    if totals is None or n == 0:
        return Answer(asked, NOT_EVALUATED, "No order was answered.", "mute")
    bounds = clopper_pearson(totals.accepted, n, BOUND)
    placed = share(Decimal(totals.accepted) / totals.signals) if totals.signals else "no data"
    detail = (
        f"{totals.accepted:,} of {n:,} orders sent, 95% interval {share(bounds.lower)} to {share(bounds.upper)}. "
        f"We denied {totals.denied:,} ourselves; {placed} of {totals.signals:,} signals became an accepted order."
    )
    found = acceptance_of(run)
    css = "mute" if found is None or found.tier is Tier.NICE else _css(found.outcome)
    link = f"#{anchor('evidence', found.name)}" if found else ""
    return Answer(asked, f"{share(Decimal(totals.accepted) / n)}.", detail, css, link)


def _by_criterion(asked: str, judged: CriterionResult, detail: str) -> Answer:
    word = {Outcome.PASS: "Yes.", Outcome.FAIL: "No."}.get(judged.outcome, f"{OUTCOME_WORDS[judged.outcome]}.")
    return Answer(asked, word, detail, _css(judged.outcome), f"#{anchor('evidence', judged.name)}")


def _css(outcome: Outcome) -> str:
    if outcome is Outcome.PASS:
        return "good"
    return "mute" if outcome is Outcome.NOT_APPLICABLE else "bad"


def _about(run: RunFiles, words: str) -> CriterionResult | None:
    results = run.decision.criteria if run.decision else ()
    return next((c for c in results if words in c.metric), None)


def _link(run: RunFiles, words: str) -> str:
    found = _about(run, words)
    return f"#{anchor('evidence', found.name)}" if found else ""
