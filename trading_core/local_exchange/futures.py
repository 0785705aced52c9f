"""Futures positions, margin and funding of the accounts. Money moves only through the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from trading_core.clock import NS
from trading_core.local_exchange.catalogue import Listing
from trading_core.local_exchange.ledger import Ledger
from trading_core.local_exchange.model import (
    FuturesPosition,
    FuturesSummary,
    MarginLevel,
    MarginMeasure,
    MarginWindowType,
)
from trading_core.money import ZERO, Notional, Price, Size

USD = "USD"
CASH_STEP = Decimal("0.00000001")  # realized profit and funding are booked in these steps
# Not published: what share of the initial margin must stay (an assumption), and where the levels begin.
MAINTENANCE_SHARE = Decimal("0.8")
WARNING_BELOW, DANGER_BELOW = Decimal("1.5"), Decimal("1.1")
NO_MARGIN_BUFFER = Decimal(1000)  # the buffer percentage of an account without a position
MARGIN_CALL_RATIO = Decimal("1.02")
DAY_NS = 86_400 * NS


@dataclass(slots=True)
class Position:
    """One account's contracts of one product, signed, with what they cost."""

    contracts: Size = ZERO
    cost: Notional = ZERO  # signed like the contracts
    realized: Notional = ZERO
    day: int = 0  # the UTC day that `realized` counts


