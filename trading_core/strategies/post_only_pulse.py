"""A small post-only order near the touch every few seconds: buys while flat, sells while long. Never takes."""

from __future__ import annotations

from decimal import Decimal
from random import Random

from trading_core.clock import NS
from trading_core.desk import Desk
from trading_core.money import ZERO, Price
from trading_core.moves import passive_price
from trading_core.orders import OrderIntent, Purpose, Side
from trading_core.plan import Entry
from trading_core.strategies.params import Params


class PostOnlyPulse:
    """Alternates over the plan's products; entries of notional_min to notional_max USD, drawn per pulse."""

    name = "post_only_pulse"

    def __init__(self, entry: Entry, random: Random) -> None:
        Params(entry.params).finish()
        self._entry = entry
        self._random = random
        self._next_ns = 0
        self._turn = 0

    def decide(self, desk: Desk) -> list[OrderIntent]:
        """Return at most one order each `interval_s`."""
        if desk.now_ns < self._next_ns:
            return []
        self._next_ns = desk.now_ns + self._entry.interval_s * NS
        traded = [p.product_id for p in desk.plan.products]
        product_id = traded[self._turn % len(traded)]
        self._turn += 1
        intent = self._exit(desk, product_id) or self._enter(desk, product_id)
        return [] if intent is None else [intent]

    def _exit(self, desk: Desk, product_id: str) -> OrderIntent | None:
        """Return a passive exit for the whole position, unless one is on its way already."""
        position = desk.position(product_id)
        ask = desk.books[product_id].best(Side.SELL)
        is_leaving = bool(desk.orders.outstanding(product_id, Side.SELL))
        if position <= 0 or ask is None or is_leaving or desk.is_dust(product_id):
            return None
        price = passive_price(desk.products[product_id], Side.SELL, ask, self._entry.offset_bps)
        return self._intent(desk, product_id, Side.SELL, position, price, Purpose.EXIT)

    def _enter(self, desk: Desk, product_id: str) -> OrderIntent | None:
        bid = desk.books[product_id].best(Side.BUY)
        # What a bracket guards leaves by it: until then nothing is added.
        is_guarded = any(order.guards is not None for order in desk.orders.live(product_id))
        if bid is None or is_guarded:
            return None
        low, high = self._entry.notional_min, self._entry.notional_max
        notional = low + (high - low) * Decimal(self._random.randint(0, 100)) / 100
        price = passive_price(desk.products[product_id], Side.BUY, bid, self._entry.offset_bps)
        size = desk.products[product_id].size_for(notional, price)
        return self._intent(desk, product_id, Side.BUY, size, price, Purpose.ENTRY) if size > ZERO else None

    def _intent(
        self, desk: Desk, product_id: str, side: Side, size: Decimal, price: Price, purpose: Purpose
    ) -> OrderIntent:
        return OrderIntent(
            product_id=product_id,
            side=side,
            size=size,
            limit_price=price,
            purpose=purpose,
            post_only=True,
            reduce_only=purpose is Purpose.EXIT,
            cancel_after_s=desk.plan.policy.auto_cancel_s,
        )


def make(entry: Entry, random: Random) -> PostOnlyPulse:
    """Return the strategy for the plan's entry section."""
    return PostOnlyPulse(entry, random)
