"""Whether an order may come in now: the checks, then the book and the balances."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import structs

from trading_core.local_exchange import checks
from trading_core.local_exchange.catalogue import Listing
from trading_core.local_exchange.checks_kinds import check_kind, check_session
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.desk import IMMEDIATE, Desk
from trading_core.local_exchange.futures import USD, FuturesBook
from trading_core.local_exchange.ledger import Ledger
from trading_core.local_exchange.market import Market, Walk
from trading_core.local_exchange.model import ExchangeOrder, MarginLevel, NewOrder, OrderConfig, Refusal
from trading_core.local_exchange.scaled import legs_of
from trading_core.local_exchange.sessions import Sessions, SessionState
from trading_core.money import Price
from trading_core.orders import Side
from trading_core.products import ProductType
from trading_core.us_calendar import margin_window


class Intake:
    """The gate before the desk. Changes nothing."""

    def __init__(
        self,
        config: ExchangeConfig,
        listings: Mapping[str, Listing],
        markets: Mapping[str, Market],
        ledger: Ledger,
        futures: FuturesBook,
        desk: Desk,
        sessions: Sessions,
    ) -> None:
        self.config, self._listings, self._markets = config, listings, markets
        self._ledger, self._futures, self._desk = ledger, futures, desk
        self._sessions = sessions
        self.offline: frozenset[str] = frozenset()  # products that the venue has taken off

    def draft(self, account_id: str, request: NewOrder) -> tuple[ExchangeOrder, Walk] | Refusal:
        """Return the order as it would be placed and what it would take, or why it is refused."""
        if account_id not in self._desk.live:
            raise KeyError(account_id)
        listing = self._listings.get(request.product_id)
        if listing is None:
            return checks.refuse("INVALID_PRODUCT_ID")
        if request.product_id in self.offline:
            return checks.refuse("ORDER_ENTRY_DISABLED")
        market = self._markets[request.product_id]
        last = market.last_ticks() * market.product.price_increment
        if request.config is OrderConfig.SCALED:
            legs = legs_of(request, listing)
            if isinstance(legs, Refusal):
                return legs
            worst = legs[-1 if request.side is Side.BUY else 0].price
            request = structs.replace(request, legs=legs, limit_price=worst)
        refusal = (
            checks.check(request, listing, last, self._desk.now_ns, self.config)
            or check_kind(request, listing, last)
            or check_session(request, listing, self._state(request))
        )
        if refusal is not None:
            return refusal
        order = self._desk.draft(account_id, request)
        walk = self._desk.walk(order)
        return self._refusal_now(order, walk) or (order, walk)

    def free(self, order: ExchangeOrder) -> Decimal:
        """Return what the account may still tie up in the order's hold currency."""
        if order.hold_currency == USD:
            window = margin_window(self._desk.now_ns).window
            return self._futures.spendable(order.account_id, self.marks(), window)
        return self._ledger.available(order.account_id, order.hold_currency)

    def marks(self) -> dict[str, Price]:
        """Return the price at which each future is valued: its last trade."""
        return {
            name: market.last_ticks() * market.product.price_increment
            for name, market in self._markets.items()
            if market.product.product_type is ProductType.FUTURE
        }

    def _refusal_now(self, order: ExchangeOrder, walk: Walk) -> Refusal | None:
        request = order.request
        if request.reduce_only:
            held = self._futures.contracts(order.account_id, request.product_id)
            if held * request.side.sign >= 0 or order.size > abs(held):
                return checks.refuse("REDUCE_ONLY_INCREASED_POSITION_SIZE")
        if len(self._desk.live[order.account_id]) >= self.config.open_orders_max:
            return checks.TOO_MANY_OPEN_ORDERS
        if self._opens_in_liquidation(order):
            return checks.refuse("IN_LIQUIDATION")
        needed = self._desk.required_hold(order, walk)
        if needed > 0 and needed > self.free(order):
            is_future = self._listings[request.product_id].product.product_type is ProductType.FUTURE
            return checks.INSUFFICIENT_FUNDS if is_future else checks.INSUFFICIENT_FUND
        if not self._state(request).is_open:
            return None  # it queues: the book of the opening decides
        takes_now = bool(walk.slices or walk.meets_own)
        if request.post_only and takes_now:
            return checks.POST_ONLY_WOULD_TAKE
        if request.config in IMMEDIATE and not takes_now:
            return checks.NO_LIQUIDITY
        return None

    def margin_level(self, account_id: str) -> MarginLevel:
        """Return how close the account is to liquidation, under the rates of the present window."""
        window = margin_window(self._desk.now_ns).window
        return self._futures.level(account_id, self.marks(), window)

    def _state(self, request: NewOrder) -> SessionState:
        return self._sessions.at(request.product_id, self._desk.now_ns).state

    def _opens_in_liquidation(self, order: ExchangeOrder) -> bool:
        request = order.request
        if self._listings[request.product_id].product.product_type is not ProductType.FUTURE:
            return False
        held = self._futures.contracts(order.account_id, request.product_id)
        if held * request.side.sign < 0 and order.size <= abs(held):
            return False
        return self.margin_level(order.account_id) is MarginLevel.LIQUIDATION
