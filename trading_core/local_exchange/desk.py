"""The order desk: takes orders in, matches them, books what fills, and ends them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from copy import copy
from decimal import Decimal

from msgspec import structs

from trading_core.local_exchange.attached import attached_to
from trading_core.local_exchange.checks import stop_direction
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.drafting import Drafts
from trading_core.local_exchange.fees import FeeBook
from trading_core.local_exchange.futures import FuturesBook
from trading_core.local_exchange.history import trade_of
from trading_core.local_exchange.ids import Ids
from trading_core.local_exchange.ledger import Ledger
from trading_core.local_exchange.market import Market, Print, Slice, Walk
from trading_core.local_exchange.model import (
    Attached,
    Edit,
    ExchangeEvent,
    ExchangeFill,
    ExchangeOrder,
    FillMade,
    OrderChanged,
    OrderConfig,
    TriggerStatus,
    WireStatus,
)
from trading_core.local_exchange.queue import Resting, Stop
from trading_core.money import ZERO
from trading_core.orders import Liquidity
from trading_core.products import Product, ProductType

IMMEDIATE = frozenset({OrderConfig.MARKET_IOC, OrderConfig.MARKET_FOK, OrderConfig.LIMIT_IOC, OrderConfig.LIMIT_FOK})
LEG_MARK = "#"  # between an order's id and the number of its leg on the book
ALL_OR_NOTHING = frozenset({OrderConfig.MARKET_FOK, OrderConfig.LIMIT_FOK})


class Desk(Drafts):
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
        super().__init__(config, markets, futures, fees, initial_rate)
        self._ledger, self._ids = ledger, ids
        self.events: list[ExchangeEvent] = []
        self.orders: dict[str, ExchangeOrder] = {}
        self.fills: dict[str, list[ExchangeFill]] = {account_id: [] for account_id in fees}
        self.live: dict[str, dict[str, ExchangeOrder]] = {account_id: {} for account_id in fees}
        self._by_client_id: dict[tuple[str, str], ExchangeOrder] = {}
        self._seq = self._fill_count = 0
        self._unseen: deque[int] = deque()  # prices printed that the stops have not been held against
        self._ended: deque[ExchangeOrder] = deque()  # orders whose attached bracket is to be told
        self.on_future_fill: Callable[[], None] = lambda: None

    # ── in ──────────────────────────────────────────────────────────────────────────────────────
    def find(self, account_id: str, client_order_id: str) -> ExchangeOrder | None:
        """Return the account's order with that client order id, or None."""
        return self._by_client_id.get((account_id, client_order_id))

    def place(self, order: ExchangeOrder, status: WireStatus = WireStatus.OPEN) -> ExchangeOrder:
        """Accept a drafted order: match what it takes now, let the rest stand, wait or end.

        With a status other than OPEN it only waits; `open` lets it trade.
        """
        request = order.request
        order.order_id, order.status = self._ids.next("order"), status
        self.orders[order.order_id] = order
        self._by_client_id[(order.account_id, request.client_order_id)] = order
        self.live[order.account_id][order.order_id] = order
        if not request.config.is_market:
            self._ledger.set_hold(order, self.required_hold(order))
        if request.legs:
            self._legs_left[order.order_id] = [leg.size for leg in request.legs]
        if request.attached is not None:
            self._attach(order, request.attached)
        self._tell(order)
        if status is WireStatus.OPEN:
            self._start(order)
        return order

    def open(self, order: ExchangeOrder) -> None:
        """Let an order that waited trade; one that promised not to take but now would is failed."""
        if order.request.post_only and self.walk(order).slices:
            self.fail(order, "REJECT_REASON_UNSPECIFIED", "post-only order would take at the opening")
            return
        order.status, order.updated_ns = WireStatus.OPEN, self.now_ns
        self._tell(order)
        self._start(order)

    def slice(self, order: ExchangeOrder, lots_due: int) -> None:
        """Let a TWAP order take what it lacks to have filled this many lots, at once or not at all."""
        market = self._markets[order.request.product_id]
        lots = lots_due - self._lots(market, order.filled_size)
        if order.status is WireStatus.OPEN and lots > 0:
            self._match(order, market, self.walk(order, lots))
            self._settle_down(market)

    # ── out ─────────────────────────────────────────────────────────────────────────────────────
    def end(self, order: ExchangeOrder, status: WireStatus, message: str = "") -> None:
        """Take the order off the book, release what it holds, and tell."""
        self._end(order, status, message)
        self._settle_down(self._markets[order.request.product_id])

    def fail(self, order: ExchangeOrder, reason: str, message: str) -> None:
        """End an accepted order as FAILED."""
        order.reject_reason, order.reject_message = reason, message
        self.end(order, WireStatus.FAILED, message)

    def queue_cancel(self, order: ExchangeOrder) -> None:
        """Note that the order is to be cancelled later; until then it may fill."""
        order.status, order.pending_cancel, order.updated_ns = WireStatus.CANCEL_QUEUED, True, self.now_ns
        self._tell(order)

    def queue_edit(self, order: ExchangeOrder, edit: Edit | None) -> None:
        """Note that the order is to be edited later (None: not any more); until then it may fill as it is."""
        order.status = WireStatus.OPEN if edit is None else WireStatus.EDIT_QUEUED
        order.pending_edit, order.updated_ns = edit, self.now_ns
        self._tell(order)

    def meet(self, order: ExchangeOrder) -> None:
        """Let an unknown taker fill half of what rests of the order, at its price: a fault."""
        market = self._markets[order.request.product_id]
        resting = market.queues.find(order.order_id)
        if resting is not None and resting.lots > 1:
            part = Slice(resting.ticks, resting.lots // 2, resting)
            prints = market.take(Walk(resting.side.opposite, (part,), meets_own=False))
            self._fill_maker(market, part)
            self._publish(market, prints)
            self._settle_down(market)

    def _end(self, order: ExchangeOrder, status: WireStatus, message: str = "") -> None:
        self._off_book(order)
        self._ledger.set_hold(order, ZERO)
        order.status, order.cancel_message, order.updated_ns = status, message, self.now_ns
        order.pending_cancel = False
        self._tell(order)

    def replace(self, order: ExchangeOrder, price: Decimal, size: Decimal, stop_price: Decimal | None = None) -> None:
        """Give an open order a new limit price, total size and stop; only a smaller size keeps its place."""
        market = self._markets[order.request.product_id]
        resting = market.queues.find(order.order_id)
        keeps_place = resting is not None and price == order.limit_price and size <= order.size
        order.limit_price, order.size, order.updated_ns = price, size, self.now_ns
        if stop_price is not None:
            order.request = structs.replace(order.request, stop_price=stop_price)
        self._ledger.set_hold(order, self.required_hold(order))
        if keeps_place and resting is not None:
            resting.lots = self._lots(market, size - order.filled_size)
            self._tell(order)
            if order.trigger_status is TriggerStatus.STOP_PENDING:
                self._add_stop(order)
            return
        self._off_book(order)
        self._tell(order)
        if order.status is WireStatus.OPEN:
            self._start(order)

    def step(self, market: Market, update: int) -> None:
        """Let the market move to an update in which something of interest happens."""
        fills, prints = market.step(update)
        for part in fills:
            self._fill_maker(market, part)
        self._publish(market, prints)
        self._settle_down(market)

    # ── matching ────────────────────────────────────────────────────────────────────────────────
    def _start(self, order: ExchangeOrder) -> None:
        """Let an open order do what its kind does first: match, or wait for its stop or its time."""
        is_waiting = order.trigger_status is TriggerStatus.STOP_PENDING
        if order.request.legs:
            self._execute_legs(order)
        elif order.request.config is not OrderConfig.TWAP and not (is_waiting and order.request.config.is_stop):
            self._execute(order)
        if is_waiting and order.status.is_live:
            self._add_stop(order)
        self._settle_down(self._markets[order.request.product_id])

    def _execute(self, order: ExchangeOrder) -> None:
        walk = self.walk(order)
        if order.request.config in ALL_OR_NOTHING and not self._fills_whole(order, walk):
            self._end(order, WireStatus.CANCELLED, "the order could not be filled as a whole")
            return
        market = self._markets[order.request.product_id]
        self._match(order, market, walk)
        if not order.status.is_live:
            return
        if order.request.config in IMMEDIATE:
            done = order.request.quote_size is not None and order.request.config.is_market and walk.lots > 0
            message = "" if done else "the rest found no liquidity at the limit"
            self._end(order, WireStatus.FILLED if done else WireStatus.CANCELLED, message)
        elif order.limit_price is not None:
            self._rest(order, order.order_id, order.limit_price, order.size - order.filled_size)

    def _execute_legs(self, order: ExchangeOrder) -> None:
        market = self._markets[order.request.product_id]
        for number, leg in enumerate(order.request.legs):
            lots, ticks = self._lots(market, leg.size), self._ticks(market, leg.price)
            walk = market.walk(order.request.side, order.account_id, ticks, lots=lots)
            self._match(order, market, walk, number)
            if not order.status.is_live:
                return
            left = self._legs_left[order.order_id][number]
            if left > 0:
                self._rest(order, f"{order.order_id}{LEG_MARK}{number}", leg.price, left)

    def _match(self, order: ExchangeOrder, market: Market, walk: Walk, leg: int | None = None) -> None:
        """Fill the order and its makers as the walk says; an order that meets its own account is ended."""
        prints = market.take(walk)
        for part in walk.slices:
            self._fill(order, market, part, Liquidity.TAKER, leg)
            self._fill_maker(market, part)
        self._publish(market, prints)
        if walk.meets_own and order.status.is_live:
            self._end(order, WireStatus.CANCELLED, "self-trade prevention: the order met one of its own account")

    def _fills_whole(self, order: ExchangeOrder, walk: Walk) -> bool:
        market = self._markets[order.request.product_id]
        return walk.lots == self._lots(market, order.size - order.filled_size)

    def _fill_maker(self, market: Market, part: Slice) -> None:
        if part.maker is not None:
            order_id, _, leg = part.maker.order_id.partition(LEG_MARK)
            self._fill(self.orders[order_id], market, part, Liquidity.MAKER, int(leg) if leg else None)

    def _fill(
        self, order: ExchangeOrder, market: Market, part: Slice, liquidity: Liquidity, leg: int | None = None
    ) -> None:
        product, request = market.product, order.request
        price, size = part.ticks * product.price_increment, part.lots * product.base_increment
        value = product.notional(size, price)
        fee = value * (order.maker_rate if liquidity is Liquidity.MAKER else order.taker_rate)
        if leg is not None:
            self._legs_left[order.order_id][leg] -= size
        order.filled_size += size
        order.filled_value += value
        order.number_of_fills += 1
        order.total_fees += fee
        order.last_fill_ns = order.updated_ns = self.now_ns
        if request.base_size is None and request.config.is_market:
            order.size = order.filled_size
        elif order.filled_size == order.size:
            order.status, order.pending_cancel = WireStatus.FILLED, False
        self._settle(order, product, size, price, value, fee)
        self._fees[order.account_id].add(self.now_ns, value, fee)
        self._book_fill(order, price, size, fee, liquidity)
        self._tell(order)
        if order.status is WireStatus.FILLED:
            self._off_book(order)
        if product.product_type is ProductType.FUTURE:
            self.on_future_fill()

    def _book_fill(
        self, order: ExchangeOrder, price: Decimal, size: Decimal, fee: Decimal, liquidity: Liquidity
    ) -> None:
        fill = ExchangeFill(
            entry_id=self._ids.next("entry"),
            trade_id=self._ids.next("trade"),
            order_id=order.order_id,
            client_order_id=order.request.client_order_id,
            account_id=order.account_id,
            product_id=order.request.product_id,
            side=order.request.side,
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
    def _rest(self, order: ExchangeOrder, name: str, price: Decimal, size: Decimal) -> None:
        market = self._markets[order.request.product_id]
        self._seq += 1
        market.join(
            Resting(
                order_id=name,
                account_id=order.account_id,
                side=order.request.side,
                ticks=self._ticks(market, price),
                lots=self._lots(market, size),
                ahead=0,
                seq=self._seq,
            )
        )

    def _add_stop(self, order: ExchangeOrder) -> None:
        market = self._markets[order.request.product_id]
        assert order.request.stop_price is not None
        ticks = self._ticks(market, order.request.stop_price)
        market.queues.add_stop(Stop(order.order_id, stop_direction(order.request), ticks))

    def _off_book(self, order: ExchangeOrder) -> None:
        queues = self._markets[order.request.product_id].queues
        queues.remove(order.order_id)
        for number in range(len(order.request.legs)):
            queues.remove(f"{order.order_id}{LEG_MARK}{number}")

    def _settle_down(self, market: Market) -> None:
        """Let stops and attached brackets react, until nothing more follows."""
        self._run_stops(market)
        while self._ended:
            self._guard(self._ended.popleft())
            self._run_stops(market)

    def _attach(self, order: ExchangeOrder, attached: Attached) -> None:
        """Create the bracket that will guard the order: it waits without a size."""
        child = attached_to(order, attached, self._ids.next("order"), self.now_ns)
        order.attached_order_id = child.order_id
        self.orders[child.order_id] = self.live[child.account_id][child.order_id] = child
        self._tell(child)

    def guard_differently(self, order: ExchangeOrder, attached: Attached) -> None:
        """Give the bracket that waits for the order other prices."""
        child = self.orders[order.attached_order_id]
        child.request = structs.replace(
            child.request, limit_price=attached.limit_price, stop_price=attached.stop_price
        )
        child.limit_price, child.updated_ns = attached.limit_price, self.now_ns
        self._tell(child)

    def _guard(self, order: ExchangeOrder) -> None:
        """Open the bracket of an order that ended, for what was filled; or end it if nothing was."""
        child = self.orders[order.attached_order_id]
        if child.status is not WireStatus.PENDING:
            return
        if order.filled_size == 0:
            self._end(child, WireStatus.CANCELLED, "the originating order ended without a fill")
            return
        child.size = order.filled_size
        child.request = structs.replace(child.request, base_size=order.filled_size)
        needed = self.required_hold(child)
        if needed > self._ledger.available(child.account_id, child.hold_currency):
            child.reject_reason, child.reject_message = "HOLD_FAILURE", "nothing is left to hold for the bracket"
            self._end(child, WireStatus.FAILED, child.reject_message)
            return
        self._ledger.set_hold(child, needed)
        child.status, child.updated_ns = WireStatus.OPEN, self.now_ns
        self._tell(child)
        self._execute(child)
        if child.status.is_live:
            self._add_stop(child)

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
    def _publish(self, market: Market, prints: list[Print]) -> None:
        self._unseen.extend(row.ticks for row in prints)
        self.events.extend(trade_of(market, row) for row in prints)

    def _tell(self, order: ExchangeOrder) -> None:
        if not order.status.is_live:
            self.live[order.account_id].pop(order.order_id, None)
            if order.attached_order_id:
                self._ended.append(order)
        self.events.append(OrderChanged(ts_ns=self.now_ns, account_id=order.account_id, order=copy(order)))
