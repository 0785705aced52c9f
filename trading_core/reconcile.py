"""Our books against the venue's figures: the drift, and what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

import msgspec

from trading_core.events import AccountRead
from trading_core.ledger import PAR_CURRENCIES, Ledger
from trading_core.money import ONE, ZERO, Notional, plain
from trading_core.products import ProductType


class Held(StrEnum):
    """What a difference is in: units of a currency, or contracts of a future."""

    CURRENCY = "CURRENCY"
    CONTRACTS = "CONTRACTS"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One item where the venue says something else than our books; `usd` is None if it has no mark."""

    name: str
    held: Held
    expected: Decimal
    venue: Decimal
    usd: Notional | None

    def explain(self) -> str:
        """Return the difference in one line, for alerts and the report."""
        worth = "not priced" if self.usd is None else f"{plain(self.usd)} USD"
        return f"{self.name}: venue {plain(self.venue)}, books {plain(self.expected)} ({worth})"


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """The whole comparison. Only meaningful at a quiescent point: no fill, funding or transfer in flight."""

    ts_ns: int
    drift: Notional
    differences: tuple[Difference, ...]
    is_quiescent: bool

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Return what differs and cannot be valued: the drift is then at least what it says."""
        return tuple(d.name for d in self.differences if d.usd is None)


def reconcile(ledger: Ledger, account: AccountRead, *, is_quiescent: bool) -> Reconciliation:
    """Compare balances and positions, item by item; the drift is the sum of absolute differences at the marks.

    What only one side knows is a difference from zero: the venue must not hold anything that we do not expect.
    """
    differences = (
        *_differences(ledger, Held.CURRENCY, ledger.expected_balances(), account.balances),
        *_differences(ledger, Held.CONTRACTS, ledger.expected_positions(), account.positions),
    )
    drift = sum((abs(d.usd) for d in differences if d.usd is not None), ZERO)
    return Reconciliation(
        ts_ns=account.ts_ns, drift=drift, differences=differences, is_quiescent=is_quiescent
    )


def _differences(
    ledger: Ledger, held: Held, expected: Mapping[str, Decimal], venue: Mapping[str, Decimal]
) -> list[Difference]:
    found = []
    for name in sorted(expected.keys() | venue.keys()):
        ours, theirs = expected.get(name, ZERO), venue.get(name, ZERO)
        if ours == theirs:
            continue
        unit = _unit_value(ledger, held, name)
        usd = None if unit is None else (theirs - ours) * unit
        found.append(Difference(name=name, held=held, expected=ours, venue=theirs, usd=usd))
    return found


def _unit_value(ledger: Ledger, held: Held, name: str) -> Decimal | None:
    if held is Held.CURRENCY and name in PAR_CURRENCIES:
        return ONE
    for product in ledger.products.values():
        is_future = product.product_type is ProductType.FUTURE
        is_it = product.product_id == name if held is Held.CONTRACTS else product.base_currency == name
        mark = ledger.mark_of(product.product_id)
        if is_it and is_future is (held is Held.CONTRACTS) and mark is not None:
            return product.notional(ONE, mark)
    return None
