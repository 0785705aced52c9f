"""The local exchange: one deterministic matching engine with no I/O and no clock of its own."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from decimal import Decimal

from trading_core.clock import NS
from trading_core.errors import ConfigurationError
from trading_core.events import BookChanged
from trading_core.local_exchange import checks, setup
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.desk import Desk
from trading_core.local_exchange.editing import EditRequest
from trading_core.local_exchange.editor import Editor
from trading_core.local_exchange.faults import FaultPlan
from trading_core.local_exchange.fees import FeeBook
from trading_core.local_exchange.futures import FuturesBook
from trading_core.local_exchange.history import History
from trading_core.local_exchange.housekeeping import Housekeeping
from trading_core.local_exchange.ids import Ids
from trading_core.local_exchange.intake import Intake
from trading_core.local_exchange.ledger import Ledger
from trading_core.local_exchange.live_members import live_members
from trading_core.local_exchange.model import (
    Balance,
    BookView,
    CancelResult,
    DayStats,
    EditResult,
    ExchangeCandle,
    ExchangeEvent,
    ExchangeFill,
    ExchangeOrder,
    FeeSummary,
    FuturesPosition,
    FuturesSummary,
    MarginWindow,
    MarketTrade,
    NewOrder,
    OrderConfig,
    PreviewResult,
    Refusal,
    WireStatus,
)
from trading_core.local_exchange.preview import preview_of
from trading_core.local_exchange.sessions import Sessions, SessionState
from trading_core.local_exchange.timeline import Timeline
from trading_core.money import ZERO, Price, Size
from trading_core.orders import Side
from trading_core.products import Product, ProductType
from trading_core.us_calendar import margin_window

ONLINE, OFFLINE = "online", "offline"  # a product's status


class LocalExchange:
    """A venue with accounts, orders and a replayed market. Single-threaded: the caller serialises calls.

    Time moves only by `advance`. Every other method acts at `now_ns`. What create, edit and cancel change is
    told by the events of the next `advance` (which may advance to the same moment).
    Unknown accounts, products and orders raise KeyError; refusals of the business kind are values.
    """

    def __init__(self, config: ExchangeConfig) -> None:
        if len({account.account_id for account in config.accounts}) != len(config.accounts):
            raise ConfigurationError("two accounts of the exchange have the same id: rename one")
        self.config = config
        self._listings = setup.listings_of(config)
        self._markets = {name: setup.market_of(config, row) for name, row in self._listings.items()}
        self._history = {name: History(market) for name, market in self._markets.items()}
        products = [row.product for row in self._listings.values()]
        currencies = {p.quote_currency for p in products} | {
            p.base_currency for p in products if p.product_type is ProductType.SPOT
        }
        self._ledger = Ledger(config.accounts, currencies)
        self._futures = FuturesBook(self._ledger, self._listings)
        self._fees = {a.account_id: FeeBook(a, config.fee_tiers) for a in config.accounts}
        self._ids = Ids(config.seed)
        self._desk = Desk(
            config, self._markets, self._ledger, self._futures, self._fees, self._ids, self._initial_rate
        )
        self._sessions = Sessions(config, self._listings)
        self._intake = Intake(
            config, self._listings, self._markets, self._ledger, self._futures, self._desk, self._sessions
        )
        self._timeline = Timeline(config.start_ns, self._markets, self._desk, config.faults)
        self._housekeeping = Housekeeping(
            config, self._listings, self._desk, self._timeline, self._futures, self._intake, self._sessions
        )
        self._housekeeping.set_faults(config.faults, config.start_ns)
        self._editor = Editor(self._listings, self._desk, self._intake, self._timeline, self.last_price)
        self._requests = self._cancels = 0

    # ── time ────────────────────────────────────────────────────────────────────────────────────
    @property
    def now_ns(self) -> int:
        """Return the exchange's time; without any clock offset fault."""
        return self._timeline.now_ns

    def advance(
        self, to_ns: int, wanted_products: Sequence[str] = (), book_every_ns: int | None = None, *,
        shows_books: bool = True,
    ) -> list[ExchangeEvent]:
        """Move to the moment and return what happened, in order of time.

        Orders of accounts are always processed. Public trades and book changes are returned for
        `wanted_products` only. A book change holds the absolute sizes of the levels that differ from what was
        last returned for the product; the first one is a snapshot. They come every `book_every_ns` (None: only
        once, at `to_ns`) and, if the book differs, at `to_ns`; without `shows_books` they wait for a later advance.
        A moment in the past returns what is pending.
        """
        return self._timeline.advance(
            to_ns, frozenset(wanted_products), book_every_ns, shows_books=shows_books
        )

    def set_faults(self, faults: FaultPlan) -> None:
        """Put another fault plan in force, its seconds counted from now.

        Raises ConfigurationError for a thin book or a price gap: those are built into the market at the start.
        """
        old = self.config.faults
        if (faults.depth_share, faults.gap_at_s) != (old.depth_share, old.gap_at_s):
            raise ConfigurationError("depth_share and gap_at_s cannot change while the exchange runs: start a new one")
        self.config = self._intake.config = self.config.model_copy(update={"faults": faults})
        self._timeline.switch_stale(faults)
        self._housekeeping.set_faults(faults, self.now_ns)

    def show_levels(self, count: int) -> None:
        """Let book changes and snapshots hold that many levels of each side from now on."""
        self._timeline.shown_levels = count

    def next_event_ns(self, limit_ns: int) -> int:
        """Return when an account's order, stop, end time or funding next acts, at most the limit."""
        return self._timeline.next_event_ns(limit_ns)

    # ── orders ──────────────────────────────────────────────────────────────────────────────────
    def create_order(self, account_id: str, request: NewOrder) -> ExchangeOrder | Refusal:
        """Place an order now. A client order id that the account used before returns that order, unchanged."""
        known = self._desk.find(account_id, request.client_order_id)
        if known is not None:
            is_refused = self.config.compat.duplicate_client_order_id_is_rejected
            return checks.refuse("DUPLICATE_CLIENT_ORDER_ID") if is_refused else copy(known)
        self._requests += 1
        injected = checks.injected(self.config.faults, request.product_id, self._requests - 1)
        if injected is not None:
            return injected
        drafted = self._intake.draft(account_id, request)
        if isinstance(drafted, Refusal):
            return drafted
        faults = self.config.faults
        is_open = self._sessions.at(request.product_id, self.now_ns).state.is_open
        if faults.hits("fail_after_accept", self._requests, faults.fail_after_accept_share):
            order = self._desk.place(drafted[0], WireStatus.PENDING)
            self._housekeeping.fail_soon(order, faults.fail_reason)
        else:
            order = self._desk.place(drafted[0], WireStatus.OPEN if is_open else WireStatus.QUEUED)
        self._housekeeping.accompany(order)
        return copy(order)

    def preview(self, account_id: str, request: NewOrder) -> PreviewResult:
        """Tell what would happen to the order, changing nothing; the client order id is ignored."""
        listing = self._listings.get(request.product_id)
        is_future = listing is not None and listing.product.product_type is ProductType.FUTURE
        rate = self._initial_rate(account_id, request.product_id, request.side is Side.BUY) if is_future else ZERO
        market = self._markets.get(request.product_id)
        return preview_of(self._intake.draft(account_id, request), request, market, rate)

    def cancel(self, account_id: str, order_ids: Sequence[str]) -> list[CancelResult]:
        """Ask to cancel each order; one result per id, in the order given. A late one shows `pending_cancel`."""
        return [self._cancel(account_id, order_id) for order_id in order_ids]

    def edit(self, account_id: str, order_id: str, change: EditRequest) -> EditResult:
        """Replace prices and total size of an open order; only a smaller size keeps its place in the queue.

        A late one shows `EDIT_QUEUED` until it is applied.
        """
        return self._editor.edit(account_id, order_id, change)

    def edit_preview(self, account_id: str, order_id: str, change: EditRequest) -> EditResult:
        """Tell what `edit` would answer, changing nothing."""
        return self._editor.preview(account_id, order_id, change)

    def close_position(
        self, account_id: str, client_order_id: str, product_id: str, size: Size | None = None
    ) -> ExchangeOrder | Refusal:
        """Close a futures position (or `size` contracts of it) by a market order."""
        held = self._futures.contracts(account_id, product_id)
        if held == 0 or (size is not None and size > abs(held)):
            return checks.NOT_CLOSABLE
        request = NewOrder(
            client_order_id=client_order_id,
            product_id=product_id,
            side=Side.SELL if held > 0 else Side.BUY,
            config=OrderConfig.MARKET_IOC,
            base_size=abs(held) if size is None else size,
            reduce_only=True,
        )
        return self.create_order(account_id, request)

    def order(self, account_id: str, order_id: str) -> ExchangeOrder:
        """Return one order of the account; KeyError if there is none."""
        order = self._desk.orders[order_id]
        if order.account_id != account_id:
            raise KeyError(order_id)
        return copy(order)

    def orders(self, account_id: str) -> list[ExchangeOrder]:
        """Return all orders of the account, newest first."""
        return [copy(o) for o in reversed(self._desk.orders.values()) if o.account_id == account_id]

    def open_orders(self, account_id: str) -> list[ExchangeOrder]:
        """Return the orders that may still trade, newest first."""
        return [copy(order) for order in reversed(self._desk.live[account_id].values())]

    def fills(self, account_id: str) -> list[ExchangeFill]:
        """Return all fills of the account, newest first."""
        return self._desk.fills[account_id][::-1]

    # ── accounts ────────────────────────────────────────────────────────────────────────────────
    def account_ids(self) -> tuple[str, ...]:
        """Return the accounts of the configuration."""
        return tuple(account.account_id for account in self.config.accounts)

    def portfolio_id(self, account_id: str) -> str:
        """Return the uuid of the account's one portfolio."""
        return self._ids.of("portfolio", account_id)

    def user_id(self, account_id: str) -> str:
        """Return the uuid of the account's user."""
        return self._ids.of("user", account_id)

    def balances(self, account_id: str) -> list[Balance]:
        """Return every currency that the account has or the products use, by name."""
        return [
            Balance(
                currency,
                self._ledger.available(account_id, currency),
                self._ledger.hold(account_id, currency),
                self._ids.of("wallet", account_id, currency),
            )
            for currency in self._ledger.currencies(account_id)
        ]

    def fee_summary(self, account_id: str) -> FeeSummary:
        """Return the fee tier now and the trailing 30-day volume and fees."""
        return self._fees[account_id].summary(self.now_ns)

    def positions(self, account_id: str) -> list[FuturesPosition]:
        """Return the futures positions that are not flat, by product."""
        return self._futures.positions(account_id, self._intake.marks(), self.now_ns)

    def futures_summary(self, account_id: str) -> FuturesSummary:
        """Return balances and margin of the futures account, under both windows' rates."""
        window = margin_window(self.now_ns).window
        return self._futures.summary(account_id, self._intake.marks(), window, self.now_ns)

    def margin_window(self) -> MarginWindow:
        """Return the margin window now: a fact of the New York clock, the same for every account."""
        return margin_window(self.now_ns)

    def accrued_funding(self, account_id: str) -> Decimal:
        """Return the funding that has accrued since the last cash adjustment."""
        return self._futures.accrued(account_id)

    def transfer(self, account_id: str, currency: str, amount: Decimal) -> bool:
        """Credit the account against the venue, or debit it; False if it has not that much free."""
        return self._ledger.transfer(account_id, currency, amount)

    def set_intraday_margin(self, account_id: str, is_opted_in: bool) -> None:
        """Opt the account in to intraday margin, or out of it."""
        self._futures.set_intraday(account_id, is_opted_in)

    def intraday_margin(self, account_id: str) -> bool:
        """Tell whether the account opted in to intraday margin."""
        return self._futures.is_intraday(account_id)

    # ── market ──────────────────────────────────────────────────────────────────────────────────
    def products(self) -> list[Product]:
        """Return the products of the configuration, in its order."""
        return [row.product for row in self._listings.values()]

    def product(self, product_id: str) -> Product:
        """Return one product; KeyError if the exchange does not list it."""
        return self._listings[product_id].product

    def product_extras(self, product_id: str) -> dict[str, object]:
        """Return the raw wire members of the product, with live prices, day statistics and funding in place."""
        stats = self.day_stats(product_id)
        session = self._sessions.at(product_id, self.now_ns)
        members = live_members(self._listings[product_id], self._markets[product_id], stats, session, self.now_ns)
        is_disabled = not session.state.is_open and self.product(product_id).product_type is ProductType.SPOT
        if product_id in self._intake.offline:
            return members | {"trading_disabled": True, "status": OFFLINE}
        return members | {"trading_disabled": True} if is_disabled else members

    def status(self, product_id: str) -> str:
        """Return the product's status, as its raw wire members have it; one without any is online."""
        own = str(self._listings[product_id].raw.get("status") or ONLINE)
        return OFFLINE if product_id in self._intake.offline else own

    def book(self, product_id: str, levels: int = 50) -> BookView:
        """Return the best levels of the book now."""
        market = self._markets[product_id]
        bids, asks = self._timeline.ladders(market, levels)
        return BookView(
            product_id,
            setup.levels_of(market.product, bids),
            setup.levels_of(market.product, asks),
            self.last_price(product_id),
            self.now_ns,
        )

    def book_snapshot(self, product_id: str) -> BookChanged:
        """Return a snapshot that agrees with the last book change that `advance` returned for the product.

        A stream that sends this and then applies every later change has the exchange's book.
        """
        return self._timeline.snapshot(product_id)

    def trades(self, product_id: str, limit: int = 100) -> list[MarketTrade]:
        """Return the last public trades, newest first; `maker_side` is the wire's `side`."""
        return self._history[product_id].trades(limit)

    def candles(self, product_id: str, start_s: int, end_s: int, granularity_s: int) -> list[ExchangeCandle]:
        """Return the bars that start in [start_s, end_s], oldest first, up to the open one."""
        return self._history[product_id].candles(start_s, end_s, granularity_s)

    def day_stats(self, product_id: str) -> DayStats:
        """Return the trailing 24 hours."""
        return self._history[product_id].day_stats()

    def last_price(self, product_id: str) -> Price:
        """Return the price of the last public trade."""
        market = self._markets[product_id]
        return market.last_ticks() * market.product.price_increment

    def value_totals(self) -> dict[str, Decimal]:
        """Return each currency's sum over accounts, venue and fees: what must never change."""
        return self._ledger.totals()

    # ── parts ───────────────────────────────────────────────────────────────────────────────────
    def _cancel(self, account_id: str, order_id: str) -> CancelResult:
        order = self._desk.orders.get(order_id)
        if order is None or order.account_id != account_id:
            return CancelResult(order_id, False, "UNKNOWN_CANCEL_ORDER")
        reason = checks.cancel_refusal(order.status)
        return CancelResult(order_id, False, reason) if reason else self._cancel_live(order)

    def _cancel_live(self, order: ExchangeOrder) -> CancelResult:
        """Cancel at once, or as late as the session or the fault plan wants it."""
        faults, state = self.config.faults, self._sessions.at(order.request.product_id, self.now_ns).state
        is_queued = order.status in (WireStatus.QUEUED, WireStatus.PENDING)
        if state is SessionState.PRE_OPEN_NO_CANCEL and not is_queued and not self._is_spot(order):
            return CancelResult(order.order_id, False, "INVALID_CANCEL_FCM_TRADING_SESSION")
        if state is SessionState.CLOSE and not is_queued and not self._is_spot(order):
            self._desk.queue_cancel(order)
            return CancelResult(order.order_id, True)
        self._cancels += 1
        if faults.hits("cancel_meets_fill", self._cancels, faults.cancel_meets_fill_share):
            self._desk.meet(order)
        if faults.cancel_delay_ms:
            self._housekeeping.cancel_later(order, faults.cancel_delay_ms * NS // 1_000)
        else:
            self._desk.end(order, WireStatus.CANCELLED, "User requested cancel")
        return CancelResult(order.order_id, True)

    def _is_spot(self, order: ExchangeOrder) -> bool:
        return self._listings[order.request.product_id].product.product_type is ProductType.SPOT

    def _initial_rate(self, account_id: str, product_id: str, is_long: bool) -> Decimal:
        window = margin_window(self.now_ns).window
        return self._futures.initial_rate(account_id, product_id, is_long, window)
