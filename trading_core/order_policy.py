"""The order policy of one product: made once for a run and never changed, however the market or a strategy does."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from trading_core.money import BPS
from trading_core.orders import Bracket, OrderIntent, OrderType, Purpose, Side
from trading_core.plan import BracketDistance, OrderPolicy
from trading_core.products import Product, ProductType


@dataclass(frozen=True, slots=True)
class SymbolPolicy:
    """How the orders of one product leave."""

    product: Product
    orders: OrderPolicy

    @property
    def holds_stops(self) -> bool:
        """Tell whether stops of the product are held by us, for the venue has none."""
        return self.product.product_id in self.orders.local_stops

    def shape(self, intent: OrderIntent) -> OrderIntent:
        """Return the intent as the policy wants it to leave: an entry with its bracket."""
        if self.orders.bracket is None or intent.attached is not None or not self._is_guarded(intent):
            return intent
        return guarded(self.product, intent, self.orders.bracket)

    def _is_guarded(self, intent: OrderIntent) -> bool:
        is_open = intent.order_type is OrderType.LIMIT and not intent.reduce_only
        # Spot sells what is held already: nothing is opened, and the venue attaches nothing to it.
        may_open = self.product.product_type is not ProductType.SPOT or intent.side is Side.BUY
        return is_open and may_open and intent.purpose is not Purpose.EMERGENCY


def guarded(product: Product, intent: OrderIntent, distance: BracketDistance) -> OrderIntent:
    """Return the entry with a bracket around its price; one without a price stays as it is."""
    price = intent.limit_price
    if price is None:
        return intent
    sign, leaving = intent.side.sign, intent.side.opposite
    # Both prices are rounded away from the entry: neither side of the bracket comes nearer than the plan says.
    gain = product.round_price(price * (1 + sign * distance.take_profit_bps / BPS), leaving)
    loss = product.round_price(price * (1 - sign * distance.stop_loss_bps / BPS), intent.side)
    return msgspec.structs.replace(intent, attached=Bracket(take_profit=gain, stop_loss=loss))
