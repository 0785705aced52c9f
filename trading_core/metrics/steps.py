"""Metrics of provoked effects. The step says that it saw the effect; the raw events must show it too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import NamedTuple

from trading_core import events as ev
from trading_core.artifacts import ExecutionLogs, MarginSnapshots, SizedDownEvents, Timeline
from trading_core.clock import NS
from trading_core.gate.evidence import ExercisedObservation
from trading_core.gate.outcomes import Reason
from trading_core.metrics.evidence import Unusable
from trading_core.metrics.facts import Placed, View
from trading_core.money import ZERO
from trading_core.orders import OrderStatus, OrderType, Purpose, Side
from trading_core.trading_state import TradingState

CROSSING_REASON = "INVALID_LIMIT_PRICE_POST_ONLY"
PNL_TOLERANCE = Decimal("0.000001")
SHOWN_MAX = 20


class Effect(NamedTuple):
    """What the raw events show: the seqs of the provocation and of the effect, and for what it is missing."""

    provoked: Sequence[int]
    seen: Sequence[int]
    missing: Sequence[str] = ()
    is_contradicted: bool = False  # an event shows the opposite


def exercised(step: str, read: Callable[[View], Effect]) -> Callable[[View], ExercisedObservation]:
    """Return the metric of a protocol step: its own word and the raw effect, which must agree."""

    def observe(view: View) -> ExercisedObservation:
        view.evidence.get(ExecutionLogs)
        ended, effect = view.facts.step(step), read(view)
        is_shown = ended is not None and ended[1].is_shown
        was_seen = bool(effect.seen) and is_shown and not effect.is_contradicted
        seqs = [*effect.provoked, *effect.seen] + ([ended[0]] if ended is not None else [])
        words = "the protocol did not run the step" if ended is None else ended[1].detail
        if bool(effect.seen) is not is_shown and ended is not None:
            words += f"; step says {'shown' if is_shown else 'not shown'}, the raw events say the opposite"
        return ExercisedObservation(
            metric=view.metric, refs=view.evidence.refs(ExecutionLogs, SizedDownEvents, Timeline),
            event_seqs=tuple(sorted(set(seqs))[:SHOWN_MAX]), was_provoked=bool(effect.provoked), was_seen=was_seen,
            missing=tuple(effect.missing), detail=words,
        )

    return observe


def post_only_placed(view: View) -> Effect:
    """A post-only entry of the step was accepted, for each product of the plan."""
    orders = [p for p in _of_step(view, "post_only_entry") if p.intent.post_only]
    return _accepted_for_each(view, orders)


def stop_limit_placed(view: View) -> Effect:
    """A stop-limit probe was accepted, for each product of the plan; held by us where the plan says that we hold it."""
    orders = [
        p for p in view.facts.placed
        if p.intent.purpose is Purpose.PROBE_STOP and p.intent.order_type is OrderType.STOP_LIMIT
    ]
    found, local = _accepted_for_each(view, orders), view.plan.policy.local_stops
    held = [
        (seq, e.intent.product_id) for seq, e in view.facts.of(ev.LocalStopChanged)
        if e.change == "HELD" and e.intent.product_id in local
    ]
    missing = [p for p in found.missing if p not in {product_id for _, product_id in held}]
    seqs = [seq for seq, _ in held]
    return Effect([*found.provoked, *seqs], [*found.seen, *seqs], missing)


def crossing_rejected(view: View) -> Effect:
    """Each crossing probe was rejected by the venue, for the one right reason."""
    orders = [p for p in view.facts.placed if p.intent.purpose is Purpose.PROBE_CROSSING and p.intent.post_only]
    taken, rejected = view.facts.taken(), view.facts.rejected()
    right = {
        p.client_order_id: rejected[p.client_order_id][0] for p in orders
        if p.client_order_id in rejected and rejected[p.client_order_id][1].reason == CROSSING_REASON
    }
    products = {p.intent.product_id for p in orders if p.client_order_id in right}
    return Effect(
        [p.seq for p in orders], list(right.values()), _without(view, products),
        is_contradicted=any(p.client_order_id in taken for p in orders),
    )


def sized_down(view: View) -> Effect:
    """The over-size probe was cut, above zero, and what left is what the cut says."""
    signals = {
        e.signal_id: seq for seq, e in view.facts.of(ev.SignalRaised) if e.intent.purpose is Purpose.PROBE_OVERSIZE
    }
    cuts = {e.signal_id: (seq, e) for seq, e in view.facts.of(ev.SizedDown) if e.signal_id in signals}
    logged = {row.seq for row in view.evidence.get(SizedDownEvents).rows}
    sent = {p.signal_id: p.intent.size for p in view.facts.placed if p.signal_id in signals}
    seen = [
        seq for name, (seq, cut) in cuts.items()
        if seq in logged and ZERO < cut.adjusted_size < cut.original_size and sent.get(name) == cut.adjusted_size
    ]
    return Effect(list(signals.values()), seen)


def auto_cancel(view: View) -> Effect:
    """An accepted order was cancelled by its age, not earlier than the plan's limit, and is gone."""
    orders = [p for p in _of_step(view, "auto_cancel") if p.intent.cancel_after_s is not None]
    taken, known_ns = view.facts.taken(), _known_since(view)
    gone = {
        e.order.client_order_id for _, e in view.facts.of(ev.OrderReported)
        if e.order.status is OrderStatus.CANCELLED
    }
    seen: list[int] = []
    early: list[int] = []
    for order in orders:
        name = order.client_order_id
        for seq, e in view.facts.of(ev.CancelRequested):
            if e.client_order_id != name or name not in known_ns or e.cause != "auto_cancel":
                continue
            is_due = e.ts_ns >= known_ns[name] + (order.intent.cancel_after_s or 0) * NS
            (seen if is_due and name in gone else early).append(seq)
    return Effect([p.seq for p in orders if p.client_order_id in taken], seen, is_contradicted=bool(early))


