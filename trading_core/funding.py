"""Funding of perpetual futures: what was held at a funding time, at the rate that the venue settled it.

The venue publishes a rate after its funding time, and pays some hours later. So the position is noted when the time
passes, the rate is asked for, and the amount is booked as accrued until the venue's cash shows it.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import NamedTuple

from trading_core.clock import NS
from trading_core.commands import ReadFunding
from trading_core.desk import Desk
from trading_core.events import FundingAccrued, FundingRead, FundingSkipped
from trading_core.money import Notional, Price, Size
from trading_core.products import Product, ProductType

FUNDING_STEP = Decimal("0.00000001")  # the venue books funding in these steps
ASK_EVERY_NS = 30 * NS  # the rate is published some time after the hour


class Due(NamedTuple):
    """What was held of a product at a funding time, and at which mark."""

    position: Size
    mark: Price
    asked_ns: int


class FundingClock:
    """Notes positions at funding times and books them once the rate is known, each time once."""

    def __init__(self) -> None:
        self._last_ns: dict[str, int] = {}
        self._due: dict[tuple[str, int], Due] = {}

    def open(self, desk: Desk) -> None:
        """Record for which perpetual futures no funding time is known: nothing is quiet before it."""
        for product in desk.products.values():
            if product.is_perpetual and product.funding_interval_s is None:
                desk.record(FundingSkipped(ts_ns=desk.now_ns, product_id=product.product_id))

    def advance(self, desk: Desk) -> None:
        """Note what is held at each funding time that has passed, and ask for its rate."""
        for product in desk.products.values():
            if product.product_type is ProductType.FUTURE and product.funding_interval_s and desk.ledger is not None:
                self._note(desk, product, product.funding_interval_s * NS)
        for key, due in self._due.items():
            if desk.now_ns >= due.asked_ns + ASK_EVERY_NS:
                self._due[key] = due._replace(asked_ns=desk.now_ns)
                desk.decisions.commands.append(ReadFunding(key[0]))

    def read(self, desk: Desk, event: FundingRead) -> None:
        """Book what the rate makes of the position at its time; a rate of an earlier time changes nothing.

        The venue tells the last rate only: funding times of a gap before it are estimated at it.
        """
        for key in sorted(k for k in self._due if k[0] == event.product_id and k[1] <= event.funding_ns):
            self._book(desk, event, key[1], self._due.pop(key))

    def _book(self, desk: Desk, event: FundingRead, funding_ns: int, due: Due) -> None:
        if desk.ledger is None:
            return
        amount = funding_amount(desk.products[event.product_id], due.position, due.mark, event.rate)
        desk.ledger.book_funding(event.product_id, funding_ns, amount)
        desk.record(
            FundingAccrued(
                ts_ns=desk.now_ns, product_id=event.product_id, funding_ns=funding_ns, position=due.position,
                mark=due.mark, rate=event.rate, amount=amount, is_estimated=funding_ns != event.funding_ns,
            )
        )

    def _note(self, desk: Desk, product: Product, interval_ns: int) -> None:
        product_id, now_ns = product.product_id, desk.now_ns
        funding_ns = now_ns - now_ns % interval_ns
        last_ns = self._last_ns.setdefault(product_id, funding_ns)
        if funding_ns == last_ns or desk.ledger is None:
            return
        self._last_ns[product_id] = funding_ns
        position, mark = desk.ledger.position(product_id).size, desk.last_mark(product_id)
        if position and mark is not None:
            # More than one has passed if the session was down: what is held now was held all along.
            for passed_ns in range(last_ns + interval_ns, funding_ns + 1, interval_ns):
                self._due[product_id, passed_ns] = Due(position, mark, now_ns)
            desk.decisions.commands.append(ReadFunding(product_id))


def funding_amount(product: Product, position: Size, mark: Price, rate: Decimal) -> Notional:
    """Return what one funding time gives (negative: costs): longs pay shorts at a positive rate."""
    return (-product.notional(position, mark) * rate).quantize(FUNDING_STEP, ROUND_HALF_EVEN)
