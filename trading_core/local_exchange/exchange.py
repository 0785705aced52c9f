"""The local exchange: one deterministic matching engine with no I/O and no clock of its own."""

from __future__ import annotations

from collections.abc import Sequence

from trading_core.events import BookChanged
from trading_core.local_exchange.config import ExchangeConfig
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
    PreviewResult,
    Refusal,
)
from trading_core.money import Price, Size
from trading_core.products import Product


class LocalExchange:
    """A venue with accounts, orders and a replayed market. Single-threaded: the caller serialises calls.

    Time moves only by `advance`. Every other method acts at `now_ns`. What create, edit and cancel change is
    told by the events of the next `advance` (which may advance to the same moment).
    Unknown accounts, products and orders raise KeyError; refusals of the business kind are values.
    """

    def __init__(self, config: ExchangeConfig) -> None:
        self.config = config

    # ── time ────────────────────────────────────────────────────────────────────────────────────
    @property
    def now_ns(self) -> int:
        """Return the exchange's time; without any clock offset fault."""
        raise NotImplementedError

    def advance(
        self, to_ns: int, wanted_products: Sequence[str] = (), book_every_ns: int | None = None
    ) -> list[ExchangeEvent]:
        """Move to the moment and return what happened, in order of time.

        Orders of accounts are always processed. Public trades and book changes are returned for
        `wanted_products` only. A book change holds the absolute sizes of the levels that differ from what was
        last returned for the product; the first one is a snapshot. They come every `book_every_ns` (None: only
        once, at `to_ns`) and, if the book differs, at `to_ns`. A moment in the past returns what is pending.
        """
        raise NotImplementedError

    def next_event_ns(self, limit_ns: int) -> int:
        """Return when an account's order, stop, end time or funding next acts, at most the limit."""
        raise NotImplementedError

    # ── orders ──────────────────────────────────────────────────────────────────────────────────
    def create_order(self, account_id: str, request: NewOrder) -> ExchangeOrder | Refusal:
        """Place an order now. A client order id that the account used before returns that order, unchanged."""
        raise NotImplementedError

    def preview(self, account_id: str, request: NewOrder) -> PreviewResult:
        """Tell what would happen to the order, changing nothing; the client order id is ignored."""
        raise NotImplementedError

    def cancel(self, account_id: str, order_ids: Sequence[str]) -> list[CancelResult]:
        """Cancel each order at once; one result per id, in the order given."""
        raise NotImplementedError

    def edit(self, account_id: str, order_id: str, price: Price, size: Size) -> EditResult:
        """Replace price and total size of an open limit order; a smaller size keeps the place in the queue."""
        raise NotImplementedError

    def edit_preview(self, account_id: str, order_id: str, price: Price, size: Size) -> EditResult:
        """Tell what `edit` would answer, changing nothing."""
        raise NotImplementedError

    def close_position(
        self, account_id: str, client_order_id: str, product_id: str, size: Size | None = None
    ) -> ExchangeOrder | Refusal:
        """Close a futures position (or `size` contracts of it) by a market order."""
        raise NotImplementedError

    def order(self, account_id: str, order_id: str) -> ExchangeOrder:
        """Return one order of the account; KeyError if there is none."""
        raise NotImplementedError

    def orders(self, account_id: str) -> list[ExchangeOrder]:
        """Return all orders of the account, newest first."""
        raise NotImplementedError

    def open_orders(self, account_id: str) -> list[ExchangeOrder]:
        """Return the orders that may still trade, newest first."""
        raise NotImplementedError

    def fills(self, account_id: str) -> list[ExchangeFill]:
        """Return all fills of the account, newest first."""
        raise NotImplementedError

    # ── accounts ────────────────────────────────────────────────────────────────────────────────
    def account_ids(self) -> tuple[str, ...]:
        """Return the accounts of the configuration."""
        raise NotImplementedError

    def portfolio_id(self, account_id: str) -> str:
        """Return the uuid of the account's one portfolio."""
        raise NotImplementedError

    def user_id(self, account_id: str) -> str:
        """Return the uuid of the account's user."""
        raise NotImplementedError

    def balances(self, account_id: str) -> list[Balance]:
        """Return every currency that the account has or the products use, by name."""
        raise NotImplementedError

    def fee_summary(self, account_id: str) -> FeeSummary:
        """Return the fee tier now and the trailing 30-day volume and fees."""
        raise NotImplementedError

    def positions(self, account_id: str) -> list[FuturesPosition]:
        """Return the futures positions that are not flat, by product."""
        raise NotImplementedError

    def futures_summary(self, account_id: str) -> FuturesSummary:
        """Return balances and margin of the futures account, under both windows' rates."""
        raise NotImplementedError

    def margin_window(self, is_opted_in: bool = False) -> MarginWindow:
        """Return the margin window now, for accounts with or without intraday margin."""
        raise NotImplementedError

    def set_intraday_margin(self, account_id: str, is_opted_in: bool) -> None:
        """Opt the account in to intraday margin, or out of it."""
        raise NotImplementedError

    def intraday_margin(self, account_id: str) -> bool:
        """Tell whether the account opted in to intraday margin."""
        raise NotImplementedError

    # ── market ──────────────────────────────────────────────────────────────────────────────────
    def products(self) -> list[Product]:
        """Return the products of the configuration, in its order."""
        raise NotImplementedError

    def product(self, product_id: str) -> Product:
        """Return one product; KeyError if the exchange does not list it."""
        raise NotImplementedError

    def product_extras(self, product_id: str) -> dict[str, object]:
        """Return the raw wire members of the product, with live prices, day statistics and funding in place."""
        raise NotImplementedError

    def book(self, product_id: str, levels: int = 50) -> BookView:
        """Return the best levels of the book now."""
        raise NotImplementedError

    def book_snapshot(self, product_id: str) -> BookChanged:
        """Return a snapshot that agrees with the last book change that `advance` returned for the product.

        A stream that sends this and then applies every later change has the exchange's book.
        """
        raise NotImplementedError

    def trades(self, product_id: str, limit: int = 100) -> list[MarketTrade]:
        """Return the last public trades, newest first; `maker_side` is the wire's `side`."""
        raise NotImplementedError

    def candles(self, product_id: str, start_s: int, end_s: int, granularity_s: int) -> list[ExchangeCandle]:
        """Return the bars that start in [start_s, end_s], oldest first, up to the open one."""
        raise NotImplementedError

    def day_stats(self, product_id: str) -> DayStats:
        """Return the trailing 24 hours."""
        raise NotImplementedError

    def last_price(self, product_id: str) -> Price:
        """Return the price of the last public trade."""
        raise NotImplementedError
