"""A strategy for the simulation: takes a position in each product at once and keeps it, over whatever comes."""

from __future__ import annotations

from random import Random

from trading_core.desk import Desk
from trading_core.orders import OrderIntent, Purpose, Side
from trading_core.plan import Entry
from trading_core.products import ProductType
from trading_core.strategies.params import Params


class Holder:
    """Buys, or sells futures short, at the other side's touch; the side is drawn for each product."""

    name = "holder"

    def __init__(self, entry: Entry, random: Random) -> None:
        Params(entry.params).finish()
        self._entry = entry
        self._random = random
        self._sides: dict[str, Side] = {}

    def decide(self, desk: Desk) -> list[OrderIntent]:
        """Return an entry for each product of which nothing is held and nothing is on its way."""
        return [i for limits in desk.plan.products if (i := self._enter(desk, limits.product_id)) is not None]

    def _enter(self, desk: Desk, product_id: str) -> OrderIntent | None:
        product = desk.products[product_id]
        sides = (Side.BUY,) if product.product_type is ProductType.SPOT else tuple(Side)
        side = self._sides.setdefault(product_id, self._random.choice(sides))
        touch = desk.books[product_id].best(side.opposite)
        if touch is None or not desk.is_dust(product_id) or desk.orders.outstanding(product_id):
            return None
        size = product.size_for((self._entry.notional_min + self._entry.notional_max) / 2, touch)
        return OrderIntent(
            product_id=product_id, side=side, size=size, limit_price=touch, purpose=Purpose.ENTRY,
            cancel_after_s=desk.plan.policy.auto_cancel_s,
        ) if size > 0 else None


def make(entry: Entry, random: Random) -> Holder:
    """Return the strategy for the plan's entry section."""
    return Holder(entry, random)
