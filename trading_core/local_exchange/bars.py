"""Recorded days as minute bars on a product's grid, for any minute: before the recording, in it and after it."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trading_core.clock import MINUTE_NS
from trading_core.errors import ConfigurationError
from trading_core.local_exchange.calibration import Calibration, ProductModel
from trading_core.products import Product

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MINUTES_A_DAY = 1440
LOTS_A_MINUTE_MIN = 8  # enough to print open, high, low and close
FILES = {
    "calm": "calm_2025-06-01_binance_perp.csv.gz",
    "typical": "typical_2025-05-28_binance_perp.csv.gz",
    "volatile": "volatile_2025-05-12_binance_perp.csv.gz",
}
GZIP_MAGIC = b"\x1f\x8b"
_COLUMNS = ("open", "high", "low", "close", "volume")


@cache
def load_day(day: str) -> dict[str, Floats]:
    """Return for each base symbol the array [open, high, low, close, volume] × minute of a recorded day.

    A day is one of FILES or the path of a file of the same shape, plain or compressed.
    """
    raw = _raw_day(day)
    try:
        text = (gzip.decompress(raw) if raw[:2] == GZIP_MAGIC else raw).decode()
    except (OSError, EOFError, UnicodeDecodeError) as e:
        raise ConfigurationError(f"recorded day {day}: the file cannot be read ({e})") from e
    return parse_day(text, day)


@cache
def day_key(day: str) -> str:
    """Return what chances of the day are drawn by: its name, or the content of a file of one's own."""
    return day if day in FILES else hashlib.sha256(_raw_day(day)).hexdigest()


def _raw_day(day: str) -> bytes:
    if day in FILES:
        return (files("trading_core.local_exchange") / "data" / FILES[day]).read_bytes()
    try:
        return Path(day).read_bytes()
    except OSError as e:
        names = ", ".join(FILES)
        raise ConfigurationError(
            f"recorded day {day!r} does not exist: choose one of {names}, or a file of the same shape ({e.strerror})"
        ) from e


def parse_day(text: str, source: str) -> dict[str, Floats]:
    """Return the bars of a CSV with the columns ts, symbol, open, high, low, close, volume.

    Raises ConfigurationError unless each symbol has the same whole number of sane, gapless minutes.
    """
    rows: dict[str, list[tuple[float, ...]]] = {}
    try:
        for row in csv.DictReader(io.StringIO(text)):
            values = (float(row["ts"]), *(float(row[name]) for name in _COLUMNS))
            rows.setdefault(row["symbol"], []).append(values)
    except (KeyError, ValueError, TypeError) as e:
        raise ConfigurationError(f"recorded day {source}: a row cannot be read ({e})") from e
    return {symbol: _checked(sorted(bars), f"{source} {symbol}") for symbol, bars in rows.items()}


def _checked(bars: Sequence[tuple[float, ...]], source: str) -> Floats:
    table = np.array(bars).T
    ts, (open_, high, low, close, volume) = table[0], table[1:]
    if len(ts) != MINUTES_A_DAY or not np.all(np.diff(ts) == 60):
        raise ConfigurationError(f"recorded day {source} has {len(ts)} rows: it needs 1440 minutes without a gap")
    is_sane = (low > 0) & (low <= np.minimum(open_, close)) & (high >= np.maximum(open_, close)) & (volume >= 0)
    if not np.all(is_sane) or not np.all(np.isfinite(table)):
        raise ConfigurationError(f"recorded day {source}: row {int(np.argmin(is_sane))} is no price bar")
    return table[1:]


class Bars:
    """Minute bars of one product in ticks and lots, at any minute since the epoch.

    Outside the recorded day the day repeats, scaled so that no price jump shows at the seam.
    """

    def __init__(
        self,
        product: Product,
        model: ProductModel,
        calibration: Calibration,
        day: str,
        first_minute: int,
        start_minute: int,
        gap: tuple[int, float] | None = None,
    ) -> None:
        days = load_day(day)
        if model.base not in days:
            raise ConfigurationError(f"recorded day {day} has no {model.base}: add it, or list other products")
        self._prices, self._volume = days[model.base][:4], days[model.base][4]
        self._scale_a_day = float(self._prices[3, -1] / self._prices[0, 0])
        self._shift = start_minute - first_minute
        self._gap = gap
        self._calibration = calibration
        self._per_tick = (1 + model.basis_bps / 10_000) / float(product.price_increment)
        self._per_lot = model.volume_share / float(product.contract_size * product.base_increment)
        opens, closes = self._prices[0], self._prices[3]
        self.reference_ticks = max(2, round(float(opens[0]) * self._per_tick))
        self._row = calibration.stress_row(np.abs(closes / opens - 1) * 10_000)

    def ticks(self, minutes: Ints) -> Ints:
        """Return [open, high, low, close, volume in lots] × minute."""
        day, index = np.divmod(minutes + self._shift, MINUTES_A_DAY)
        scale = self._per_tick * self._scale_a_day ** day.astype(np.float64)
        if self._gap is not None:
            scale = np.where(minutes >= self._gap[0], scale * (1 + self._gap[1]), scale)
        prices = np.maximum(np.rint(self._prices[:, index] * scale), 2)
        lots = np.maximum(np.rint(self._volume[index] * self._per_lot), LOTS_A_MINUTE_MIN)
        return np.vstack([prices, lots]).astype(np.int64)

    def minute(self, minute: int) -> tuple[int, int, int, int, int]:
        """Return open, high, low, close and volume of one minute."""
        column = self.ticks(np.array([minute], dtype=np.int64))[:, 0]
        return (int(column[0]), int(column[1]), int(column[2]), int(column[3]), int(column[4]))

    def stress(self, minute: int) -> int:
        """Return the row of the stress table that the minute's return chooses."""
        return int(self._row[(minute + self._shift) % MINUTES_A_DAY])


def minute_of(ts_ns: int) -> int:
    """Return the minute since the epoch."""
    return ts_ns // MINUTE_NS
