"""The figures that people watch while a run trades: taken by the engine, so that a replay shows the same."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal
from typing import TYPE_CHECKING

from trading_core.desk import Desk
from trading_core.events import FiguresTaken
from trading_core.gate.evidence import Tally
from trading_core.gate.statistics import e_value
from trading_core.money import ZERO
from trading_core.orders import OrderStatus, Purpose, Side
from trading_core.plan import Plan
from trading_core.sizing import Depth, impact_bps

if TYPE_CHECKING:
    from trading_core.engine import Engine

FULL = Decimal(100)
_TENTH = Decimal("0.1")
_SIX_DIGITS = Context(prec=6)
_REFUSED = frozenset({OrderStatus.REJECTED, OrderStatus.FAILED})


def is_probe(purpose: Purpose) -> bool:
    """Tell whether an order of this purpose is left out of the acceptance rate."""
    return purpose.startswith("PROBE_")


def take_figures(engine: Engine, watched: Mapping[str, Decimal]) -> FiguresTaken:
    """Return the desk as of now beside the metrics that alerts and guardrails watch."""
    desk, ids = engine.desk, list(engine.desk.products)
    ledger = desk.ledger
    spreads = {p: desk.books[p].spread_bps() for p in ids}
    depths = {p: (desk.depth(p, Side.BUY), desk.depth(p, Side.SELL)) for p in ids}
    pnl = desk.pnl()
    return FiguresTaken(
        ts_ns=desk.now_ns,
        state=desk.state,
        equity=desk.equity(),
        pnl=pnl,
        day_pnl=pnl - desk.day_start_pnl,
        margin_utilization=desk.margin_utilization,
        open_orders=len(desk.orders.live()),
        positions={p: desk.position(p) for p in ids},
        unrealized={p: ledger.unrealized(p) for p in ids} if ledger is not None else {},
        marks={p: mark for p in ids if (mark := desk.mark(p)) is not None},
        seen_ns=dict(desk.book_seen_ns),
        spread_bps={p: s.quantize(Decimal("0.0001")) for p, s in spreads.items() if s is not None},
        depth_l10={p: min(buy.l10, sell.l10) for p, (buy, sell) in depths.items()},
        liquidity={p: liquidity_score(desk.plan, sides) for p, sides in depths.items()},
        watched=dict(watched),
    )


def liquidity_score(plan: Plan, sides: tuple[Depth, Depth]) -> Decimal:
    """Return the share of the impact limit that the plan's largest entry would leave unused, in percent."""
    limit, (buy, sell) = plan.sizing.impact_bps_max, sides
    if limit <= 0 or buy.l1 <= 0 or sell.l1 <= 0:
        return ZERO
    worst = max(impact_bps(plan.entry.notional_max, buy), impact_bps(plan.entry.notional_max, sell))
    return (FULL * max(1 - worst / limit, ZERO)).quantize(_TENTH)


def checkpoint_figures(engine: Engine, watched: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return what a checkpoint keeps: books, orders so far, the e-process of acceptance, watched metrics."""
    desk, tally = engine.desk, acceptance(engine.desk)
    rate = next((c for c in desk.plan.criteria if c.metric == "order_acceptance" and c.p0 is not None), None)
    figures = {
        "equity": desk.equity(),
        "pnl": desk.pnl(),
        "open_orders": Decimal(len(desk.orders.live())),
        "accepted": Decimal(tally.successes),
        "rejected": Decimal(tally.failures),
        **watched,
    }
    if rate is not None and rate.p0 is not None:
        # A long day takes it far beyond what a fixed number of decimals can hold: keep six digits, whatever the size.
        figures["order_acceptance_e_value"] = _SIX_DIGITS.plus(e_value(tally, rate.p0))
    return figures


def acceptance(desk: Desk) -> Tally:
    """Return the orders that the venue took and refused so far, probes left out."""
    sent = [o for o in desk.orders.orders.values() if not is_probe(o.intent.purpose)]
    refused = sum(o.status in _REFUSED for o in sent)
    return Tally(successes=sum(o.accepted_ns is not None and o.status not in _REFUSED for o in sent), failures=refused)
