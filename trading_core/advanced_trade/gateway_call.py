"""What a handler of the gateway is given: one parsed, authorised call of one operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

from trading_core.advanced_trade.emit_orders import Owner
from trading_core.advanced_trade.gateway_http import ApiError, invalid_argument, not_found
from trading_core.advanced_trade.keys import Scope
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.products import Product

PAGE_MAX = 1_000  # rows of one page, whatever limit says


class Portfolio(msgspec.Struct):
    """A portfolio that a client created; the first one belongs to the account."""

    name: str
    uuid: str
    type: str = "CONSUMER"
    deleted: bool = False
    funds: dict[str, Decimal] = {}


class Sweep(msgspec.Struct, frozen=True):
    """A scheduled sweep of futures cash to spot; None sweeps all."""

    id: str
    usd_amount: str
    scheduled_ns: int


class Convert(msgspec.Struct):
    """A quote to convert an amount of one currency into another, and whether it was used."""

    id: str
    source: str
    target: str
    amount: Decimal
    received: Decimal
    is_done: bool = False


class AccountState(msgspec.Struct):
    """What the gateway itself remembers of an account: things that are no business of the exchange."""

    portfolios: list[Portfolio] = []
    sweeps: list[Sweep] = []
    converts: dict[str, Convert] = {}


class Call(msgspec.Struct, kw_only=True):
    """One call. `params` are the parsed query, `path` the parts of the path, `body` the parsed body."""

    exchange: LocalExchange
    account_id: str
    scopes: frozenset[Scope]
    params: dict[str, Any]
    path: Mapping[str, str]
    body: dict[str, Any]
    state: AccountState
    now_ns: int  # venue time as the venue shows it: with the clock offset of the fault plan

    @property
    def owner(self) -> Owner:
        """Return whose orders these are."""
        return Owner(self.exchange.user_id(self.account_id), self.exchange.portfolio_id(self.account_id))

    def product(self, product_id: str, error: ApiError | None = None) -> Product:
        """Return the product; raises the error, by default the 404 of an unknown product."""
        try:
            return self.exchange.product(product_id)
        except KeyError:
            raise error or not_found("valid product_id is required") from None

    def limit(self, default: int, most: int = PAGE_MAX) -> int:
        """Return the page size asked for; 0 and absence mean the default."""
        limit = int(self.params.get("limit", 0))  # int64 queries arrive as text
        if limit < 0:
            raise invalid_argument("limit must not be negative")
        return min(limit or default, most)


Handler: TypeAlias = Callable[[Call], Mapping[str, Any]]
