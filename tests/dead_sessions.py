"""A session that died with orders and a position at a served venue: what the ladder from outside finds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import msgspec

from tests.unit.broker_wire import approved
from tests.unit.broker_wire import make_intent as make_order
from trading_core.advanced_trade.keys import KeyKind, KeyRegistry, generate_key
from trading_core.advanced_trade.server_config import ServeConfig
from trading_core.advanced_trade.server_thread import ServerThread
from trading_core.bootstrap import Connection, account_name, connect, exchange_config
from trading_core.clock import NS, SystemClock, wall_now_ns
from trading_core.control.accounts import Account, read_account
from trading_core.heartbeat import Beat, beat_path
from trading_core.local_exchange.faults import FaultPlan
from trading_core.money import plain
from trading_core.orders import Purpose, Side
from trading_core.plan_files import find_plan
from trading_core.ports import Accepted
from trading_core.prepare import prepare_run
from trading_core.run import Endpoint, RunContext, VenueName
from trading_core.storage.event_store import EventStore

SPEED = 20.0
SIZE = Decimal("0.001")
PRODUCT = "BTC-USD"
NO_PID = 2**22 + 1  # above the largest id that Linux gives: no process has it, now or later


@dataclass
class DeadSession:
    """What it left behind."""

    root: Path
    context: RunContext
    endpoint: Endpoint
    server: ServerThread
    venue: Connection
    coins: Decimal  # what the account held before it
    said: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return the account's name."""
        return account_name(self.context)

    @property
    def account(self) -> Account:
        """Return the account as anybody finds it now."""
        return read_account(self.root, self.name)

    def set_faults(self, plan: FaultPlan) -> None:
        """Put faults in force at the venue."""
        self.server.call(lambda server: server.exchange.set_faults(plan))

    def beat(self, silent_s: int = 3_600, **changes: object) -> Beat:
        """Write the last beat of the session; it is long silent unless told otherwise."""
        now_ns = wall_now_ns()
        beat = Beat(
            account=self.name, run_id=self.context.run_id, plan=self.context.plan.name, venue=self.context.venue,
            pid=NO_PID, run_dir=str(self.context.run_dir), endpoint=self.endpoint.model_dump_json(),
            started_ns=now_ns - 2 * silent_s * NS, beat_ns=now_ns - silent_s * NS, lost_after_s=30,
        )
        beat = msgspec.structs.replace(beat, **changes)
        path = beat_path(self.root, self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(beat))
        return beat

    def buy(self, number: int, through_bps: int, size: Decimal = SIZE) -> None:
        """Buy so far through the touch, or rest so far behind it, as the session would have."""
        broker = self.venue.require_broker()
        product = self.venue.venue.product(PRODUCT)
        touch = broker.book(PRODUCT, 1).asks[0][0] * product.price_increment
        price = product.round_price(touch * (1 + Decimal(through_bps) / 10_000), Side.BUY)
        intent = make_order(PRODUCT, Side.BUY, plain(size), plain(price), purpose=Purpose.EMERGENCY)
        answer = broker.submit(approved(intent, f"{self.context.order_prefix}-{number}"))
        assert isinstance(answer, Accepted), answer

    def held(self) -> Decimal:
        """Return how much the account holds, asked of the venue itself."""
        account_id = self.server.call(lambda server: server.exchange.account_ids()[0])
        balances = self.server.call(lambda server: list(server.exchange.balances(account_id)))
        return sum((b.total for b in balances if b.currency == "BTC"), Decimal(0))

    def resting(self) -> int:
        """Return how many orders rest, asked of the venue itself."""
        return self.server.call(
            lambda server: len(server.exchange.open_orders(server.exchange.account_ids()[0]))
        )


@contextmanager
def dead_session(
    folder: Path, *, coins: str = "", is_exposed: bool = True, venue_faults: FaultPlan | None = None
) -> Iterator[DeadSession]:
    """Yield a session that bought 0.001 BTC, rests three orders and died; `coins` were the account's before it."""
    context = prepare_run(
        plan=find_plan("phase2"), venue=VenueName.LOCAL, day="typical", seed=1, speed=SPEED, faults="",
        run_id="dead", artifacts_root=folder / "artifacts", event_store_root=folder / "events",
    )
    start_ns = SystemClock().now_ns()
    key, registry = generate_key(KeyKind.ED25519), KeyRegistry()
    registry.register(key)
    key_file = folder / "key.json"
    key_file.touch(mode=0o600)
    key_file.write_text(key.to_json(), "utf-8")
    exchange = exchange_config(context, start_ns).model_copy(update={"faults": built_in(venue_faults or FaultPlan())})
    if coins:
        accounts = [{"balances": {"USD": "10000", "BTC": coins}}]
        exchange = type(exchange).model_validate({**exchange.model_dump(), "accounts": accounts})
    with ServerThread(ServeConfig(exchange=exchange, speed=SPEED), registry) as server:
        endpoint = Endpoint(
            rest_host=server.ready.rest_host, ws_url=server.ready.ws_url, ws_user_url=server.ready.ws_user_url,
            key_file=key_file, speed=SPEED, clock_anchor_ns=start_ns,
        )
        with connect(context, endpoint) as venue:
            left = DeadSession(folder / "events", context, endpoint, server, venue, Decimal(coins or 0))
            _live_and_die(left, is_exposed)
            if venue_faults is not None:
                left.set_faults(venue_faults)
            yield left


def built_in(faults: FaultPlan) -> FaultPlan:
    """Return what of a fault plan has to be there from the start: thin books and price gaps are made ahead."""
    kept = {"depth_share": faults.depth_share, "gap_at_s": faults.gap_at_s, "gap_share": faults.gap_share}
    return FaultPlan().model_copy(update=kept)


def _live_and_die(left: DeadSession, is_exposed: bool) -> None:
    context = left.context
    with EventStore.open(context.event_store_root, context.run_id, genesis=context.order_prefix) as store:
        store.append(left.venue.require_broker().account(), "input", durable=True)
    if is_exposed:
        left.buy(0, 50)
        for number in range(1, 4):
            left.buy(number, -500 - number)
    left.beat()