def entry_exit_pnl(view: View) -> Effect:
    """Bought and sold in the step; cash flow and fees recomputed from the fills equal what the step measured."""
    placed = _of_step(view, "entry_and_exit")
    first = next((p.seq for p in placed if p.intent.purpose is Purpose.ENTRY), None)
    # What the step closed before its own entry belongs to the trading before it.
    orders = {p.client_order_id: p for p in placed if first is not None and p.seq >= first}
    traces = [t for t in view.evidence.get(ExecutionLogs).rows if {t.client_order_id, t.guards} & orders.keys()]
    fills = [f for t in traces for f in t.fills]
    ended = view.facts.step("entry_and_exit")
    measured = ended[1].measurements if ended is not None else {}
    flow = sum((-f.side.sign * f.notional for f in fills), ZERO)
    fees = sum((f.commission for f in fills), ZERO)
    is_both = {f.side for f in fills} == {Side.BUY, Side.SELL}
    agrees = (
        "flow" in measured and "fees" in measured
        and abs(measured["flow"] - flow) < PNL_TOLERANCE and abs(measured["fees"] - fees) < PNL_TOLERANCE
    )
    seqs = [f.seq for f in fills]
    return Effect([p.seq for p in orders.values()], seqs if is_both and agrees else [])


def kill_switch_drill(view: View) -> Effect:
    """While reducing: a new entry was denied, none was sent, the exit was accepted and filled, in time."""
    facts = view.facts
    own = {e.signal_id for _, e in facts.of(ev.SignalRaised) if e.source == "kill_switch_drill"}
    denied = [
        seq for seq, e in facts.of(ev.OrderDenied)
        if e.signal_id in own and e.reason == TradingState.REDUCE_ONLY
        and e.intent.purpose is Purpose.PROBE_ENTRY_WHILE_REDUCING
    ]
    tight = [
        (seq, e) for seq, e in facts.of(ev.StateChanged)
        if e.state is TradingState.REDUCE_ONLY and "drill" in e.reason
    ]
    exits = [p for p in facts.placed if p.signal_id in own and p.intent.purpose is Purpose.PROBE_EXIT_WHILE_REDUCING]
    at_venue = facts.taken()
    taken = [at_venue[p.client_order_id] for p in exits if p.client_order_id in at_venue]
    names = {p.client_order_id for p in exits}
    traces = [t for t in view.evidence.get(ExecutionLogs).rows if t.client_order_id in names]
    fills = [f for t in traces for f in t.fills]
    provoked = [seq for seq, _ in tight] + denied + [p.seq for p in exits]
    if not tight:
        return Effect(provoked, [])
    start_ns = tight[-1][1].ts_ns
    leaks = [
        p for p in facts.placed
        if p.seq > tight[-1][0] and p.intent.purpose in (Purpose.ENTRY, Purpose.PROBE_ENTRY_WHILE_REDUCING)
    ]
    limit_ns = view.plan.protocol.drill_flat_within_s * NS
    is_in_time = bool(fills) and max(f.ts for f in fills) - start_ns <= limit_ns
    seen = [*denied, *taken] if denied and taken and is_in_time else []
    return Effect(provoked, seen, is_contradicted=bool(leaks))


