"""Building the parts of an exchange from its configuration."""

from __future__ import annotations

from trading_core.clock import NS
from trading_core.local_exchange.bars import Bars, day_key, minute_of
from trading_core.local_exchange.calibration import load_calibration
from trading_core.local_exchange.catalogue import Listing, load_listing
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.depth import Depth
from trading_core.local_exchange.market import Market
from trading_core.local_exchange.tape import Tape, key_of
from trading_core.money import Price, Size
from trading_core.products import Product


def listings_of(config: ExchangeConfig) -> dict[str, Listing]:
    """Return the listed products, in the configuration's order."""
    return {product_id: load_listing(product_id) for product_id in config.products}


def market_of(config: ExchangeConfig, listing: Listing) -> Market:
    """Return the market of one product at the configuration's start."""
    calibration, product = load_calibration(), listing.product
    model = calibration.product(product.product_id)
    faults = config.faults
    first_minute = minute_of(config.start_ns)
    gap = None
    if faults.gap_at_s is not None:
        gap = (minute_of(config.start_ns + int(faults.gap_at_s * NS) + 60 * NS - 1), faults.gap_share)
    bars = Bars(product, model, calibration, config.day, first_minute, config.start_minute, gap)
    tape = Tape(product, model, calibration, bars, day_key(config.day), config.seed, config.updates_per_s)
    salt = key_of(day_key(config.day), str(config.seed), product.product_id, "depth")
    depth = Depth(product, model, calibration, tape, salt, faults.depth_share)
    return Market(product, tape, depth, config.start_ns // tape.interval_ns)


def levels_of(product: Product, ladder: dict[int, int]) -> tuple[tuple[Price, Size], ...]:
    """Return prices and sizes of a ladder in ticks and lots."""
    tick, lot = product.price_increment, product.base_increment
    return tuple((ticks * tick, lots * lot) for ticks, lots in ladder.items())
