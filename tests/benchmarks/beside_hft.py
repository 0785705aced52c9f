"""Run by `beside` in the venv of hftbacktest, which has nothing of ours: FOLDER of streams in, one JSON line out."""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hftbacktest as hft
import numba
import numpy as np

LATENCY_NS = 30_000_000


@numba.njit  # type: ignore[untyped-decorator]  # numba has no types here: it lives in the venv of the other engine
def requote(backtest: Any) -> int:
    """Cancel and place a post-only bid and ask at the touch each minute; return how many orders were placed."""
    placed = 0
    while backtest.elapse(60_000_000_000) == 0:
        for order_id in range(max(placed - 2, 0), placed):
            if order_id in backtest.orders(0):
                backtest.cancel(0, order_id, False)
        backtest.clear_inactive_orders(0)
        depth = backtest.depth(0)
        backtest.submit_buy_order(0, placed, depth.best_bid, 1.0, hft.GTX, hft.LIMIT, False)
        backtest.submit_sell_order(0, placed + 1, depth.best_ask, 1.0, hft.GTX, hft.LIMIT, False)
        placed += 2
    return placed


def backtest_of(path: Path) -> tuple[Any, Any]:
    """Return a backtest of one stream, and its events: they are the backtest's only while somebody holds them."""
    columns = np.load(path)
    data = np.zeros(len(columns["ts"]), hft.event_dtype)
    sides = np.where(columns["side"] > 0, hft.BUY_EVENT, hft.SELL_EVENT)
    data["ev"] = hft.DEPTH_EVENT | hft.EXCH_EVENT | hft.LOCAL_EVENT | sides
    data["exch_ts"] = data["local_ts"] = columns["ts"]
    data["px"], data["qty"] = columns["px"], columns["qty"]
    asset = (
        hft.BacktestAsset().data(data).linear_asset(1.0).constant_order_latency(LATENCY_NS, LATENCY_NS)
        .risk_adverse_queue_model().no_partial_fill_exchange().trading_value_fee_model(0.0, 0.0)
        .tick_size(1.0).lot_size(1.0).last_trades_capacity(0)
    )
    return hft.HashMapMarketDepthBacktest([asset]), data


def main(folder: Path) -> None:
    """Run each stream; the first one once more before, for it compiles."""
    taken_ns, events, orders = 0, 0, 0
    paths = sorted(folder.glob("*.npz"))
    for number, path in enumerate((paths[0], *paths)):
        backtest, data = backtest_of(path)
        started_ns = time.process_time_ns()
        placed = requote(backtest)
        if number:
            taken_ns += time.process_time_ns() - started_ns
            events, orders = events + len(data), orders + placed
        backtest.close()
    said = {"version": version("hftbacktest"), "seconds": taken_ns / 1e9, "events": events, "orders": orders}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
