"""Builders for tests of the local exchange: an exchange of two accounts, an order, and what to ask of them."""

from __future__ import annotations

from decimal import Decimal

from trading_core.clock import NS
from trading_core.local_exchange.config import AccountConfig, ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.model import ExchangeOrder, NewOrder, OrderConfig
from trading_core.orders import Side

START_NS = 1_795_230_000 * NS  # Saturday 2026-11-21 03:00 UTC
ME, OTHER = "default", "other"
TICK = Decimal("0.01")  # of BTC-USD


def make_exchange(**changes: object) -> LocalExchange:
    """Return an exchange of two accounts at ten o'clock of the typical day."""
    accounts = [AccountConfig(account_id=ME), AccountConfig(account_id=OTHER)]
    defaults = {"start_ns": START_NS, "start_minute": 600, "accounts": accounts}
    return LocalExchange(ExchangeConfig.model_validate(defaults | changes))


def make_order(n: int = 1, **changes: object) -> NewOrder:
    """Return a request to buy 0.001 BTC by a limit order, with changes."""
    defaults: dict[str, object] = {
        "client_order_id": f"order-{n}",
        "product_id": "BTC-USD",
        "side": Side.BUY,
        "config": OrderConfig.LIMIT_GTC,
    }
    if "quote_size" not in changes:
        defaults["base_size"] = Decimal("0.001")
    return NewOrder(**(defaults | changes))  # type: ignore[arg-type]


def place(exchange: LocalExchange, request: NewOrder, account_id: str = ME) -> ExchangeOrder:
    """Place an order that the exchange must accept."""
    answer = exchange.create_order(account_id, request)
    assert isinstance(answer, ExchangeOrder), answer
    return answer


def touch(exchange: LocalExchange, product_id: str = "BTC-USD") -> tuple[Decimal, Decimal]:
    """Return the best bid and ask."""
    book = exchange.book(product_id, 1)
    return book.bids[0][0], book.asks[0][0]


def wait(exchange: LocalExchange, seconds: float) -> None:
    """Let venue time pass."""
    exchange.advance(exchange.now_ns + int(seconds * NS))


def available(exchange: LocalExchange, currency: str, account_id: str = ME) -> Decimal:
    """Return what the account may spend of a currency."""
    return next(b.available for b in exchange.balances(account_id) if b.currency == currency)
