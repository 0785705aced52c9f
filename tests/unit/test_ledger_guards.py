"""What the ledger would say if a bug of ours put it out of balance."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trading_core.errors import InvariantBroken
from trading_core.ledger import Ledger
from trading_core.money import Notional


class OneSided(Ledger):
    """Forgets the second line of each entry."""

    def _post(self, *lines: tuple[str, Decimal]) -> None:
        super()._post(*lines[:1])


class Leaking(Ledger):
    """Loses a cent without an entry."""

    def _balance(self, account: str) -> Decimal:
        return super()._balance(account) - (Decimal("0.01") if account == "cash:USD" else 0)


class Boasting(Ledger):
    """Says that it is worth a cent more than its accounts add up to."""

    def equity(self) -> Notional:
        return super().equity() + Decimal("0.01")



def test_an_entry_that_does_not_sum_to_zero_is_refused() -> None:
    with pytest.raises(InvariantBroken, match="an entry is off by 100"):
        OneSided([], {"USD": Decimal(100)}, {})


def test_accounts_that_do_not_sum_to_zero_are_found() -> None:
    books = Leaking([], {"USD": Decimal(100)}, {})
    books.book_transfer("t-1", "USD", Decimal(1))
    with pytest.raises(InvariantBroken, match=r"the books are off by -0\.0"):
        books.check()


def test_an_equity_that_the_identity_does_not_give_is_found() -> None:
    with pytest.raises(InvariantBroken, match="the identity says 100"):
        Boasting([], {"USD": Decimal(100)}, {}).check()
    Ledger([], {"USD": Decimal(100)}, {}).check()
