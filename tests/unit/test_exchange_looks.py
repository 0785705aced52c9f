"""Books made ahead: whatever the pace of the looks, each book is the one that a single look would find."""

from __future__ import annotations

from itertools import accumulate

import pytest

from trading_core.clock import from_iso
from trading_core.local_exchange.catalogue import load_listing
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.depth import Depth
from trading_core.local_exchange.looks import Looks
from trading_core.local_exchange.setup import market_of
from trading_core.orders import Side

START_NS = from_iso("2025-05-28T10:00:00Z")
START = START_NS // 100_000_000
PACES = {
    "each second": [10] * 400,
    "each update": [1] * 400,
    "orders in between": [10, 10, 10, 10, 10, 3, 7, 10, 10, 10, 10, 4, 6] * 20,
    "slow": [600] * 40,
    "never steady": [2, 3] * 100,
}


def depth_of(product_id: str, day: str) -> Depth:
    """Return the depth of a product's market."""
    config = ExchangeConfig.model_validate({"start_ns": START_NS, "start_minute": 600, "day": day})
    return market_of(config, load_listing(product_id)).depth


@pytest.mark.parametrize("pace", PACES)
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(("product_id", "day"), [("BTC-USD", "volatile"), ("XRP-USD", "typical")])
def test_a_book_made_ahead_is_the_book_of_a_single_look(
    product_id: str, day: str, side: Side, pace: str
) -> None:
    depth = depth_of(product_id, day)
    looks = Looks(depth, side, 24)
    for update in accumulate(PACES[pace], initial=START):
        ticks, lots = depth.levels(side, update, 24)
        assert looks.at(update) == list(zip(ticks.tolist(), lots.tolist(), strict=True))
