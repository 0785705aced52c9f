"""Money moved in or out of the account by hand: announced by a named operator, booked when the venue shows it.

The venue's API has no record of a deposit, a withdrawal or a sweep: they only show as another balance. So a difference
is explained by nobody but the person who made it, and by then the venue must show exactly what was announced.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import combinations
from typing import TYPE_CHECKING

from trading_core.events import AccountRead, TransferBooked, TransferFiled
from trading_core.ledger import Ledger
from trading_core.money import ZERO, Notional

if TYPE_CHECKING:
    from trading_core.desk import Desk

PENDING_MAX = 8  # announced and not seen yet, of one account: their sums are tried, too


class Transfers:
    """What was announced to one session, and what of it the venue has not shown yet."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.pending: list[TransferFiled] = []
        self.since_ns = 0  # when the run began: what was announced before is in the opening balances

    def take(self, filed: TransferFiled) -> None:
        """Note an announcement, once."""
        if filed.transfer_id not in self.known and filed.filed_ns >= self.since_ns:
            self.pending = [*self.pending, filed][-PENDING_MAX:]
        self.known.add(filed.transfer_id)

    def arrived(self, expected: dict[str, Decimal], venue: dict[str, Decimal]) -> list[TransferFiled]:
        """Return the announced ones that explain a difference of the balances to the last cent, and forget them."""
        found: list[TransferFiled] = []
        for currency in sorted({filed.currency for filed in self.pending}):
            difference = venue.get(currency, ZERO) - expected.get(currency, ZERO)
            found += _explaining([f for f in self.pending if f.currency == currency], difference)
        self.pending = [filed for filed in self.pending if filed not in found]
        return found


def book_arrived(desk: Desk, ledger: Ledger, account: AccountRead) -> None:
    """Book the announced transfers that the venue shows now; what nobody announced stays drift."""
    for filed in desk.transfers.arrived(ledger.expected_balances(), account.balances):
        ledger.book_transfer(filed.transfer_id, filed.currency, filed.amount)
        desk.record(
            TransferBooked(
                ts_ns=desk.now_ns, transfer_id=filed.transfer_id, currency=filed.currency, amount=filed.amount
            )
        )


def _explaining(pending: list[TransferFiled], difference: Notional) -> list[TransferFiled]:
    """Return the fewest announcements that add up to the difference; none if no choice of them does."""
    for count in range(1, len(pending) + 1):
        for chosen in combinations(pending, count):
            if sum((filed.amount for filed in chosen), ZERO) == difference != 0:
                return list(chosen)
    return []
