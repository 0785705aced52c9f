"""What the exchange does by itself as time passes: funding, sessions, slices, ends, cancels and liquidations."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import partial

from trading_core.clock import NS
from trading_core.local_exchange.catalogue import Listing
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.desk import Desk
from trading_core.local_exchange.faults import FaultPlan
from trading_core.local_exchange.fees import HOUR_NS
from trading_core.local_exchange.futures import FuturesBook
from trading_core.local_exchange.intake import Intake
from trading_core.local_exchange.live_members import funding_rate
from trading_core.local_exchange.model import (
    ExchangeOrder,
    FundingPaid,
    MarginLevel,
    NewOrder,
    OrderConfig,
    WireStatus,
)
from trading_core.local_exchange.sessions import Sessions, SessionState
from trading_core.local_exchange.timeline import Timeline
from trading_core.orders import Side

MARGIN_CHECK_NS = 60 * NS
FAIL_AFTER_NS = NS // 20  # how long after its acceptance an order fails
DAY_HOURS = 24


class Housekeeping:
    """Sets the timers of one exchange and acts on them."""

    def __init__(
        self,
        config: ExchangeConfig,
        listings: Mapping[str, Listing],
        desk: Desk,
        timeline: Timeline,
        futures: FuturesBook,
        intake: Intake,
        sessions: Sessions,
    ) -> None:
        self._config, self._listings, self._desk, self._timeline = config, listings, desk, timeline
        self._futures, self._intake, self._sessions = futures, intake, sessions
        self._accounts = tuple(account.account_id for account in config.accounts)
        self._is_watching_margin = False
        self._liquidations = self._session_round = 0
        desk.on_future_fill = self._watch_margin
        first_hour = config.start_ns // HOUR_NS * HOUR_NS + HOUR_NS
        timeline.at(first_hour, partial(self._fund, first_hour))
        self._follow_sessions()

    # ── orders ──────────────────────────────────────────────────────────────────────────────────
    def accompany(self, order: ExchangeOrder) -> None:
        """Set the timers of an order that was placed: its slices and its end."""
        request = order.request
        if request.config is OrderConfig.TWAP and request.start_ns is not None:
            for number in range(request.buckets):
                due_ns = max(self._desk.now_ns, request.start_ns + number * request.bucket_ns)
                self._timeline.at(due_ns, partial(self._slice, order, number + 1))
        if request.end_ns is not None and request.config.has_end_time and order.status.is_live:
            self._timeline.at(request.end_ns, partial(self._expire, order))

    def fail_soon(self, order: ExchangeOrder, reason: str) -> None:
        """Let an accepted order fail a moment later: a fault."""
        message = "injected by the fault plan"
        self._timeline.at(self._desk.now_ns + FAIL_AFTER_NS, partial(self._fail, order, reason, message))

    def cancel_later(self, order: ExchangeOrder, delay_ns: int) -> None:
        """Cancel the order after a while; until then it may fill."""
        self._desk.queue_cancel(order)
        self._timeline.at(self._desk.now_ns + delay_ns, partial(self._cancel, order))

    def set_faults(self, faults: FaultPlan, from_ns: int) -> None:
        """Set the timers of a fault plan whose seconds count from a moment."""
        if faults.margin_call_at_s is not None:
            self._timeline.at(from_ns + int(faults.margin_call_at_s * NS), self._futures.call_margin)
        if faults.liquidation_at_s is not None:
            self._timeline.at(from_ns + int(faults.liquidation_at_s * NS), self._begin_liquidation)
        if faults.crossed_from_s is not None:
            since_ns = from_ns + int(faults.crossed_from_s * NS)
            self._timeline.at(since_ns, partial(self._timeline.cross, faults.crossed_ticks))
            if faults.crossed_for_s is not None:
                self._timeline.at(since_ns + int(faults.crossed_for_s * NS), partial(self._timeline.cross, 0))
        else:
            self._timeline.cross(0)
        self._timeline.lose_books(False)
        if faults.book_lost_from_s is not None:
            since_ns = from_ns + int(faults.book_lost_from_s * NS)
            self._timeline.at(since_ns, partial(self._timeline.lose_books, True))
            if faults.book_lost_for_s is not None:
                until_ns = since_ns + int(faults.book_lost_for_s * NS)
                self._timeline.at(until_ns, partial(self._timeline.lose_books, False))
        self._intake.offline = frozenset()
        if faults.offline_products:
            self._timeline.at(from_ns + int(faults.offline_from_s * NS), partial(self._go_offline, faults))
        if faults.maintenance_from_s is not None:
            since_ns = from_ns + int(faults.maintenance_from_s * NS)
            self._sessions.halt_all(since_ns, since_ns + int(faults.maintenance_for_s * NS))
            self._follow_sessions()

    def _go_offline(self, faults: FaultPlan) -> None:
        if faults is self._intake.config.faults:  # another plan may be in force by now
            self._intake.offline = frozenset(faults.offline_products)

    # ── timers ──────────────────────────────────────────────────────────────────────────────────
    def _slice(self, order: ExchangeOrder, number: int) -> None:
        product = self._listings[order.request.product_id].product
        whole = int(order.size / product.base_increment)
        self._desk.slice(order, whole * number // order.request.buckets)

    def _expire(self, order: ExchangeOrder) -> None:
        if order.status.is_live:
            is_cancelled = self._config.compat.gtd_ends_as_cancelled
            status = WireStatus.CANCELLED if is_cancelled else WireStatus.EXPIRED
            self._desk.end(order, status, "the order reached its end time")

    def _fail(self, order: ExchangeOrder, reason: str, message: str) -> None:
        if order.status.is_live:
            self._desk.fail(order, reason, message)

    def _cancel(self, order: ExchangeOrder) -> None:
        if order.status is WireStatus.CANCEL_QUEUED:
            self._desk.end(order, WireStatus.CANCELLED, "User requested cancel")

    def _fund(self, hour_ns: int) -> None:
        for product_id, mark in self._intake.marks().items():
            rate = funding_rate(self._listings[product_id], hour_ns)
            for account_id in self._accounts:
                amount = self._futures.fund(account_id, product_id, hour_ns, mark, rate)
                if amount is not None:
                    paid = FundingPaid(
                        ts_ns=self._desk.now_ns, account_id=account_id, product_id=product_id,
                        funding_ns=hour_ns, rate=rate, amount=amount,
                    )
                    self._desk.events.append(paid)
        if hour_ns // HOUR_NS % DAY_HOURS in self._config.funding_cash_hours_utc:
            self._futures.pay_funding()
        self._timeline.at(hour_ns + HOUR_NS, partial(self._fund, hour_ns + HOUR_NS))

    # ── sessions ────────────────────────────────────────────────────────────────────────────────
    def _follow_sessions(self) -> None:
        """Follow every product's session from now on; timers of an earlier round lapse."""
        self._session_round += 1
        for product_id in self._listings:
            self._follow(product_id, self._session_round)

    def _follow(self, product_id: str, session_round: int) -> None:
        if session_round != self._session_round:
            return
        now_ns = self._desk.now_ns
        state = self._sessions.at(product_id, now_ns).state
        if state.is_open:
            self._timeline.reopen(product_id)
        else:
            self._timeline.close(product_id)
        for order in self._live_orders(product_id):
            if state is SessionState.PRE_OPEN and order.status is WireStatus.CANCEL_QUEUED:
                self._cancel(order)
            elif state.is_open and order.status is WireStatus.QUEUED:
                self._desk.open(order)
        change_ns = self._sessions.next_change_ns(product_id, now_ns)
        if change_ns is not None:
            self._timeline.at(change_ns, partial(self._follow, product_id, session_round))

    def _live_orders(self, product_id: str) -> list[ExchangeOrder]:
        return [
            order for orders in self._desk.live.values() for order in orders.values()
            if order.request.product_id == product_id
        ]

    # ── margin ──────────────────────────────────────────────────────────────────────────────────
    def _watch_margin(self) -> None:
        if not self._is_watching_margin:
            self._is_watching_margin = True
            self._timeline.at(self._desk.now_ns + MARGIN_CHECK_NS, self._check_margin)

    def _begin_liquidation(self) -> None:
        self._futures.call_liquidation()
        self._liquidate_all()

    def _check_margin(self) -> None:
        self._is_watching_margin = False
        self._liquidate_all()
        if self._futures.has_positions():
            self._watch_margin()

    def _liquidate_all(self) -> None:
        for account_id in self._accounts:
            positions = self._futures.positions(account_id, self._intake.marks(), self._desk.now_ns)
            if positions and self._intake.margin_level(account_id) is MarginLevel.LIQUIDATION:
                for position in positions:
                    self._liquidate(account_id, position.product_id, position.contracts)

    def _liquidate(self, account_id: str, product_id: str, contracts: Decimal) -> None:
        """Cancel the account's orders of the product and close the position by a market order of the venue's own."""
        if not self._sessions.at(product_id, self._desk.now_ns).state.is_open:
            return
        for order in self._live_orders(product_id):
            if order.account_id == account_id:
                self._desk.end(order, WireStatus.CANCELLED, "the account is in liquidation")
        self._liquidations += 1
        request = NewOrder(
            client_order_id=f"liquidation-{self._liquidations}",
            product_id=product_id,
            side=Side.SELL if contracts > 0 else Side.BUY,
            config=OrderConfig.MARKET_IOC,
            base_size=abs(contracts),
            reduce_only=True,
        )
        order = self._desk.draft(account_id, request)
        order.is_liquidation = True
        self._desk.place(order)
