"""The numbers of the book model: how tight, deep and busy a product is, and what stress does to it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec
import numpy as np
import numpy.typing as npt

from trading_core.errors import ConfigurationError


class ProductModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One product on a calm day. Statistics, so floats."""

    base: str
    spread_bps: float
    touch_usd: float
    touch_sigma: float
    depth_usd_per_bps: float
    level_gap_bps: float
    trades_per_s: float
    trade_sigma: float
    volume_share: float
    basis_bps: float


class StressRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a minute does whose absolute return reaches `return_bps_from`."""

    return_bps_from: float
    depth_factor: float
    touch_factor: float
    trade_rate_factor: float
    wide_share: float
    wide_bps: float


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table of data/calibration.json."""

    source: str
    units: str
    products: dict[str, ProductModel]
    stress: tuple[StressRow, ...]

    def product(self, product_id: str) -> ProductModel:
        """Return the model of one product; raises ConfigurationError with the products that have one."""
        if product_id not in self.products:
            known = ", ".join(sorted(self.products))
            raise ConfigurationError(f"product {product_id!r} has no book model: choose of {known}")
        return self.products[product_id]

    def stress_row(self, return_bps: npt.NDArray[np.float64] | float) -> npt.NDArray[np.int64]:
        """Return the index of the row that applies to each absolute return."""
        starts = np.array([row.return_bps_from for row in self.stress])
        return np.asarray(np.searchsorted(starts, return_bps, side="right") - 1, dtype=np.int64)


@cache
def load_calibration() -> Calibration:
    """Return the table that ships with the project."""
    path = files("trading_core.local_exchange") / "data" / "calibration.json"
    return msgspec.json.decode(path.read_bytes(), type=Calibration)
