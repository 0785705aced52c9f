"""The composition root: which clock, feed and broker a venue means. The only place that chooses by venue."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import assert_never

from trading_core.advanced_trade.broker import AdvancedTradeBroker
from trading_core.advanced_trade.broker_venue import ReadOnlyVenue
from trading_core.advanced_trade.credentials import Credentials, load_credentials
from trading_core.advanced_trade.gateway import Gateway
from trading_core.advanced_trade.inprocess_transport import open_inprocess
from trading_core.advanced_trade.jwt_sign import TokenSigner
from trading_core.advanced_trade.keys import KeyRegistry
from trading_core.advanced_trade.sdk_transport import open_transport
from trading_core.advanced_trade.stream import StreamFeed
from trading_core.advanced_trade.stream_inprocess import InProcessFeed
from trading_core.clock import Clock, SystemClock, VirtualClock, from_iso
from trading_core.errors import ConfigurationError, GreenlightError
from trading_core.exchange_process import ENDPOINT_FILE, go_on_at, start_exchange
from trading_core.executor import InlineExecutor
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.faults import load_faults
from trading_core.plan import Level
from trading_core.ports import Broker, Feed
from trading_core.run import Endpoint, RunContext, VenueName
from trading_core.settings import load_settings
from trading_core.trading_state import TradingGuard, TradingState

PRODUCTION = Endpoint(
    rest_host="api.coinbase.com",
    ws_url="wss://advanced-trade-ws.coinbase.com",
    ws_user_url="wss://advanced-trade-ws-user.coinbase.com",
    is_loopback=False,
)
SANDBOX = Endpoint(rest_host="api-sandbox.coinbase.com", is_loopback=False)
# The simulated venue starts at this minute of its recorded day: there is a past for candles, and a session is open.
START_MINUTE = 600
REHEARSAL_USD = Decimal(10_000)  # at least, and no coins: what a rehearsal makes or loses is its own doing
REHEARSAL_AGGREGATES = 2  # of what the plan may hold at once: leverage and fees must not bind before its own limits
DAY_STARTS = {"calm": "2025-06-01", "typical": "2025-05-28", "volatile": "2025-05-12"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A venue as one stage uses it. `venue` cannot place; `broker` is the same venue, and can, if there is one."""

    clock: Clock
    venue: ReadOnlyVenue
    broker: Broker | None
    feed: Callable[[], Feed]
    credentials: Credentials | ConfigurationError | None
    executor: Executor  # writes artifacts beside the trading loop
    is_durable: bool  # whether evidence must survive a crash of the machine: a simulated run is simply run again

    def require_broker(self) -> Broker:
        """Return the broker; raises ConfigurationError at a venue that cannot place."""
        if self.broker is None:
            raise ConfigurationError("this venue cannot place orders yet: rehearse with venue local or simulated")
        return self.broker


@dataclass(frozen=True, slots=True)
class SimulatedVenue:
    """The local exchange in this process, on its own virtual time."""

    exchange: LocalExchange
    gateway: Gateway
    clock: VirtualClock


# A simulated venue lives as long as its run, or its session, in a process of it, and is known by the run's id: stages
# receive only data.
_simulated: dict[str, SimulatedVenue] = {}


@contextmanager
def open_venue(context: RunContext) -> Iterator[Endpoint]:
    """Start what the venue of the run needs, and end it with the run; yields how to reach it."""
    match context.venue:
        case VenueName.SIMULATED:
            _simulated[context.run_id] = _simulate(context)
            try:
                yield Endpoint()
            finally:
                del _simulated[context.run_id]
        case VenueName.LOCAL:
            left = _left_behind(context)
            fresh = exchange_config(context, SystemClock().now_ns())
            with start_exchange(context, fresh) if left is None else go_on_at(left) as endpoint:
                yield endpoint
        case VenueName.SANDBOX:
            yield SANDBOX
        case VenueName.PAPER | VenueName.LIVE:
            yield PRODUCTION.model_copy(update={"key_file": load_settings(os.environ).key_file})
        case _:
            assert_never(context.venue)


def for_session(context: RunContext, endpoint: Endpoint) -> Endpoint:
    """Return what the session's process is given: a simulated exchange goes on there from the venue time of ours.

    The stages before place no order, so it is the same exchange: account and market follow from seed and time.
    """
    if context.venue is not VenueName.SIMULATED:
        return endpoint
    return endpoint.model_copy(update={"simulated_ns": _simulated[context.run_id].clock.now_ns()})


@contextmanager
def venue_of_session(context: RunContext, endpoint: Endpoint) -> Iterator[None]:
    """Have the venue of a session that lives in its process; any other is elsewhere."""
    if context.venue is not VenueName.SIMULATED:
        yield
        return
    _simulated[context.run_id] = simulated = _simulate(context)
    simulated.clock.wait_until(endpoint.simulated_ns)
    simulated.exchange.advance(simulated.clock.now_ns(), ())
    try:
        yield
    finally:
        del _simulated[context.run_id]


def _left_behind(context: RunContext) -> Endpoint | None:
    """Return the exchange of this run that outlived the process that started it: it knows the run's own key."""
    try:
        path = context.event_store_root / "accounts" / account_name(context) / ENDPOINT_FILE
        endpoint = Endpoint.model_validate_json(path.read_text("utf-8"))
        with connect(context, endpoint) as connection:
            connection.venue.key_permissions()
    except (OSError, ValueError, GreenlightError):
        return None
    return endpoint


