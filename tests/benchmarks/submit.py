"""`python -m tests.benchmarks.submit`: an order through our broker and through the SDK's own create_order.

The same served venue over loopback, turn by turn, each going first in every other turn: what differs is the client.
Our broker's clock runs fast, so that its rate budget counts each order and is never used up: a wait for it is not what
is measured. The SDK's version signs with ES256 only, so it does so beside our EdDSA, too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median

from coinbase.rest import RESTClient
from rich.console import Console
from rich.table import Table

from tests.benchmarks.serve_orders import served
from tests.contract.loopback import LoopbackAdapter
from tests.unit.broker_wire import approved, make_intent
from trading_core.advanced_trade.broker import AdvancedTradeBroker
from trading_core.advanced_trade.credentials import parse_credentials
from trading_core.advanced_trade.jwt_sign import TokenSigner
from trading_core.advanced_trade.keys import KeyFile, KeyKind, generate_key
from trading_core.advanced_trade.sdk_transport import open_transport
from trading_core.clock import SystemClock
from trading_core.ports import Accepted
from trading_core.run import VenueName

WARM_UP, ORDERS = 50, 500
SPEED = 200.0  # venue seconds a second: 3,000 orders of budget
PRICE = "60000"
NEEDED = 1.5  # times as fast as the SDK


def our_broker(key: KeyFile, host: str) -> Callable[[str], None]:
    """Return what places an order through our broker."""
    signer = TokenSigner(parse_credentials(key.name, key.private_key, "the benchmark"))
    clock = SystemClock(SPEED)
    broker = AdvancedTradeBroker(open_transport(host, signer, VenueName.LOCAL, clock, Random(1)), clock)
    broker.product("BTC-USD")

    def place(name: str) -> None:
        intent = make_intent(price=PRICE, size="0.001", post_only=True)
        assert isinstance(broker.submit(approved(intent, name)), Accepted)
    return place


def the_sdk(key: KeyFile, host: str) -> Callable[[str], None]:
    """Return what places the same order by the SDK alone."""
    client = RESTClient(api_key=key.name, api_secret=key.private_key, base_url=host, timeout=10)
    client.session.mount(f"https://{host}/", LoopbackAdapter())
    config = {"limit_limit_gtc": {"base_size": "0.001", "limit_price": PRICE, "post_only": True}}

    def place(name: str) -> None:
        answer = client.create_order(
            client_order_id=name, product_id="BTC-USD", side="BUY", order_configuration=config
        )
        assert answer["success"]
    return place


def measured_ms(ways: dict[str, Callable[[str], None]]) -> dict[str, list[float]]:
    """Place orders in turns and return the milliseconds of each, sorted, the first ones left out."""
    clock, names = SystemClock(), list(ways)
    taken_ms: dict[str, list[float]] = {name: [] for name in names}
    for count in range(WARM_UP + ORDERS):
        for number, name in enumerate(names if count % 2 else reversed(names)):
            started_ns = clock.stopwatch_ns()
            ways[name](f"bench-{count}-{number}")
            taken_ms[name].append((clock.stopwatch_ns() - started_ns) / 1e6)
    return {name: sorted(all_ms[WARM_UP:]) for name, all_ms in taken_ms.items()}


def main() -> None:
    """Print both medians for each kind of key, and how many times as fast as the SDK we are."""
    table = Table("order over loopback", "p50 ms", "p95 ms", "times as fast", title=f"submit (needed: {NEEDED} ×)")
    sdk_key = generate_key(KeyKind.ES256)
    for kind in KeyKind:
        key = generate_key(kind)
        with tempfile.TemporaryDirectory() as folder, served(Path(folder), key, sdk_key) as ready:
            taken_ms = measured_ms({
                f"our broker, {kind}": our_broker(key, ready.rest_host),
                "the SDK's create_order, ES256": the_sdk(sdk_key, ready.rest_host),
            })
        sdk_ms = median(taken_ms["the SDK's create_order, ES256"])
        for name, all_ms in taken_ms.items():
            p50, p95 = median(all_ms), all_ms[int(len(all_ms) * 0.95)]
            table.add_row(name, f"{p50:.2f}", f"{p95:.2f}", f"{sdk_ms / p50:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
