"""Who owns what at the exchange. Every posting has two sides, so each currency's sum never changes."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from trading_core.errors import InvariantBroken
from trading_core.local_exchange.config import AccountConfig
from trading_core.local_exchange.model import ExchangeOrder
from trading_core.money import ZERO


class Ledger:
    """Available and held balances of the accounts, the venue's own books and the fees it took."""

    def __init__(self, accounts: Iterable[AccountConfig], currencies: Iterable[str]) -> None:
        self._available: dict[str, dict[str, Decimal]] = {}
        self._hold: dict[str, dict[str, Decimal]] = {}
        self.venue: dict[str, Decimal] = {}  # the counterparty of every posting; may be negative
        self.fees: dict[str, Decimal] = {}
        for account in accounts:
            names = sorted({*currencies, *account.balances})
            self._available[account.account_id] = {name: account.balances.get(name, ZERO) for name in names}
            self._hold[account.account_id] = dict.fromkeys(names, ZERO)

    def currencies(self, account_id: str) -> list[str]:
        """Return the currencies that the account has a balance of, by name."""
        return sorted(self._available[account_id])

    def available(self, account_id: str, currency: str) -> Decimal:
        """Return what is free to use."""
        return self._available[account_id].get(currency, ZERO)

    def hold(self, account_id: str, currency: str) -> Decimal:
        """Return what open orders hold."""
        return self._hold[account_id].get(currency, ZERO)

    def set_hold(self, order: ExchangeOrder, amount: Decimal) -> None:
        """Make the order hold exactly the amount."""
        if amount < 0:
            raise InvariantBroken(f"order {order.order_id} cannot hold {amount}")
        change = amount - order.hold
        self._available[order.account_id][order.hold_currency] -= change
        self._hold[order.account_id][order.hold_currency] += change
        order.hold = amount

    def pay(self, account_id: str, currency: str, amount: Decimal) -> None:
        """Credit the account (debit it if negative) against the venue."""
        self._available[account_id][currency] += amount
        self.venue[currency] = self.venue.get(currency, ZERO) - amount

    def transfer(self, account_id: str, currency: str, amount: Decimal) -> bool:
        """Pay as `pay` does if the account knows the currency and has it free; tell whether it was done."""
        if currency not in self._available[account_id] or self.available(account_id, currency) + amount < 0:
            return False
        self.pay(account_id, currency, amount)
        return True

    def charge(self, account_id: str, currency: str, fee: Decimal) -> None:
        """Take a fee from the account."""
        self._available[account_id][currency] -= fee
        self.fees[currency] = self.fees.get(currency, ZERO) + fee

    def totals(self) -> dict[str, Decimal]:
        """Return each currency's sum over accounts, venue and fees: constant from the opening on."""
        sums: dict[str, Decimal] = {}
        books = (*self._available.values(), *self._hold.values(), self.venue, self.fees)
        for book in books:
            for currency, amount in book.items():
                sums[currency] = sums.get(currency, ZERO) + amount
        return sums
