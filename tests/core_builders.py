"""Builders for tests of the core: each has defaults, a test names what matters to it."""

from __future__ import annotations

from decimal import Decimal

from trading_core.events import AccountRead, AlertRaised, BookChanged, Levels
from trading_core.orders import Fill, Liquidity, Side
from trading_core.products import Product, ProductType

T0_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z


def make_product(product_id: str = "BTC-USD", **changes: object) -> Product:
    """Return a spot product with steps of one cent and 1e-8 coins."""
    fields: dict[str, object] = {
        "product_id": product_id,
        "product_type": ProductType.SPOT,
        "base_currency": product_id.partition("-")[0],
        "quote_currency": "USD",
        "base_increment": Decimal("0.00000001"),
        "price_increment": Decimal("0.01"),
        "base_min_size": Decimal("0.00000001"),
        "base_max_size": Decimal("3400"),
        "quote_min_size": Decimal("1"),
        **changes,
    }
    return Product(**fields)  # type: ignore[arg-type]  # a test may name any field


def make_future(product_id: str = "BIP-20DEC30-CDE", **changes: object) -> Product:
    """Return a perpetual-style future of 0.01 BTC a contract."""
    return make_product(
        product_id,
        **{
            "product_type": ProductType.FUTURE,
            "base_currency": "BTC",
            "base_increment": Decimal(1),
            "base_min_size": Decimal(1),
            "price_increment": Decimal(5),
            "contract_size": Decimal("0.01"),
            "is_perpetual": True,
            **changes,
        },
    )


def make_fill(
    entry_id: str = "e1",
    side: Side = Side.BUY,
    size: str = "0.02",
    price: str = "50000",
    commission: str = "0",
    product_id: str = "BTC-USD",
) -> Fill:
    """Return a maker fill."""
    return Fill(
        entry_id=entry_id,
        trade_id=f"t-{entry_id}",
        order_id="o1",
        product_id=product_id,
        side=side,
        price=Decimal(price),
        size=Decimal(size),
        commission=Decimal(commission),
        liquidity=Liquidity.MAKER,
        ts_ns=T0_NS,
    )


def make_alert(number: int = 0, detail: str = "") -> AlertRaised:
    """Return an event that is easy to tell from others."""
    return AlertRaised(ts_ns=T0_NS + number, name=f"alert-{number}", severity="INFO", detail=detail)


def make_change(
    number: int = 0,
    bids: Levels = ((5_000_000, 10),),
    asks: Levels = ((5_000_100, 10),),
    is_snapshot: bool = False,
    product_id: str = "BTC-USD",
) -> BookChanged:
    """Return a book change; ticks of one cent."""
    return BookChanged(
        ts_ns=T0_NS + number, product_id=product_id, is_snapshot=is_snapshot, bids=bids, asks=asks
    )


def make_account(balances: dict[str, str], positions: dict[str, str] | None = None) -> AccountRead:
    """Return the venue's figures."""
    return AccountRead(
        ts_ns=T0_NS,
        balances={name: Decimal(amount) for name, amount in balances.items()},
        positions={name: Decimal(amount) for name, amount in (positions or {}).items()},
        margin_used=Decimal(0),
        margin_available=Decimal(1000),
        margin_window="INTRADAY",
        open_orders=0,
    )
