"""Which fee tier an account is in: trailing 30-day volume, recalculated each hour."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import NamedTuple

from trading_core.clock import NS
from trading_core.local_exchange.config import AccountConfig, FeeTierConfig
from trading_core.local_exchange.model import FeeSummary, FeeTier
from trading_core.money import ZERO, Notional

HOUR_NS = 3600 * NS
WINDOW_NS = 30 * 24 * HOUR_NS
NO_LIMIT = Decimal("1000000000000")  # the upper end of the last tier


class _Traded(NamedTuple):
    ts_ns: int
    value: Notional
    fee: Notional


class FeeBook:
    """Volumes and fees of one account."""

    def __init__(self, account: AccountConfig, table: tuple[FeeTierConfig, ...]) -> None:
        self._opening_volume = account.volume_30d
        self._table = sorted(table, key=lambda tier: tier.volume_from)
        self._trades: deque[_Traded] = deque()

    def add(self, ts_ns: int, value: Notional, fee: Notional) -> None:
        """Count a fill."""
        self._trades.append(_Traded(ts_ns, value, fee))

    def tier(self, now_ns: int) -> FeeTier:
        """Return the tier by the volume up to the last full hour."""
        hour = now_ns // HOUR_NS * HOUR_NS
        volume = self._opening_volume + sum((t.value for t in self._window(hour) if t.ts_ns < hour), ZERO)
        index = max(i for i, tier in enumerate(self._table) if i == 0 or tier.volume_from <= volume)
        row = self._table[index]
        above = self._table[index + 1].volume_from if index + 1 < len(self._table) else NO_LIMIT
        return FeeTier(row.name, row.volume_from, above, row.maker_rate, row.taker_rate)

    def summary(self, now_ns: int) -> FeeSummary:
        """Return the tier with the trailing volume and fees up to now."""
        window = self._window(now_ns)
        volume = self._opening_volume + sum((t.value for t in window), ZERO)
        return FeeSummary(self.tier(now_ns), volume, sum((t.fee for t in window), ZERO))

    def _window(self, now_ns: int) -> deque[_Traded]:
        while self._trades and self._trades[0].ts_ns < now_ns - WINDOW_NS:
            self._trades.popleft()
        return self._trades