class FuturesBook:
    """The positions of all accounts, valued at the marks that the caller gives."""

    def __init__(self, ledger: Ledger, listings: Mapping[str, Listing]) -> None:
        self._ledger = ledger
        self._listings = {name: row for name, row in listings.items() if row.product.venue == "FCM"}
        self._positions: dict[tuple[str, str], Position] = {}
        self._funding: dict[str, Notional] = {}
        self._funded: set[tuple[str, str, int]] = set()
        self._opted_in: set[str] = set()
        self._is_margin_called = self._is_liquidating = False
        self._accrued: dict[str, Notional] = {}  # funding that was not paid in cash yet

    def call_margin(self) -> None:
        """From now on hold every account with a position at the edge of liquidation (a fault)."""
        self._is_margin_called = True

    def call_liquidation(self) -> None:
        """From now on hold every account with a position beyond liquidation (a fault)."""
        self._is_liquidating = True

    def has_positions(self) -> bool:
        """Tell whether any account has a position."""
        return any(position.contracts for position in self._positions.values())

    def contracts(self, account_id: str, product_id: str) -> Size:
        """Return the signed position; zero if flat."""
        return self._position(account_id, product_id).contracts

    def set_intraday(self, account_id: str, is_opted_in: bool) -> None:
        """Opt the account in to intraday margin, or out."""
        (self._opted_in.add if is_opted_in else self._opted_in.discard)(account_id)

    def is_intraday(self, account_id: str) -> bool:
        """Tell whether the account opted in to intraday margin."""
        return account_id in self._opted_in

    def fill(self, account_id: str, product_id: str, contracts: Size, price: Price, now_ns: int) -> None:
        """Change the position by signed contracts at a price; realized profit goes to the ledger."""
        position = self._position(account_id, product_id)
        size = self._listings[product_id].product.contract_size
        closed = ZERO
        if position.contracts * contracts < 0:
            closed = min(abs(contracts), abs(position.contracts)).copy_sign(contracts)
            share = (position.cost * closed / position.contracts).quantize(CASH_STEP, ROUND_HALF_EVEN)
            released = position.cost if closed == -position.contracts else -share
            realized = -closed * price * size - released
            self._roll_day(position, now_ns)
            position.realized += realized
            position.cost -= released
            position.contracts += closed
            self._ledger.pay(account_id, USD, realized)
        position.contracts += contracts - closed
        position.cost += (contracts - closed) * price * size

    def fund(
        self, account_id: str, product_id: str, hour_ns: int, mark: Price, rate: Decimal
    ) -> Notional | None:
        """Accrue one hour's funding: longs pay shorts at a positive rate. None if flat or already accrued."""
        key = (account_id, product_id, hour_ns)
        position = self._position(account_id, product_id)
        if key in self._funded or position.contracts == 0:
            return None
        self._funded.add(key)
        value = position.contracts * self._listings[product_id].product.contract_size * mark
        amount = (-value * rate).quantize(CASH_STEP, ROUND_HALF_EVEN)
        self._funding[account_id] = self._funding.get(account_id, ZERO) + amount
        self._accrued[account_id] = self._accrued.get(account_id, ZERO) + amount
        return amount

    def pay_funding(self) -> None:
        """Adjust every account's cash by the funding that has accrued since the last time."""
        for account_id, amount in self._accrued.items():
            self._ledger.pay(account_id, USD, amount)
        self._accrued.clear()

    def accrued(self, account_id: str) -> Notional:
        """Return the funding that has accrued and is not in cash yet."""
        return self._accrued.get(account_id, ZERO)

    def positions(self, account_id: str, marks: Mapping[str, Price], now_ns: int) -> list[FuturesPosition]:
        """Return the positions that are not flat."""
        rows = []
        for product_id, listing in sorted(self._listings.items()):
            position = self._position(account_id, product_id)
            if position.contracts == 0:
                continue
            self._roll_day(position, now_ns)
            size = listing.product.contract_size
            rows.append(
                FuturesPosition(
                    product_id=product_id,
                    contracts=position.contracts,
                    entry_price=position.cost / position.contracts / size,
                    current_price=marks[product_id],
                    unrealized=position.contracts * size * marks[product_id] - position.cost,
                    realized_today=position.realized,
                )
            )
        return rows

    def initial_rate(self, account_id: str, product_id: str, is_long: bool, window: MarginWindowType) -> Decimal:
        """Return the margin rate that applies to the account in the window."""
        row = self._listings[product_id]
        if window is MarginWindowType.INTRADAY and self.is_intraday(account_id):
            return row.intraday_long if is_long else row.intraday_short
        return row.overnight_long if is_long else row.overnight_short

    def spendable(self, account_id: str, marks: Mapping[str, Price], window: MarginWindowType) -> Notional:
        """Return the available USD that neither margin nor losses tie up."""
        margin, unrealized = self._margin(account_id, marks, window)
        losses = min(unrealized, ZERO) + min(self.accrued(account_id), ZERO)
        return self._ledger.available(account_id, USD) - margin + losses

    def level(self, account_id: str, marks: Mapping[str, Price], window: MarginWindowType) -> MarginLevel:
        """Return how close the account is to liquidation."""
        return self._measure(account_id, marks, window).level

    def summary(
        self, account_id: str, marks: Mapping[str, Price], window: MarginWindowType, now_ns: int
    ) -> FuturesSummary:
        """Return balances and margin, under the window's rates and under both windows'."""
        margin, unrealized = self._margin(account_id, marks, window)
        available, hold = self._ledger.available(account_id, USD), self._ledger.hold(account_id, USD)
        total = available + hold
        margin_left = total + unrealized + self.accrued(account_id)
        threshold = self._threshold(margin, margin_left)
        positions = [p for (owner, _), p in self._positions.items() if owner == account_id]
        for position in positions:
            self._roll_day(position, now_ns)
        return FuturesSummary(
            buying_power=max(ZERO, self.spendable(account_id, marks, window)),
            total_usd=total,
            spot_usd=total,
            futures_usd=ZERO,
            open_orders_hold=hold,
            unrealized=unrealized,
            realized_today=sum((p.realized for p in positions), ZERO),
            initial_margin=margin,
            available_margin=margin_left,
            liquidation_threshold=threshold,
            liquidation_buffer=margin_left - threshold,
            liquidation_buffer_percentage=_buffer_percentage(margin_left, threshold),
            funding=self._funding.get(account_id, ZERO),
            intraday=self._measure(account_id, marks, MarginWindowType.INTRADAY),
            overnight=self._measure(account_id, marks, MarginWindowType.OVERNIGHT),
        )

    def _measure(
        self, account_id: str, marks: Mapping[str, Price], window: MarginWindowType
    ) -> MarginMeasure:
        margin, unrealized = self._margin(account_id, marks, window)
        hold = self._ledger.hold(account_id, USD)
        margin_left = self._ledger.available(account_id, USD) + hold + unrealized + self.accrued(account_id)
        threshold = self._threshold(margin, margin_left)
        return MarginMeasure(
            window=window,
            level=_level(margin_left, threshold),
            initial_margin=margin,
            maintenance_margin=threshold,
            liquidation_buffer=_buffer_percentage(margin_left, threshold),
            total_hold=hold,
            buying_power=max(ZERO, self.spendable(account_id, marks, window)),
        )

    def _margin(
        self, account_id: str, marks: Mapping[str, Price], window: MarginWindowType
    ) -> tuple[Notional, Notional]:
        """Return initial margin and unrealized profit of all positions."""
        margin = unrealized = ZERO
        for (owner, product_id), position in self._positions.items():
            if owner == account_id and position.contracts:
                size = self._listings[product_id].product.contract_size
                value = position.contracts * size * marks[product_id]
                rate = self.initial_rate(account_id, product_id, position.contracts > 0, window)
                margin += abs(value) * rate
                unrealized += value - position.cost
        return margin, unrealized

    def _threshold(self, margin: Notional, margin_left: Notional) -> Notional:
        if self._is_liquidating and margin > 0:
            return margin_left * MARGIN_CALL_RATIO
        if self._is_margin_called and margin > 0:
            return margin_left / MARGIN_CALL_RATIO
        return margin * MAINTENANCE_SHARE

    def _position(self, account_id: str, product_id: str) -> Position:
        return self._positions.setdefault((account_id, product_id), Position())

    @staticmethod
    def _roll_day(position: Position, now_ns: int) -> None:
        if position.day != now_ns // DAY_NS:
            position.day, position.realized = now_ns // DAY_NS, ZERO


def _level(margin_left: Notional, threshold: Notional) -> MarginLevel:
    if threshold == 0 or margin_left >= threshold * WARNING_BELOW:
        return MarginLevel.BASE
    if margin_left >= threshold * DANGER_BELOW:
        return MarginLevel.WARNING
    return MarginLevel.DANGER if margin_left >= threshold else MarginLevel.LIQUIDATION


def _buffer_percentage(margin_left: Notional, threshold: Notional) -> Decimal:
    if threshold == 0:
        return NO_MARGIN_BUFFER
    return ((margin_left - threshold) / threshold * 100).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