def websocket_reconnect(view: View) -> ExercisedObservation:
    """Return whether the stream was lost and came back; nobody provokes it, so it may not have happened."""
    view.evidence.get(Timeline)
    changes = view.facts.of(ev.StreamChanged)
    lost = [(seq, e) for seq, e in changes if e.state is ev.StreamState.DISCONNECTED]
    back = [
        seq for seq, e in changes
        if lost and e.state is ev.StreamState.CONNECTED and seq > lost[-1][0] and e.connection == lost[-1][1].connection
    ]
    return ExercisedObservation(
        metric=view.metric, refs=view.evidence.refs(Timeline),
        event_seqs=tuple([seq for seq, _ in lost][:SHOWN_MAX] + back[:1]), was_provoked=bool(lost),
        was_seen=bool(back), detail=f"lost {len(lost)} times",
    )


def margin_window_transitions(view: View) -> ExercisedObservation:
    """Return whether the account went from one margin window to another and the records show it."""
    rows = view.evidence.get(MarginSnapshots).rows
    if not any(row.margin_window for row in rows) or all(r.margin_used + r.margin_available == 0 for r in rows):
        raise Unusable(Reason.PRECONDITION_FALSE, "the account has no margin, so no margin window applies")
    windows = [row.margin_window for row in rows]
    changes = [rows[i].seq for i in range(1, len(rows)) if windows[i] != windows[i - 1]]
    return ExercisedObservation(
        metric=view.metric, refs=view.evidence.refs(MarginSnapshots), event_seqs=tuple(changes[:SHOWN_MAX]),
        was_provoked=bool(changes), was_seen=bool(changes), detail=f"windows seen: {', '.join(sorted(set(windows)))}",
    )


def _known_since(view: View) -> dict[str, int]:
    """Return since when each order was known at the venue: the user channel may overtake the acknowledgement."""
    taken = view.facts.taken()
    since = {name: event.ts_ns for name, (_, event) in view.facts.accepted().items()}
    for _, event in view.facts.of(ev.OrderReported):
        name = event.order.client_order_id
        if name in taken:
            since[name] = min(since.get(name, event.ts_ns), event.ts_ns)
    return since


def _of_step(view: View, step: str) -> list[Placed]:
    return [p for p in view.facts.placed if p.source == step]


def _accepted_for_each(view: View, orders: Sequence[Placed]) -> Effect:
    taken = view.facts.taken()
    found = [p for p in orders if p.client_order_id in taken]
    seqs = [taken[p.client_order_id] for p in found]
    return Effect([p.seq for p in orders], seqs, _without(view, {p.intent.product_id for p in found}))


def _without(view: View, products: set[str]) -> list[str]:
    return [p.product_id for p in view.plan.products if p.product_id not in products]
