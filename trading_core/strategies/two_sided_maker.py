"""Quotes both sides behind the touch, again on a schedule, and leans away from what it holds. Never takes."""

from __future__ import annotations

from decimal import Decimal
from random import Random

from trading_core.clock import NS
from trading_core.desk import Desk
from trading_core.money import ONE, ZERO, Bps, Price, Size
from trading_core.moves import passive_price
from trading_core.order_manager import TrackedOrder
from trading_core.orders import OrderIntent, OrderStatus, OrderType, Purpose, Side
from trading_core.plan import Entry
from trading_core.products import Product, ProductType
from trading_core.strategies.params import Params


class TwoSidedMaker:
    """A bid and an ask per product, post-only, `behind_bps` behind the touch.

    The more of `inventory_max` it holds, the further behind lies the side that would add to it, and the nearer
    the side that sheds it. A quote whose price is still right is left alone; another one makes way for its
    successor before that leaves, or with `requote = "edit"` is edited at the venue where that can be done.
    """

    name = "two_sided_maker"

    def __init__(self, entry: Entry, random: Random) -> None:
        del random  # it decides by the market alone
        params = Params(entry.params)
        self._requote_s = params.whole("requote_s", 20, low=1, high=3600)
        self._behind_bps = params.exact("behind_bps", "1", low="0", high="500")
        self._skew_bps = params.exact("skew_bps", "4", low="0", high="500")
        self._quote = params.exact("quote_notional", str(entry.notional_min), low="1", high="10000000")
        self._inventory_max = params.exact("inventory_max", str(2 * entry.notional_max), low="1", high="100000000")
        self._edits = params.choice("requote", "replace", ("replace", "edit")) == "edit"
        params.finish()
        self._next_ns: dict[str, int] = {}

    def decide(self, desk: Desk) -> list[OrderIntent]:
        """Return the quotes that are missing; those that moved are replaced at the desk."""
        wanted = []
        for limits in desk.plan.products:
            product_id = limits.product_id
            if desk.now_ns < self._next_ns.get(product_id, 0) or desk.mark(product_id) is None:
                continue
            self._next_ns[product_id] = desk.now_ns + self._requote_s * NS
            wanted += [i for side in Side if (i := self._side(desk, product_id, side)) is not None]
        return wanted

    def _side(self, desk: Desk, product_id: str, side: Side) -> OrderIntent | None:
        touch, product = desk.books[product_id].best(side), desk.products[product_id]
        if touch is None:
            return None
        share = self.inventory_share(desk, product)
        size = self._size(desk, product, side, touch, share)
        resting = [o for o in desk.orders.live(product_id, side) if o.intent.order_type is OrderType.LIMIT]
        price = passive_price(product, side, touch, self._behind(side, share))
        intent = self._intent(desk, product, side, size, price)
        if not resting:
            return intent if size > 0 and not desk.orders.outstanding(product_id, side) else None
        for order in resting:
            self._requote(desk, order, intent)
        return None

    def inventory_share(self, desk: Desk, product: Product) -> Decimal:
        """Return what is held of the product as a share of the most, signed; beyond 1 it only sheds."""
        mark = desk.mark(product.product_id) or ZERO
        return product.notional(desk.position(product.product_id), mark) / self._inventory_max

    def _behind(self, side: Side, share: Decimal) -> Bps:
        """Return how far behind the touch the side is quoted; never in front of it."""
        return max(self._behind_bps + self._skew_bps * share * side.sign, ZERO)

    def _size(self, desk: Desk, product: Product, side: Side, touch: Price, share: Decimal) -> Size:
        """Return the size of the side's quote; zero if it would go beyond the inventory's limit."""
        is_dust = desk.is_dust(product.product_id)  # it cannot be traded, so it is no inventory
        position = ZERO if is_dust else desk.position(product.product_id) * side.sign
        adding = product.size_for(self._quote * max(min(ONE - share * side.sign, ONE), ZERO), touch)
        if position < 0:
            return min(product.size_for(self._quote, touch), product.round_size(-position))
        # Spot cannot be sold short: without a position there is no ask.
        return ZERO if side is Side.SELL and product.product_type is ProductType.SPOT else adding

    def _requote(self, desk: Desk, order: TrackedOrder, intent: OrderIntent) -> None:
        if order.status is not OrderStatus.OPEN or desk.waiting.is_changing(order):
            return
        if intent.size <= 0:
            desk.cancel(order, "requote")
        elif intent.limit_price != order.intent.limit_price:
            change = desk.waiting.requote if self._edits else desk.waiting.replace
            change(desk, order, intent, self.name)

    def _intent(self, desk: Desk, product: Product, side: Side, size: Size, price: Price) -> OrderIntent:
        is_exit = desk.position(product.product_id) * side.sign < 0
        return OrderIntent(
            product_id=product.product_id, side=side, size=size, limit_price=price,
            purpose=Purpose.EXIT if is_exit else Purpose.ENTRY, post_only=True, reduce_only=is_exit,
            cancel_after_s=desk.plan.policy.auto_cancel_s,
        )


def make(entry: Entry, random: Random) -> TwoSidedMaker:
    """Return the strategy for the plan's entry section."""
    return TwoSidedMaker(entry, random)
