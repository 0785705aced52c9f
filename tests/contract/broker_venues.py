"""The same venue twice: in this process on virtual time, and served over sockets to the real SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from trading_core.advanced_trade.broker import AdvancedTradeBroker
from trading_core.advanced_trade.credentials import parse_credentials
from trading_core.advanced_trade.gateway import Gateway
from trading_core.advanced_trade.inprocess_transport import open_inprocess
from trading_core.advanced_trade.jwt_sign import TokenSigner
from trading_core.advanced_trade.keys import KeyKind, KeyRegistry, generate_key
from trading_core.advanced_trade.sdk_transport import open_transport
from trading_core.advanced_trade.server_config import ServeConfig
from trading_core.advanced_trade.server_thread import ServerThread
from trading_core.advanced_trade.stream import StreamFeed
from trading_core.advanced_trade.stream_inprocess import InProcessFeed
from trading_core.clock import NS, Clock, SystemClock, VirtualClock, wall_now_ns
from trading_core.events import AnyEvent
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.faults import FaultPlan
from trading_core.orders import Side
from trading_core.ports import Feed
from trading_core.products import Product
from trading_core.run import VenueName

START_MINUTE = 600
KINDS = ("in process", "served, ES256", "served, EdDSA")
HEALTHY = FaultPlan()


@dataclass
class Venue:
    """A broker, a feed and a clock that belong together."""

    broker: AdvancedTradeBroker
    feed: Feed
    clock: Clock
    tightened: list[str] = field(default_factory=list)

    def price(self, product: Product, side: Side, away_bps: int) -> Decimal:
        """Return a price so far on the passive side of the touch; a negative distance crosses it."""
        book = self.broker.book(product.product_id, 1)
        ticks = book.bids[0][0] if side is Side.BUY else book.asks[0][0]
        touch = ticks * product.price_increment
        return product.round_price(touch * (1 - Decimal(side.sign * away_bps) / 10_000), side)

    def events_until(self, condition: Callable[[list[AnyEvent]], bool], within_s: int = 60) -> list[AnyEvent]:
        """Return what the feed said until the condition holds; fails when it does not come true in time."""
        seen: list[AnyEvent] = []
        deadline_ns = self.clock.now_ns() + within_s * NS
        while not condition(seen):
            assert self.clock.now_ns() < deadline_ns, f"the condition did not come true, last: {seen[-3:]}"
            seen += self.feed.poll(self.clock.now_ns() + NS // 10)
        return seen


@contextmanager
def open_kind(kind: str, faults: FaultPlan = HEALTHY) -> Iterator[Venue]:
    """Yield the venue of that kind, fresh, and end it."""
    start_ns = wall_now_ns()
    config = ExchangeConfig(start_ns=start_ns, start_minute=START_MINUTE, seed=7, faults=faults)
    if kind == "in process":
        yield _in_process(config)
        return
    with _served(config, KeyKind.ES256 if kind.endswith("ES256") else KeyKind.ED25519) as venue:
        yield venue


def _in_process(config: ExchangeConfig) -> Venue:
    exchange = LocalExchange(config)
    clock = VirtualClock(config.start_ns)
    gateway = Gateway(exchange, KeyRegistry())
    feed = InProcessFeed(exchange, clock, exchange.account_ids()[0], gateway.muted_orders)
    return Venue(AdvancedTradeBroker(open_inprocess(gateway, clock, feed, Random(1)), clock), feed, clock)


@contextmanager
def _served(config: ExchangeConfig, key_kind: KeyKind) -> Iterator[Venue]:
    key, registry = generate_key(key_kind), KeyRegistry()
    registry.register(key)
    signer = TokenSigner(parse_credentials(key.name, key.private_key, "the test"))
    clock = SystemClock(1, config.start_ns)
    tightened: list[str] = []
    with ServerThread(ServeConfig(exchange=config), registry) as server:
        transport = open_transport(server.ready.rest_host, signer, VenueName.LOCAL, clock, Random(1))
        feed = StreamFeed(
            market_url=server.ready.ws_url, user_url=server.ready.ws_user_url, signer=signer, clock=clock,
            chance=Random(1), tighten=tightened.append,
        )
        try:
            yield Venue(AdvancedTradeBroker(transport, clock), feed, clock, tightened)
        finally:
            feed.close()
            transport.close()
