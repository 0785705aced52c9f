"""Asks Coinbase and changes nothing: ports.Venue over one transport. It has no way to place an order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from trading_core.advanced_trade import wire_account, wire_market, wire_orders, wire_products
from trading_core.advanced_trade.broker_transport import API, Body, Query, RestTransport, Urgency
from trading_core.advanced_trade.wire import money, number, number_or_none, number_or_zero, parse
from trading_core.advanced_trade.wire_drift import DriftLog
from trading_core.clock import NS, Clock, iso
from trading_core.errors import SchemaDrift, VenueUnavailable
from trading_core.events import AccountRead, FeeTierRead
from trading_core.money import ZERO
from trading_core.orders import Fill, OrderIntent, VenueOrder
from trading_core.ports import BookSnapshot, Candle, KeyPermissions, Preview
from trading_core.products import Product

T = TypeVar("T")
PAGE_ROWS = 250
PAGES_MAX = 400  # 100 000 rows: more than 24 h of orders; a cursor that never ends must not hang the session
FIND_HORIZON_NS = 3 * 86_400 * NS  # our orders are at most as old as a run with its resumption
CANDLES_MAX = 350
# The venue's OPEN filter leaves these out, and it may not be combined with them.
WAITING_STATES = ("PENDING", "QUEUED", "CANCEL_QUEUED", "EDIT_QUEUED")


class ReadOnlyVenue:
    """Questions to the venue; every answer is parsed once and compared with the contract."""

    def __init__(self, transport: RestTransport, clock: Clock, *, has_derivatives: bool = True) -> None:
        self._transport = transport
        self._clock = clock
        self._has_derivatives = has_derivatives
        self._drift = DriftLog()
        self._products: dict[str, Product] = {}

    def server_time_ns(self) -> int:
        """Return the venue's clock, to the millisecond."""
        body = self._ask(wire_market.TimeBody, "ExtendedTimestamp", "/time")
        return int(number(body.epoch_millis, "ExtendedTimestamp.epochMillis")) * 1_000_000

    def key_permissions(self) -> KeyPermissions:
        """Return what our key may do."""
        body = self._ask(wire_account.PermissionsBody, "GetApiKeyPermissionsResponse", "/key_permissions")
        return wire_account.permissions_of(body)

    def products(self) -> list[Product]:
        """Return every spot product and every future."""
        bodies = [b for kind in ("SPOT", "FUTURE") for b in self._product_pages(kind)]
        found = [wire_products.product_of(b) for b in bodies if wire_products.is_known_type(b)]
        self._products |= {p.product_id: p for p in found}
        return found

    def product(self, product_id: str) -> Product:
        """Return one product; raises BadRequest if there is none."""
        body = self._ask(wire_products.ProductBody, "Product", f"/products/{product_id}")
        self._products[product_id] = wire_products.product_of(body)
        return self._products[product_id]

    def book(self, product_id: str, levels: int) -> BookSnapshot:
        """Return the book's best levels."""
        product = self._products.get(product_id) or self.product(product_id)
        params = {"product_id": product_id, "limit": str(levels)}
        body = self._ask(wire_market.ProductBookBody, "GetProductBookResponse", "/product_book", params)
        return wire_market.book_of(body, product)

    def candles(self, product_id: str, start_s: int, end_s: int, granularity: str) -> list[Candle]:
        """Return bars, oldest first; raises BadRequest for more than 350."""
        params = {"start": str(start_s), "end": str(end_s), "granularity": granularity, "limit": str(CANDLES_MAX)}
        body = self._ask(wire_market.CandlesBody, "Candles", f"/products/{product_id}/candles", params)
        return sorted((wire_market.candle_of(c) for c in body.candles), key=lambda candle: candle.start_s)

    def account(self) -> AccountRead:
        """Return balances, positions and margin as the venue sees them now."""
        totals = wire_account.totals_of([a for page in self._account_pages() for a in page.accounts])
        account = AccountRead(
            ts_ns=self._clock.now_ns(), balances=totals, positions={}, margin_used=ZERO, margin_available=ZERO,
            margin_window="", open_orders=len(self.open_orders()),
        )
        return self._with_margin(account) if self._has_derivatives else account

    def fee_tier(self) -> FeeTierRead:
        """Return the account's fee tier."""
        body = self._ask(
            wire_account.TransactionSummaryBody, "GetTransactionSummaryResponse", "/transaction_summary"
        )
        return wire_account.fee_tier_of(body, self._clock.now_ns())

    def preview(self, intent: OrderIntent) -> Preview:
        """Ask what would happen to an order, without placing it."""
        asked = {
            "product_id": intent.product_id,
            "side": intent.side.value,
            "order_configuration": wire_orders.configuration_of(intent),
            **wire_orders.attached_of(intent),
        }
        body = self._ask(
            wire_orders.PreviewBody, "OrderPreviewResponse", "/orders/preview", method="POST", body=asked
        )
        return Preview(
            errors=tuple(body.errs),
            order_total=number_or_zero(body.order_total, "OrderPreviewResponse.order_total"),
            commission_total=number_or_zero(body.commission_total, "OrderPreviewResponse.commission_total"),
            best_bid=number_or_none(body.best_bid, "OrderPreviewResponse.best_bid"),
            best_ask=number_or_none(body.best_ask, "OrderPreviewResponse.best_ask"),
        )

    def open_orders(self) -> list[VenueOrder]:
        """Return every order of the account that may still trade, whoever placed it."""
        bodies = [
            *self._orders({"order_status": ("OPEN",)}),
            *self._orders({"order_status": WAITING_STATES}),
        ]
        # An order may move from one answer to the other between the two questions.
        return list({b.order_id: wire_orders.order_of(b) for b in bodies}.values())

    def order(self, order_id: str) -> VenueOrder:
        """Return one order by the venue's id; raises BadRequest if there is none."""
        body = self._ask(wire_orders.OneOrderBody, "GetHistoricalOrderResponse", f"/orders/historical/{order_id}")
        return wire_orders.order_of(body.order)

    def find_order(self, client_order_id: str) -> VenueOrder | None:
        """Return the order with our id, or None if the venue has none of the last three days."""
        since = {"start_date": iso(self._clock.now_ns() - FIND_HORIZON_NS)}
        found = next((b for b in self._orders(since) if b.client_order_id == client_order_id), None)
        return wire_orders.order_of(found) if found else None

    def orders_since(self, start_ns: int) -> list[VenueOrder]:
        """Return every order of the account made since then, in whatever state, whoever placed it."""
        return [wire_orders.order_of(b) for b in self._orders({"start_date": iso(start_ns)})]

    def fills(self, order_id: str) -> list[Fill]:
        """Return the fills of one order, oldest first, each entry once."""
        entries: dict[str, Fill] = {}
        for row in self._fill_rows(order_id):
            if row.trade_type != "FILL":
                self._drift.note(f"Fill.trade_type {row.trade_type} is not booked (entry {row.entry_id})")
            elif row.order_id == order_id:
                entries.setdefault(row.entry_id, wire_orders.fill_of(row))
        return sorted(reversed(entries.values()), key=lambda fill: fill.ts_ns)

    def repeats(self) -> int:
        """Return how many requests were sent again so far."""
        return self._transport.repeats

    def schema_drift(self) -> list[str]:
        """Return what the answers so far had too much or too little against the contract, once each."""
        return self._drift.differences

    def _ask(
        self, model: type[T], schema: str, path: str, params: Query | None = None, *, method: str = "GET",
        body: Body | None = None, urgency: Urgency = Urgency.QUESTION,
    ) -> T:
        answer = self._transport.request(method, API + path, params, body, urgency)
        self._drift.check(schema, answer)
        try:
            return parse(answer, model, schema)
        except SchemaDrift as e:
            self._drift.note(str(e))
            raise

    def _with_margin(self, account: AccountRead) -> AccountRead:
        """Return the account with the positions, the margin and the funding of its futures."""
        body = self._ask(wire_account.PositionsBody, "GetFCMPositionsResponse", "/cfm/positions")
        window = self._ask(
            wire_account.MarginWindowBody, "GetCurrentMarginWindowResponse", "/cfm/intraday/current_margin_window"
        )
        account = msgspec.structs.replace(
            account, positions=wire_account.positions_of(body), margin_window=wire_account.window_of(window),
            margin_window_ends_ns=wire_account.window_end_of(window),
        )
        summary = self._ask(
            wire_account.BalanceSummaryBody, "GetFCMBalanceSummaryResponse", "/cfm/balance_summary"
        ).balance_summary
        if summary is None:  # an account without futures
            return account
        used = money(summary.initial_margin, "FCMBalanceSummary.initial_margin")
        return msgspec.structs.replace(
            account,
            margin_used=used,
            # The venue calls all that backs the positions available; we call so what is left of it.
            margin_available=money(summary.available_margin, "FCMBalanceSummary.available_margin") - used,
            margin_level=wire_account.level_of(summary, account.margin_window),
            funding=money(summary.funding_pnl, "FCMBalanceSummary.funding_pnl"),
        )

    def _product_pages(self, kind: str) -> Iterator[wire_products.ProductBody]:
        cursor = ""
        for _ in range(PAGES_MAX):
            params = {"product_type": kind, "limit": str(PAGE_ROWS), **({"cursor": cursor} if cursor else {})}
            page = self._ask(wire_products.ProductsBody, "Products", "/products", params)
            yield from page.products
            if page.pagination is None or not page.pagination.has_next or not page.products:
                return
            cursor = page.pagination.next_cursor
        raise _endless("/products")

    def _account_pages(self) -> Iterator[wire_account.AccountsBody]:
        cursor = ""
        for _ in range(PAGES_MAX):
            params = {"limit": str(PAGE_ROWS), **({"cursor": cursor} if cursor else {})}
            page = self._ask(wire_account.AccountsBody, "GetAccountsResponse", "/accounts", params)
            yield page
            if not page.has_next:
                return
            cursor = page.cursor
        raise _endless("/accounts")

    def _orders(self, filters: Query) -> Iterator[wire_orders.OrderBody]:
        cursor = ""
        for _ in range(PAGES_MAX):
            params = {**filters, "limit": str(PAGE_ROWS), **({"cursor": cursor} if cursor else {})}
            page = self._ask(
                wire_orders.OrdersBody, "GetHistoricalOrdersResponse", "/orders/historical/batch", params
            )
            yield from page.orders
            if not page.has_next:
                return
            cursor = page.cursor
        raise _endless("/orders/historical/batch")

    def _fill_rows(self, order_id: str) -> Iterator[wire_orders.FillBody]:
        cursor = ""
        for _ in range(PAGES_MAX):
            params = {"order_ids": (order_id,), "limit": "100", **({"cursor": cursor} if cursor else {})}
            page = self._ask(wire_orders.FillsBody, "GetFillsResponse", "/orders/historical/fills", params)
            yield from page.fills
            if not page.cursor or not page.fills:
                return
            cursor = page.cursor
        raise _endless("/orders/historical/fills")


def _endless(path: str) -> VenueUnavailable:
    return VenueUnavailable(f"{path} still had more rows after {PAGES_MAX} pages: its cursor does not end")
