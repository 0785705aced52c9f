"""What somebody else trades on the account, such as a liquidation of the venue: booked, told, and the end of entries.

A position that others closed must not be closed once more: on a future that would open the opposite one.
"""

from __future__ import annotations

from trading_core.commands import FetchFills
from trading_core.desk import Desk
from trading_core.events import AlertRaised
from trading_core.money import ZERO, Size, plain
from trading_core.orders import Fill, OrderType, Side, VenueOrder
from trading_core.trading_state import TradingState


class ForeignFills:
    """The orders of the account that are not ours and have filled since the books were opened."""

    def __init__(self) -> None:
        self._filled: dict[str, Size] = {}  # by the venue's id
        self._products: set[str] = set()  # of those orders
        self._opened_ns = 0

    def open(self, now_ns: int) -> None:
        """Count from here on: what filled before is in the account's opening figures."""
        self._opened_ns = now_ns

    def take(self, desk: Desk, report: VenueOrder) -> None:
        """Take the report of an order that is not tracked: a new fill of one of our products is fetched and told."""
        # A bracket that the venue attached may be told of before we know it for ours: it has no id of a client.
        may_be_ours = not report.client_order_id and report.order_type == OrderType.BRACKET
        known = self._filled.get(report.order_id, ZERO)
        if may_be_ours or report.product_id not in desk.products or report.filled_size <= known:
            return
        self._filled[report.order_id] = report.filled_size
        self._products.add(report.product_id)
        size = f"{plain(report.filled_size)} {report.product_id}"
        words = f"order {report.order_id}, which is not ours, filled: {report.side} {size}"
        desk.record(AlertRaised(ts_ns=desk.now_ns, name="foreign_fill", severity="CRITICAL", detail=words))
        desk.tighten(TradingState.REDUCE_ONLY, words)
        desk.decisions.commands.append(FetchFills(report.order_id))

    def has(self, fill: Fill) -> bool:
        """Tell whether it is a fill of theirs that the opening figures did not hold yet."""
        return fill.order_id in self._filled and fill.ts_ns >= self._opened_ns

    def end_exits(self, desk: Desk) -> None:
        """Cancel the exits of what others have closed: filled, they would open the opposite position."""
        for product_id in sorted(self._products):
            for side in Side:
                held = max(-desk.position(product_id) * side.sign, ZERO)
                exits = [order for order in desk.orders.live(product_id, side) if desk.is_exit(order.intent)]
                if sum((order.leaves for order in exits), ZERO) > held:
                    for order in exits:
                        desk.cancel(order, "foreign_fill")
