"""Replay in process: a day of four markets at ten updates a second, with and without somebody to wake."""

from __future__ import annotations

from tests.benchmarks.measure import Case
from trading_core.clock import NS, from_iso
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.model import NewOrder, OrderConfig
from trading_core.orders import Side

START_NS = from_iso("2025-05-28T10:00:00Z")
DAY_S, HOUR_S, UPDATES_PER_S = 86_400, 3_600, 10
FOUR = ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD")


def opened() -> LocalExchange:
    """Return an exchange of four markets."""
    config = {"start_ns": START_NS, "start_minute": 600, "products": FOUR, "updates_per_s": UPDATES_PER_S}
    return LocalExchange(ExchangeConfig.model_validate(config))


def a_day_alone() -> None:
    """Move a day ahead; nobody has an order and nobody listens."""
    opened().advance(START_NS + DAY_S * NS)


def a_day_with_orders() -> None:
    """Move a day ahead with an order far below each market: each update is looked at, none wakes anybody."""
    exchange = opened()
    account_id = exchange.account_ids()[0]
    for product_id in FOUR:
        product, bid = exchange.product(product_id), exchange.book(product_id, 1).bids[0][0]
        price = product.round_price(bid / 2, Side.BUY)
        order = NewOrder(
            client_order_id=product_id, product_id=product_id, side=Side.BUY, config=OrderConfig.LIMIT_GTC,
            base_size=product.size_for(product.quote_min_size * 20, price), limit_price=price, post_only=True,
        )
        exchange.create_order(account_id, order)
    exchange.advance(START_NS + DAY_S * NS)
    assert len(exchange.open_orders(account_id)) == len(FOUR)


def an_hour_of_books() -> None:
    """Follow books and trades of all four for an hour: twenty levels, once a second."""
    exchange = opened()
    exchange.show_levels(20)
    for second in range(1, HOUR_S + 1):
        exchange.advance(START_NS + second * NS, FOUR)


def cases() -> list[Case]:
    """Return the cases."""
    updates = len(FOUR) * DAY_S * UPDATES_PER_S
    return [
        Case("update replayed, nobody to wake", a_day_alone, updates, 3),
        Case("update replayed, an order on each market", a_day_with_orders, updates, 3),
        Case("book of 2 × 20 levels followed, trades too", an_hour_of_books, len(FOUR) * HOUR_S, 3),
    ]
