"""Our books beside the venue's figures, at one moment."""

from __future__ import annotations

from decimal import Decimal

from trading_core.desk import Desk
from trading_core.events import AccountRead, SnapshotTaken
from trading_core.ledger import Ledger
from trading_core.money import ZERO, Size
from trading_core.products import Product, ProductType
from trading_core.reconcile import reconcile

SNAPSHOT_REREADS_MAX = 3  # readings that may be thrown away because a fill was on its way


def holdings_of(products: dict[str, Product], account: AccountRead) -> dict[str, Size]:
    """Return what the account held of each product: base currency on spot, contracts on futures."""
    return {
        p.product_id: (
            account.balances.get(p.base_currency, ZERO)
            if p.product_type is ProductType.SPOT
            else account.positions.get(p.product_id, ZERO)
        )
        for p in products.values()
    }


def take_snapshot(desk: Desk, ledger: Ledger, account: AccountRead) -> SnapshotTaken:
    """Return the snapshot of books and venue; quiescent when no fill is known to be missing."""
    is_quiescent = not desk.orders.unbooked()
    result = reconcile(ledger, account, is_quiescent=is_quiescent)
    totals = ledger.totals()
    staleness = {p: desk.staleness_s(p) for p in desk.products}
    spreads = {p: desk.books[p].spread_bps() for p in desk.products}
    return SnapshotTaken(
        ts_ns=desk.now_ns,
        equity=ledger.equity(),
        opening_equity=totals.opening_equity,
        realized=totals.realized,
        unrealized=totals.unrealized,
        fees=totals.fees,
        funding=totals.funding,
        transfers=totals.transfers,
        positions={p: desk.position(p) for p in desk.products},
        marks={p: mark for p in desk.products if (mark := desk.mark(p)) is not None},
        venue_balances=account.balances,
        expected_balances=ledger.expected_balances(),
        drift=result.drift,
        is_quiescent=is_quiescent,
        margin_used=account.margin_used,
        margin_available=account.margin_available,
        margin_utilization=desk.margin_utilization,
        margin_window=account.margin_window or desk.margin.at(desk.now_ns).window,
        margin_source="venue" if account.margin_window else "calendar",
        open_orders=account.open_orders,
        staleness_s={p: age for p, age in staleness.items() if age is not None},
        spread_bps={p: Decimal(s).quantize(Decimal("0.0001")) for p, s in spreads.items() if s is not None},
    )
