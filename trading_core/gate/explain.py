"""One criterion of a decision in words: what was demanded, what was seen, which rows show it, what is missing."""

from __future__ import annotations

from collections.abc import Iterator

from trading_core.clock import iso
from trading_core.errors import ConfigurationError
from trading_core.gate.decide import DecisionRecord
from trading_core.gate.result import CriterionResult, text


def explain(record: DecisionRecord, name: str) -> str:
    """Return the explanation as lines of text; raises ConfigurationError if the decision has no such criterion."""
    result = record.criterion(name)
    if result is None:
        known = ", ".join(r.name for r in record.criteria)
        raise ConfigurationError(f"the decision of {record.run_id} has no criterion {name!r}: choose from {known}")
    return "\n".join(_lines(record, result)) + "\n"


def _lines(record: DecisionRecord, result: CriterionResult) -> Iterator[str]:
    yield f"{result.name} · {result.title}"
    yield f"  outcome    {result.outcome} / {result.reason}{_waived(record, result.name)}"
    yield f"  seen       {result.detail}"
    yield f"  tier       {result.tier}, judged as {result.kind}, measured in {result.stage}"
    yield f"  because    {result.because}"
    yield from _figures(result)
    for symbol in result.by_symbol:
        refuted = ", refuted" if symbol.is_refuted else ""
        figures = f"{symbol.n - symbol.failures} of {symbol.n}, e = {text(symbol.e_value)}"
        yield f"  {symbol.symbol:<10} {figures}, against e = {text(symbol.e_refute)}{refuted}"
    if result.prior_attempts:
        yield f"  attempts   continues {result.prior_attempts} earlier of this subject"
    if result.shortfall is not None:
        yield f"  missing    {result.shortfall.sentence}"
    for ref in result.refs:
        yield f"  evidence   {ref.artifact} ({ref.rows} rows, {ref.level}, by {ref.producer}) sha256 {ref.sha256}"
    if result.event_seqs:
        shown = ", ".join(str(seq) for seq in result.event_seqs[:20])
        yield f"  events     {shown}{' …' if len(result.event_seqs) > 20 else ''}"
    yield f"  decision   {record.headline} (rule {record.rule})"


def _figures(result: CriterionResult) -> Iterator[str]:
    figures = {
        "estimate": result.estimate, "lower": result.lower, "upper": result.upper, "n": result.n,
        "failures": result.failures, "e-value": result.e_value, "e against": result.e_refute,
        "threshold": result.threshold,
    }
    for label, value in figures.items():
        if value is not None:
            yield f"  {label:<10} {text(value)}"


def _waived(record: DecisionRecord, name: str) -> str:
    uses = [use for use in record.waivers if use.waiver.criterion == name]
    if not uses:
        return ""
    use = uses[0]
    if use.is_applied:
        return f", WAIVED by {use.waiver.approver} until {iso(use.waiver.expires_ns)}: {use.waiver.reason}"
    return f" (a waiver was refused: {use.refusal})"
