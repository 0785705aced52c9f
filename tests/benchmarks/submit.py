"""`python -m tests.benchmarks.submit`: an order through our broker and through the SDK's own create_order.

The same served venue over loopback, the same key, turn by turn: what our broker adds is the difference. Turns are
spaced, for our broker keeps to thirty requests a second and would wait; that wait is not what is measured.
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
from tests.unit.broker_wire import approved, make_intent
from trading_core.advanced_trade.broker import AdvancedTradeBroker
from trading_core.advanced_trade.credentials import parse_credentials
from trading_core.advanced_trade.jwt_sign import TokenSigner
from trading_core.advanced_trade.keys import KeyFile, KeyKind, generate_key
from trading_core.advanced_trade.sdk_transport import LoopbackAdapter, open_transport
from trading_core.clock import SystemClock, pause
from trading_core.ports import Accepted
from trading_core.run import VenueName

WARM_UP, ORDERS = 20, 300
SPACED_S = 0.05
PRICE = "60000"


def our_broker(key: KeyFile, host: str) -> Callable[[str], None]:
    """Return what places an order through our broker."""
    signer = TokenSigner(parse_credentials(key.name, key.private_key, "the benchmark"))
    clock = SystemClock()
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


def main() -> None:
    """Place orders turn by turn and print both medians."""
    key, clock = generate_key(KeyKind.ES256), SystemClock()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), key) as ready:
        ways = {"our broker": our_broker(key, ready.rest_host), "the SDK's create_order": the_sdk(key, ready.rest_host)}
        taken_ms: dict[str, list[float]] = {name: [] for name in ways}
        for count in range(WARM_UP + ORDERS):
            for number, (name, place) in enumerate(ways.items()):
                started_ns = clock.stopwatch_ns()
                place(f"bench-{count}-{number}")
                taken_ms[name].append((clock.stopwatch_ns() - started_ns) / 1e6)
            pause(SPACED_S)
    table = Table("order over loopback, ES256", "p50 ms", "p95 ms", "of the SDK's p50")
    sdk_ms = median(taken_ms["the SDK's create_order"][WARM_UP:])
    for name, all_ms in taken_ms.items():
        measured = sorted(all_ms[WARM_UP:])
        p50, p95 = median(measured), measured[int(len(measured) * 0.95)]
        table.add_row(name, f"{p50:.2f}", f"{p95:.2f}", f"{p50 / sdk_ms:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
