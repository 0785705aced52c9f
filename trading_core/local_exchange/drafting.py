"""What an order would be, take and hold: everything about it that changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.fees import FeeBook
from trading_core.local_exchange.futures import FuturesBook
from trading_core.local_exchange.market import Market, Walk
from trading_core.local_exchange.model import ExchangeOrder, NewOrder, TriggerStatus, WireStatus
from trading_core.money import ZERO, floor_to
from trading_core.orders import Side
from trading_core.products import Product, ProductType

BRACKET_THROUGH = Decimal("0.05")  # a triggered bracket becomes a limit order this far through its stop


class Drafts:
    """Works out orders against the markets and positions as they are."""

    def __init__(
        self,
        config: ExchangeConfig,
        markets: Mapping[str, Market],
        futures: FuturesBook,
        fees: Mapping[str, FeeBook],
        initial_rate: Callable[[str, str, bool], Decimal],
    ) -> None:
        self._config, self._markets, self._futures = config, markets, futures
        self._fees, self._initial_rate = fees, initial_rate
        self.now_ns = config.start_ns
        self._legs_left: dict[str, list[Decimal]] = {}  # of scaled orders

    def draft(self, account_id: str, request: NewOrder) -> ExchangeOrder:
        """Return the order as it would be placed now, known to nobody yet."""
        product = self._markets[request.product_id].product
        is_spot = product.product_type is ProductType.SPOT
        tier = self._fees[account_id].tier(self.now_ns)
        rate = self._config.futures_fee_rate
        is_buy_on_spot = is_spot and request.side is Side.BUY
        return ExchangeOrder(
            order_id="",
            account_id=account_id,
            request=request,
            status=WireStatus.PENDING,
            created_ns=self.now_ns,
            updated_ns=self.now_ns,
            size=_base_size(request, product),
            limit_price=request.limit_price,
            hold_currency=product.quote_currency if is_buy_on_spot or not is_spot else product.base_currency,
            maker_rate=tier.maker_rate if is_spot else rate,
            taker_rate=tier.taker_rate if is_spot else rate,
            contract_size=product.contract_size,
            base_currency=product.base_currency if is_spot else "",
            trigger_status=(
                TriggerStatus.STOP_PENDING
                if request.config.is_stop or request.config.is_bracket
                else TriggerStatus.INVALID_ORDER_TYPE
            ),
        )

    def walk(self, order: ExchangeOrder, most_lots: int | None = None) -> Walk:
        """Return what the order (or a part of it) would take now."""
        request, market = order.request, self._markets[order.request.product_id]
        limit = None if order.limit_price is None else self._ticks(market, order.limit_price)
        if request.config.is_market and request.quote_size is not None:
            value = request.quote_size
            if request.side is Side.BUY:
                value = value / (1 + order.taker_rate)  # the quote size includes the fee
            unit = market.product.price_increment * market.product.base_increment
            return market.walk(request.side, order.account_id, limit, units=int(value / unit))
        lots = self._lots(market, order.size - order.filled_size) if most_lots is None else most_lots
        return market.walk(request.side, order.account_id, limit, lots=lots)

    def required_hold(self, order: ExchangeOrder, walk: Walk | None = None) -> Decimal:
        """Return what the order must hold for all that may still fill.

        Spot buys hold value and the dearer fee, spot sells the base; futures the margin of what they open.
        """
        request, product = order.request, self._markets[order.request.product_id].product
        left = order.size - order.filled_size
        if request.config.is_market and walk is not None:
            left = walk.lots * product.base_increment
            value = walk.units * product.price_increment * product.base_increment * product.contract_size
        elif request.legs:
            lefts = self._legs_left.get(order.order_id) or [leg.size for leg in request.legs]
            pairs = zip(request.legs, lefts, strict=True)
            value = sum((product.notional(size, leg.price) for leg, size in pairs), ZERO)
        else:
            value = product.notional(left, self._worst_price(order))
        fee_rate = max(order.maker_rate, order.taker_rate)
        if product.product_type is ProductType.SPOT:
            return value * (1 + fee_rate) if request.side is Side.BUY else left
        position = self._futures.contracts(order.account_id, request.product_id)
        closable = max(ZERO, -position * request.side.sign)
        opening = max(ZERO, left - closable)
        if opening == 0 or left == 0:
            return ZERO
        margin = self._initial_rate(order.account_id, request.product_id, request.side is Side.BUY)
        return floor_to(value * opening / left, product.price_increment) * (margin + fee_rate)

    def _worst_price(self, order: ExchangeOrder) -> Decimal:
        """Return the worst price at which the order may fill: a bracket's is beyond its stop."""
        request, product = order.request, self._markets[order.request.product_id].product
        if request.config.is_bracket and request.stop_price is not None:
            through = request.stop_price * (1 + BRACKET_THROUGH * request.side.sign)
            return product.round_price(through, request.side)
        return ZERO if order.limit_price is None else order.limit_price

    @staticmethod
    def _ticks(market: Market, price: Decimal) -> int:
        return int(price / market.product.price_increment)

    @staticmethod
    def _lots(market: Market, size: Decimal) -> int:
        return int(size / market.product.base_increment)


def _base_size(request: NewOrder, product: Product) -> Decimal:
    if request.legs:
        return sum((leg.size for leg in request.legs), ZERO)
    if request.base_size is not None:
        return request.base_size
    if request.quote_size is not None and request.limit_price:
        return floor_to(request.quote_size / (request.limit_price * product.contract_size), product.base_increment)
    return ZERO
