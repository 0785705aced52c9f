"""Metrics of orders: acceptance, latency, retries, fees, and that GTD never left."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from trading_core import events as ev
from trading_core.artifact_refusals import PROBES, was_accepted, was_rejected
from trading_core.artifacts import ExecutionLogs, RejectionBreakdown, Trace
from trading_core.gate.evidence import InvariantObservation, RateObservation, Tally
from trading_core.gate.outcomes import Reason
from trading_core.metrics.evidence import Unusable
from trading_core.metrics.facts import View, sent_traces
from trading_core.money import ZERO, plain
from trading_core.orders import Liquidity, Purpose, TimeInForce

FEE_TOLERANCE = Decimal("0.0001")  # USD; the venue may round a commission, we do not
SHOWN_MAX = 20  # events that an observation names; the rest is in the artifact


def order_acceptance(view: View) -> RateObservation:
    """Return accepted and rejected orders, probes left out: gates.md, "Acceptance, defined once"."""
    logs, counts = view.evidence.get(ExecutionLogs), view.evidence.get(RejectionBreakdown)
    traces = [t for t in sent_traces(logs.rows) if not t.is_probe]
    trials = [(t, was_accepted(t)) for t in traces if was_accepted(t) or was_rejected(t)]
    observation = _rate(view, trials, f"{len(traces)} sent, {counts.totals.denied} denied by us")
    raw = (counts.totals.accepted, counts.totals.rejected)
    if (observation.pooled.successes, observation.pooled.failures) != raw:
        words = f"execution_logs say {observation.pooled}, rejection_breakdown says accepted, rejected = {raw}"
        raise Unusable(Reason.EXCEPTION, words)
    _agree_with_events(view, trials)
    return observation.model_copy(update={"refs": view.evidence.refs(ExecutionLogs, RejectionBreakdown)})


def signal_acceptance(view: View) -> RateObservation:
    """Return how many of the signals to enter became an order that the venue accepted."""
    logs = view.evidence.get(ExecutionLogs)
    # A signal that its own strategy filtered never asked for an order.
    traces = [t for t in logs.rows if t.signal is not None and t.filter is None and t.purpose is Purpose.ENTRY]
    return _rate(view, [(t, was_accepted(t)) for t in traces], f"{len(traces)} signals to enter")


def place_order_latency(view: View) -> RateObservation:
    """Return the orders answered within the limit, probes too; an order whose answer was lost was not."""
    limit = view.criterion.quantile_limit
    if limit is None:
        raise Unusable(Reason.EXCEPTION, f"criterion {view.criterion.name} has no quantile_limit")
    traces = sent_traces(view.evidence.get(ExecutionLogs).rows)
    trials, worst = [], ZERO
    for trace in traces:
        latency = trace.answer.latency_ms if trace.answer else None
        trials.append((trace, latency is not None and latency <= limit))
        worst = max(worst, latency or ZERO)
    words = "from send to answer"
    if lost := [event for _, event in view.facts.of(ev.OrderLost)]:
        words += f"; {len(lost)} without an answer that could be used, the last: {lost[-1].cause}"
    return _rate(view, trials, words).model_copy(update={"worst": worst})


def retries_per_order(view: View) -> InvariantObservation:
    """Return the largest number of retries of any order."""
    traces = sent_traces(view.evidence.get(ExecutionLogs).rows)
    limit = view.limit(Decimal(view.plan.policy.retries_max))
    broken = [f"{t.client_order_id}: {t.retries} retries" for t in traces if t.retries > limit]
    return InvariantObservation(
        metric=view.metric, refs=view.evidence.refs(ExecutionLogs), expected=len(traces), observed=len(traces),
        violations=tuple(broken), final_holds=not broken, worst=Decimal(max(t.retries for t in traces)),
    )


def gtd_never_sent(view: View) -> InvariantObservation:
    """Return whether any order was sent, or is known at the venue, with a time in force of GTD."""
    placed = view.facts.placed
    if not placed:
        raise Unusable(Reason.EMPTY, "no order was sent")
    sent = {p.seq: p.client_order_id for p in placed if p.intent.time_in_force is TimeInForce.GTD}
    seen = {
        seq: event.order.order_id for seq, event in view.facts.of(ev.OrderReported)
        if event.order.time_in_force in ("GTD", "GOOD_UNTIL_DATE_TIME")
    }
    logged = [
        t.client_order_id for t in view.evidence.get(ExecutionLogs).rows
        if t.submit is not None and t.time_in_force is TimeInForce.GTD
    ]
    broken = [f"{name} at event {seq}" for seq, name in sorted((sent | seen).items())] + logged
    return InvariantObservation(
        metric=view.metric, refs=view.evidence.refs(ExecutionLogs), event_seqs=tuple(sorted(sent | seen)),
        expected=len(placed), observed=len(placed), violations=tuple(broken), final_holds=not broken,
    )


def fee_equals_tier(view: View) -> InvariantObservation:
    """Return whether each fill's commission is the tier's maker or taker rate of its notional."""
    logs = view.evidence.get(ExecutionLogs)
    fills = sorted(((f, t) for t in logs.rows for f in t.fills), key=lambda pair: pair[0].seq)
    tiers = view.facts.of(ev.FeeTierRead)
    if not fills:
        raise Unusable(Reason.EMPTY, "there was no fill")
    if not tiers:
        raise Unusable(Reason.MISSING, "the fee tier was not read")
    tolerance, worst, broken = view.limit(FEE_TOLERANCE), ZERO, []
    submits = {t.client_order_id: t.submit for t in logs.rows if t.submit is not None}
    for fill, trace in fills:
        # The tier may change between an order and its fill, and venues differ on which of the two counts.
        # A bracket left with the order that it guards, hours before it may fill.
        sent = trace.submit or (submits.get(trace.guards) if trace.guards else None)
        asked = [fill.seq] if sent is None else [fill.seq, sent.seq]
        rates = {_rate_of(tiers, seq, fill.liquidity) for seq in asked}
        gap = min((fill.commission - rate * fill.notional for rate in rates), key=abs)
        worst = max(worst, abs(gap))
        if abs(gap) > tolerance:
            broken.append(f"{fill.entry_id}: {plain(fill.commission)} is {plain(gap)} off ({fill.liquidity})")
    return InvariantObservation(
        metric=view.metric, refs=view.evidence.refs(ExecutionLogs), event_seqs=(tiers[-1][0],),
        expected=len(fills), observed=len(fills), violations=tuple(broken), final_holds=not broken,
        worst=worst,
    )


def _rate_of(tiers: list[tuple[int, ev.FeeTierRead]], seq: int, liquidity: Liquidity) -> Decimal:
    """Return the rate of the tier as of the event; the first one before any reading. Zero if we cannot tell."""
    tier = next((t for at, t in reversed(tiers) if at < seq), tiers[0][1])
    return {Liquidity.MAKER: tier.maker_rate, Liquidity.TAKER: tier.taker_rate}.get(liquidity, ZERO)


def _agree_with_events(view: View, trials: list[tuple[Trace, bool]]) -> None:
    """Raise Unusable unless the store's own events say the same of each order."""
    accepted, rejected = view.facts.accepted(), view.facts.rejected()
    for trace, is_accepted in trials:
        name = trace.client_order_id
        known = name in accepted or name in rejected
        if known and (name in accepted) is not is_accepted:
            raise Unusable(Reason.EXCEPTION, f"{name}: artifact and event store disagree on its acceptance")
    logged = {trace.client_order_id for trace, _ in trials}
    for placed in view.facts.placed:
        name = placed.client_order_id
        is_answered = name in accepted or name in rejected
        if is_answered and placed.intent.purpose not in PROBES and name not in logged:
            raise Unusable(Reason.EXCEPTION, f"order {name} of the event store is not in execution_logs")


def _rate(view: View, trials: Iterable[tuple[Trace, bool]], detail: str) -> RateObservation:
    """Return the tallies, pooled and by symbol; the failures' events are named."""
    counts: dict[str, list[int]] = {}
    seqs: list[int] = []
    for trace, is_success in trials:
        counts.setdefault(trace.product_id, [0, 0])[not is_success] += 1
        if not is_success:
            first = trace.denial or trace.answer or trace.submit or trace.signal
            seqs += [first.seq] if first is not None else []
    tallies = {name: Tally(successes=good, failures=bad) for name, (good, bad) in sorted(counts.items())}
    pooled = Tally(
        successes=sum(t.successes for t in tallies.values()), failures=sum(t.failures for t in tallies.values())
    )
    return RateObservation(
        metric=view.metric, refs=view.evidence.refs(ExecutionLogs), event_seqs=tuple(seqs[:SHOWN_MAX]),
        pooled=pooled, by_symbol=tallies, detail=detail,
    )
