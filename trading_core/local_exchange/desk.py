"""The order desk: takes orders in, matches them, books what fills, and ends them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from copy import copy
from decimal import Decimal

from trading_core.events import TradePrinted
from trading_core.local_exchange.checks import stop_direction
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.fees import FeeBook
from trading_core.local_exchange.futures import FuturesBook
from trading_core.local_exchange.history import trade_of
from trading_core.local_exchange.ids import Ids
from trading_core.local_exchange.ledger import Ledger
from trading_core.local_exchange.market import Market, Print, Slice, Walk
from trading_core.local_exchange.model import (
    ExchangeEvent,
    ExchangeFill,
    ExchangeOrder,
    FillMade,
    NewOrder,
    OrderChanged,
    OrderConfig,
    TriggerStatus,
    WireStatus,
)
from trading_core.local_exchange.queue import Resting, Stop
from trading_core.money import ZERO, floor_to
from trading_core.orders import Liquidity, Side
from trading_core.products import Product, ProductType

BRACKET_THROUGH = Decimal("0.05")  # a triggered bracket becomes a limit order this far through its stop
IMMEDIATE = frozenset({OrderConfig.MARKET_IOC, OrderConfig.MARKET_FOK, OrderConfig.LIMIT_IOC, OrderConfig.LIMIT_FOK})
ALL_OR_NOTHING = frozenset({OrderConfig.MARKET_FOK, OrderConfig.LIMIT_FOK})


class Desk:
    """All orders of the exchange. Requests come in checked; money moves through ledger and futures book."""

    def __init__(
        self,
        config: ExchangeConfig,
        markets: Mapping[str, Market],
        ledger: Ledger,
        futures: FuturesBook,
        fees: Mapping[str, FeeBook],
        ids: Ids,
        initial_rate: Callable[[str, str, bool], Decimal],
    ) -> None:
        self._config, self._markets, self._ledger, self._futures = config, markets, ledger, futures
        self._fees, self._ids, self._initial_rate = fees, ids, initial_rate
        self.now_ns = config.start_ns
        self.events: list[ExchangeEvent] = []
        self.orders: dict[str, ExchangeOrder] = {}
        self.fills: dict[str, list[ExchangeFill]] = {account_id: [] for account_id in fees}
        self.live: dict[str, dict[str, ExchangeOrder]] = {account_id: {} for account_id in fees}
        self._by_client_id: dict[tuple[str, str], ExchangeOrder] = {}
        self._seq = self._fill_count = 0
        self._unseen: deque[int] = deque()  # prices printed that the stops have not been held against

    # ── in ──────────────────────────────────────────────────────────────────────────────────────
    def find(self, account_id: str, client_order_id: str) -> ExchangeOrder | None:
        """Return the account's order with that client order id, or None."""
        return self._by_client_id.get((account_id, client_order_id))

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
            size=self._base_size(request, product),
            limit_price=request.limit_price,
            hold_currency=product.quote_currency if is_buy_on_spot or not is_spot else product.base_currency,
            maker_rate=tier.maker_rate if is_spot else rate,
            taker_rate=tier.taker_rate if is_spot else rate,
            contract_size=product.contract_size,
            trigger_status=(
                TriggerStatus.STOP_PENDING
                if request.config.is_stop or request.config.is_bracket
                else TriggerStatus.INVALID_ORDER_TYPE
            ),
        )

    def walk(self, order: ExchangeOrder) -> Walk:
        """Return what the order would take now."""
        request, market = order.request, self._markets[order.request.product_id]
        limit = None if order.limit_price is None else self._ticks(market, order.limit_price)
        if request.config.is_market and request.quote_size is not None:
            value = request.quote_size
            if request.side is Side.BUY:
                value = value / (1 + order.taker_rate)  # the quote size includes the fee
            unit = market.product.price_increment * market.product.base_increment
            return market.walk(request.side, order.account_id, limit, units=int(value / unit))
        lots = self._lots(market, order.size - order.filled_size)
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

    def place(self, order: ExchangeOrder) -> ExchangeOrder:
        """Accept a drafted order: match what it takes now, let the rest stand, wait or end."""
        request, market = order.request, self._markets[order.request.product_id]
        order.order_id = self._ids.next("order")
        order.status = WireStatus.OPEN
        self.orders[order.order_id] = order
        self._by_client_id[(order.account_id, request.client_order_id)] = order
        self.live[order.account_id][order.order_id] = order
        if not request.config.is_market:
            self._ledger.set_hold(order, self.required_hold(order))
        self._tell(order)
        if not request.config.is_stop:
            self._execute(order)
        if order.trigger_status is TriggerStatus.STOP_PENDING and order.status.is_live:
            self._add_stop(order)
        self._run_stops(market)
        return order

    # ── out ─────────────────────────────────────────────────────────────────────────────────────
    def end(self, order: ExchangeOrder, status: WireStatus, message: str = "") -> None:
        """Take the order off the book, release what it holds, and tell."""
        self._markets[order.request.product_id].queues.remove(order.order_id)
        self._ledger.set_hold(order, ZERO)
        order.status, order.cancel_message, order.updated_ns = status, message, self.now_ns
        self._tell(order)

    def replace(self, order: ExchangeOrder, price: Decimal, size: Decimal) -> None:
        """Give an open order a new limit price and total size; only a smaller size keeps its place."""
        market = self._markets[order.request.product_id]
        resting = market.queues.find(order.order_id)
        keeps_place = resting is not None and price == order.limit_price and size <= order.size
        order.limit_price, order.size, order.updated_ns = price, size, self.now_ns
        self._ledger.set_hold(order, self.required_hold(order))
        if keeps_place and resting is not None:
            resting.lots = self._lots(market, size - order.filled_size)
            self._tell(order)
        elif resting is not None:
            market.queues.remove(order.order_id)
            self._tell(order)
            self._execute(order)
            self._run_stops(market)
        else:
            self._tell(order)

    def step(self, market: Market, update: int) -> None:
        """Let the market move to an update in which something of interest happens."""
        fills, prints = market.step(update)
        for part in fills:
            self._fill_maker(market, part)
        self._publish(market, prints)
        self._run_stops(market)

    # ── matching ────────────────────────────────────────────────────────────────────────────────
    def _execute(self, order: ExchangeOrder) -> None:
        walk = self.walk(order)
        if order.request.config in ALL_OR_NOTHING and not self._fills_whole(order, walk):
            self.end(order, WireStatus.CANCELLED, "the order could not be filled as a whole")
            return
        market = self._markets[order.request.product_id]
        prints = market.take(walk)
        for part in walk.slices:
            self._fill(order, market, part, Liquidity.TAKER)
            self._fill_maker(market, part)
        self._publish(market, prints)
        if not order.status.is_live:
            return
        if walk.meets_own:
            self.end(order, WireStatus.CANCELLED, "self-trade prevention: the order met one of its own account")
        elif order.request.config in IMMEDIATE:
            done = order.request.quote_size is not None and order.request.config.is_market and walk.lots > 0
            message = "" if done else "the rest found no liquidity at the limit"
            self.end(order, WireStatus.FILLED if done else WireStatus.CANCELLED, message)
        else:
            self._rest(order)

    def _fills_whole(self, order: ExchangeOrder, walk: Walk) -> bool:
        market = self._markets[order.request.product_id]
        return walk.lots == self._lots(market, order.size - order.filled_size)

    def _fill_maker(self, market: Market, part: Slice) -> None:
        if part.maker is not None:
            self._fill(self.orders[part.maker.order_id], market, part, Liquidity.MAKER)

    def _fill(self, order: ExchangeOrder, market: Market, part: Slice, liquidity: Liquidity) -> None:
        product, request = market.product, order.request
        price, size = part.ticks * product.price_increment, part.lots * product.base_increment
        value = product.notional(size, price)
        fee = value * (order.maker_rate if liquidity is Liquidity.MAKER else order.taker_rate)
        order.filled_size += size
        order.filled_value += value
        order.number_of_fills += 1
        order.total_fees += fee
        order.last_fill_ns = order.updated_ns = self.now_ns
        if request.base_size is None and request.config.is_market:
            order.size = order.filled_size
        elif order.filled_size == order.size:
            order.status = WireStatus.FILLED
        self._settle(order, product, size, price, value, fee)
        self._fees[order.account_id].add(self.now_ns, value, fee)
        fill = ExchangeFill(
            entry_id=self._ids.next("entry"),
            trade_id=self._ids.next("trade"),
            order_id=order.order_id,
            client_order_id=request.client_order_id,
            account_id=order.account_id,
            product_id=request.product_id,
            side=request.side,
            price=price,
            size=size,
            commission=fee,
            liquidity=liquidity,
            ts_ns=self.now_ns,
            sequence=self._fill_count,
        )
        self._fill_count += 1
        self.fills[order.account_id].append(fill)
        self.events.append(FillMade(ts_ns=self.now_ns, account_id=order.account_id, fill=fill))
        self._tell(order)
        if order.status is WireStatus.FILLED:
            market.queues.remove(order.order_id)

    def _settle(
        self, order: ExchangeOrder, product: Product, size: Decimal, price: Decimal, value: Decimal, fee: Decimal
    ) -> None:
        account_id, side = order.account_id, order.request.side
        if product.product_type is ProductType.SPOT:
            if order.hold:
                self._ledger.set_hold(order, self.required_hold(order))
            self._ledger.pay(account_id, product.quote_currency, -value * side.sign)
            self._ledger.pay(account_id, product.base_currency, size * side.sign)
        else:
            self._futures.fill(account_id, product.product_id, size * side.sign, price, self.now_ns)
            if order.hold:
                self._ledger.set_hold(order, min(order.hold, self.required_hold(order)))
        self._ledger.charge(account_id, product.quote_currency, fee)

    # ── resting and waiting ─────────────────────────────────────────────────────────────────────
    def _rest(self, order: ExchangeOrder) -> None:
        market = self._markets[order.request.product_id]
        self._seq += 1
        assert order.limit_price is not None
        market.join(
            Resting(
                order_id=order.order_id,
                account_id=order.account_id,
                side=order.request.side,
                ticks=self._ticks(market, order.limit_price),
                lots=self._lots(market, order.size - order.filled_size),
                ahead=0,
                seq=self._seq,
            )
        )

    def _add_stop(self, order: ExchangeOrder) -> None:
        market = self._markets[order.request.product_id]
        assert order.request.stop_price is not None
        ticks = self._ticks(market, order.request.stop_price)
        market.queues.add_stop(Stop(order.order_id, stop_direction(order.request), ticks))

    def _run_stops(self, market: Market) -> None:
        """Trigger the stops that prints have reached; what they take may trigger more."""
        while self._unseen:
            for order_id in market.queues.triggered(self._unseen.popleft()):
                order = self.orders[order_id]
                if order.trigger_status is not TriggerStatus.STOP_PENDING or not order.status.is_live:
                    continue  # an earlier one of the same print ended it
                market.queues.remove(order_id)
                order.trigger_status, order.updated_ns = TriggerStatus.STOP_TRIGGERED, self.now_ns
                if order.request.config.is_bracket:
                    order.limit_price = self._worst_price(order)
                self._tell(order)
                self._execute(order)

    # ── parts ───────────────────────────────────────────────────────────────────────────────────
    def _worst_price(self, order: ExchangeOrder) -> Decimal:
        """Return the worst price at which the order may fill: a bracket's is beyond its stop."""
        request, product = order.request, self._markets[order.request.product_id].product
        if request.config.is_bracket and request.stop_price is not None:
            through = request.stop_price * (1 + BRACKET_THROUGH * request.side.sign)
            return product.round_price(through, request.side)
        return ZERO if order.limit_price is None else order.limit_price

    def _publish(self, market: Market, prints: list[Print]) -> None:
        self._unseen.extend(row.ticks for row in prints)
        trades: list[TradePrinted] = [trade_of(market, row) for row in prints]
        self.events.extend(trades)

    def _tell(self, order: ExchangeOrder) -> None:
        if not order.status.is_live:
            self.live[order.account_id].pop(order.order_id, None)
        self.events.append(OrderChanged(ts_ns=self.now_ns, account_id=order.account_id, order=copy(order)))

    @staticmethod
    def _base_size(request: NewOrder, product: Product) -> Decimal:
        if request.base_size is not None:
            return request.base_size
        if request.quote_size is not None and request.limit_price:
            return floor_to(request.quote_size / (request.limit_price * product.contract_size), product.base_increment)
        return ZERO

    @staticmethod
    def _ticks(market: Market, price: Decimal) -> int:
        return int(price / market.product.price_increment)

    @staticmethod
    def _lots(market: Market, size: Decimal) -> int:
        return int(size / market.product.base_increment)