@contextmanager
def connect(context: RunContext, endpoint: Endpoint) -> Iterator[Connection]:
    """Yield a connection to the run's venue; closes what it opened."""
    if context.venue is VenueName.SIMULATED:
        yield _connect_simulated(context)
        return
    clock = SystemClock(endpoint.speed, endpoint.clock_anchor_ns or None)
    credentials = read_credentials(endpoint)
    signer = TokenSigner(credentials) if isinstance(credentials, Credentials) else None
    chance = Random(context.seed)
    guard = make_guard(context, clock)
    with ExitStack() as stack:
        retries_max = context.plan.policy.retries_max
        transport = open_transport(endpoint.rest_host, signer, context.venue, clock, chance, retries_max)
        stack.callback(transport.close)
        # Paper trades against a local exchange fed by live data, which is not built yet: it cannot place at all.
        has_derivatives = context.venue is not VenueName.SANDBOX
        may_place = context.venue is not VenueName.PAPER
        yield Connection(
            clock=clock,
            venue=ReadOnlyVenue(transport, clock, has_derivatives=has_derivatives),
            broker=AdvancedTradeBroker(transport, clock, has_derivatives=has_derivatives) if may_place else None,
            feed=lambda: _open_feed(endpoint, signer, clock, chance, guard),
            credentials=credentials,
            executor=stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="artifacts")),
            is_durable=True,
        )


def _open_feed(
    endpoint: Endpoint, signer: TokenSigner | None, clock: Clock, chance: Random, guard: TradingGuard
) -> StreamFeed:
    if not endpoint.ws_url:
        raise ConfigurationError(
            f"{endpoint.rest_host} has no market data: it checks the wire format of single calls. "
            "Rehearse with --venue local or simulated"
        )
    return StreamFeed(
        market_url=endpoint.ws_url, user_url=endpoint.ws_user_url, signer=signer, clock=clock, chance=chance,
        tighten=lambda reason: _tighten(guard, reason),
    )


def make_guard(context: RunContext, clock: Clock) -> TradingGuard:
    """Return the guard of the account that this run trades with: every process of the account shares its file."""
    return open_guard(context.event_store_root, account_name(context), clock)


def open_guard(event_store_root: Path, account: str, clock: Clock) -> TradingGuard:
    """Return the guard of an account by its name."""
    return TradingGuard(event_store_root / "accounts" / account / "trading_state.jsonl", clock.now_ns)


def account_name(context: RunContext) -> str:
    """Return the folder name of the account's state: a rehearsal's account is the run's own."""
    return f"rehearsal-{context.run_id}" if context.venue.level is Level.L0 else account_fingerprint(context.venue)


def account_fingerprint(venue: VenueName) -> str:
    """Return a name for the account that reveals nothing; raises ConfigurationError if its key cannot be read."""
    match venue.level:
        case Level.L0:
            return "rehearsal"
        case Level.L1:
            return "sandbox"  # Coinbase's sandbox knows no accounts
        case Level.L2 | Level.L3:
            credentials = load_credentials(os.environ, load_settings(os.environ).key_file)
            return f"{venue}-" + hashlib.sha256(credentials.key_name.encode()).hexdigest()[:12]
        case _:
            assert_never(venue.level)


def read_credentials(endpoint: Endpoint) -> Credentials | ConfigurationError:
    """Return the credentials of the endpoint, or the error that says what is wrong with them."""
    try:
        return load_credentials(os.environ, endpoint.key_file)
    except ConfigurationError as e:
        return e


def _tighten(guard: TradingGuard, reason: str) -> None:
    guard.tighten(TradingState.REDUCE_ONLY, reason=reason, actor="stream")


def _simulate(context: RunContext) -> SimulatedVenue:
    start_ns = simulated_start_ns(context.day)
    exchange = LocalExchange(exchange_config(context, start_ns))
    return SimulatedVenue(exchange, Gateway(exchange, KeyRegistry()), VirtualClock(start_ns))


def exchange_config(context: RunContext, start_ns: int) -> ExchangeConfig:
    """Return the local exchange that a rehearsal asks for; raises ConfigurationError for an unknown day or fault."""
    simulated_start_ns(context.day)
    most = context.plan.risk.aggregate_notional_max
    return ExchangeConfig.model_validate(
        {
            "day": context.day,
            "seed": context.seed,
            "start_ns": start_ns,
            "start_minute": START_MINUTE,
            "accounts": [{"balances": {"USD": max(REHEARSAL_USD, most * REHEARSAL_AGGREGATES)}}],
            "faults": load_faults(context.faults or "none", context.seed),
        }
    )


def simulated_start_ns(day: str) -> int:
    """Return the venue time at which a simulated run starts: the recorded day at START_MINUTE.

    Raises ConfigurationError for a day that is not recorded.
    """
    if day not in DAY_STARTS:
        raise ConfigurationError(f"day {day!r} is not recorded: choose one of {', '.join(DAY_STARTS)}")
    return from_iso(f"{DAY_STARTS[day]}T{START_MINUTE // 60:02d}:{START_MINUTE % 60:02d}:00Z")


def _connect_simulated(context: RunContext) -> Connection:
    simulated = _simulated[context.run_id]
    account_id = simulated.exchange.account_ids()[0]
    feed = InProcessFeed(simulated.exchange, simulated.clock, account_id, simulated.gateway.muted_orders)
    transport = open_inprocess(
        simulated.gateway, simulated.clock, feed, Random(context.seed),
        retries_max=context.plan.policy.retries_max,
    )
    return Connection(
        clock=simulated.clock,
        venue=ReadOnlyVenue(transport, simulated.clock),
        broker=AdvancedTradeBroker(transport, simulated.clock),
        feed=lambda: feed,
        credentials=None,
        executor=InlineExecutor(),
        is_durable=False,
    )
