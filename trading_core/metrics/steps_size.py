"""Metrics of the larger rungs' effects: brackets, order types, the size itself, reduce-only, the choice of strategy."""

from __future__ import annotations

from decimal import Decimal

from trading_core import events as ev
from trading_core.artifacts import ExecutionLogs
from trading_core.gate.evidence import ExercisedObservation
from trading_core.metrics.facts import View
from trading_core.metrics.steps import SHOWN_MAX, Effect
from trading_core.money import ZERO
from trading_core.orders import OrderType, Purpose, Side, TimeInForce
from trading_core.strategies.regime import Figures, Regime, regime_of
from trading_core.trading_state import TradingState

SIZE_REACHED = Decimal("0.95")


def bracket_placed(view: View) -> Effect:
    """For each product, an entry of the step left with its bracket, and the venue itself reported that bracket."""
    facts = view.facts
    guarded = {
        p.client_order_id: p for p in facts.placed
        if p.source == "bracket" and p.intent.attached is not None and p.client_order_id in facts.taken()
    }
    adopted = {e.order_id: (seq, e) for seq, e in facts.of(ev.BracketAdopted) if e.guards in guarded}
    seen = {
        e.order.order_id: seq for seq, e in facts.of(ev.OrderReported)
        if e.order.order_id in adopted and e.order.order_type == OrderType.BRACKET
    }
    products = {adopted[order_id][1].intent.product_id for order_id in seen}
    return Effect([p.seq for p in guarded.values()], list(seen.values()), _without(view, products))


def order_types_placed(view: View) -> Effect:
    """Every order type and time in force that the plan lets leave was accepted by the venue once."""
    policy, taken = view.plan.policy, view.facts.taken()
    wanted = {
        (kind, tif) for kind in policy.order_types for tif in policy.time_in_force
        if kind is OrderType.LIMIT or (kind is not OrderType.MARKET and tif is TimeInForce.GTC)
    }
    found = {
        (p.intent.order_type, p.intent.time_in_force): taken[p.client_order_id]
        for p in view.facts.placed if p.client_order_id in taken
    }
    missing = sorted(f"{kind} {tif}" for kind, tif in wanted - found.keys())
    sent = [p.seq for p in view.facts.placed if p.source == "order_types"]
    return Effect(sent, [] if missing else sorted(found[key] for key in wanted), missing)


def size_reached(view: View) -> Effect:
    """For each product, what the fills of the step bought before they sold is the rung's size."""
    traces = view.evidence.get(ExecutionLogs).rows
    placed = [p for p in view.facts.placed if p.source == "size_step"]
    ids = {p.client_order_id for p in placed}
    # All fills count, for the step first sells what was held before it; only its own may reach the size.
    own = {f.entry_id for t in traces if t.client_order_id in ids for f in t.fills}
    fills = sorted((f for t in traces for f in t.fills), key=lambda f: f.seq)
    first = view.plan.products[0].product_id
    marks = {p.intent.product_id: p.intent.limit_price or ZERO for p in reversed(placed) if p.intent.side is Side.BUY}
    held: dict[str, Decimal] = {}
    reached: dict[str, int] = {}
    for fill in fills:
        product_id = fill.product_id
        held[product_id] = held.get(product_id, ZERO) + fill.side.sign * fill.size
        limits = view.plan.limits(product_id)
        if fill.entry_id not in own or limits is None or first not in marks or not marks.get(product_id):
            continue
        worth = min(view.plan.protocol.size_step * marks[first], limits.max_notional)
        # The step works with the middle of its moment, this with the first price of each symbol: hence the slack.
        if held[product_id] >= min(worth / marks[product_id], limits.max_size) * SIZE_REACHED * SIZE_REACHED:
            reached.setdefault(product_id, fill.seq)
    return Effect([p.seq for p in placed], list(reached.values()), _without(view, set(reached)))


def reduce_only_transition(view: View) -> Effect:
    """After the drill tightened each symbol: its entry was denied, none left any more, and its exit was accepted.

    A symbol that something else tightened first, such as the venue's status, was not drilled: what it refuses then
    it refuses for another reason. An order that leaves to enter contradicts all the same.
    """
    facts, taken = view.facts, view.facts.taken()
    tight = {e.product_id: (seq, e.reason) for seq, e in reversed(facts.of(ev.SymbolTightened))}  # the first of each
    provoked, seen, products, leaks = [], [], set(), False
    for product_id, (start, reason) in tight.items():
        is_drill = reason == ev.DRILL
        provoked += [start] if is_drill else []
        later = [p for p in facts.placed if p.intent.product_id == product_id and p.seq > start]
        denied = [
            seq for seq, e in facts.of(ev.OrderDenied)
            if seq > start and e.intent.product_id == product_id and e.reason == TradingState.REDUCE_ONLY
            and e.intent.purpose is Purpose.PROBE_ENTRY_WHILE_REDUCING
        ]
        exits = [
            taken[p.client_order_id] for p in later
            if p.intent.purpose is Purpose.PROBE_EXIT_WHILE_REDUCING and p.client_order_id in taken
        ]
        leaks = leaks or any(p.intent.purpose in (Purpose.ENTRY, Purpose.PROBE_ENTRY_WHILE_REDUCING) for p in later)
        if is_drill and denied and exits:
            seen += [denied[0], exits[0]]
            products.add(product_id)
    missing = [p.product_id for p in view.plan.products[1:] if p.product_id not in products]
    return Effect(provoked, [] if missing else seen, missing, is_contradicted=leaks)


def strategy_selected(view: View) -> ExercisedObservation:
    """Return whether the automatic strategy chose, by its own rule recomputed, and what it chose then traded."""
    facts = view.facts
    view.evidence.get(ExecutionLogs)
    chosen = facts.of(ev.StrategyChosen)
    wrong = [seq for seq, e in chosen if not _follows_the_rule(e)]
    names = {e.strategy for _, e in chosen}
    traded = [seq for seq, e in facts.of(ev.SignalRaised) if chosen and seq > chosen[0][0] and e.source in names]
    changes = sum(e.before != "" for _, e in chosen)
    words = f"{len(chosen)} choices, {changes} of them changes, among {', '.join(sorted(names)) or 'none'}"
    if wrong:
        words += f"; {len(wrong)} are not what the rule gives for the figures recorded"
    return ExercisedObservation(
        metric=view.metric, refs=view.evidence.refs(ExecutionLogs),
        event_seqs=tuple([seq for seq, _ in chosen][: SHOWN_MAX - 1] + traded[:1]), was_provoked=bool(chosen),
        was_seen=bool(chosen) and bool(traded) and not wrong, detail=words,
    )


def _follows_the_rule(event: ev.StrategyChosen) -> bool:
    figures = Figures(event.spread_bps, event.volatility_bps, event.trend_bps)
    # A regime once entered is kept a little beyond its limits: recomputed from inside, the rule must agree.
    return regime_of(figures, Regime(event.regime)) is Regime(event.regime)


def _without(view: View, products: set[str]) -> list[str]:
    return [p.product_id for p in view.plan.products if p.product_id not in products]
