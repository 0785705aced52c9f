"""REST of the simulated venue: the gateway called in this process, with the latency that a network would add."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from trading_core.advanced_trade.broker_retry import RETRIES_MAX, RetryingTransport
from trading_core.advanced_trade.broker_transport import Body, Query, Urgency, error_of
from trading_core.advanced_trade.gateway import Gateway
from trading_core.advanced_trade.gateway_http import Fate
from trading_core.advanced_trade.stream_inprocess import InProcessFeed
from trading_core.clock import NS, Clock
from trading_core.errors import VenueUnavailable

MS = 1_000_000
# A round trip: half of it before the venue acts, half after. Shape and size are those of a home line.
LATENCY_MEDIAN_MS = 60.0
LATENCY_SIGMA = 0.4
LATENCY_MAX_MS = 400.0
READ_TIMEOUT_MS = 10_000  # as the SDK transport's


class InProcessTransport:
    """Carries a request to a gateway in this process, once; `move` lets modelled time pass at the venue."""

    repeats = 0

    def __init__(
        self, gateway: Gateway, clock: Clock, move: Callable[[int], None], chance: Random,
        account_id: str | None = None,
    ) -> None:
        self._gateway = gateway
        self._clock = clock
        self._move = move
        self._chance = chance
        self._account_id = account_id

    def request(
        self, method: str, path: str, params: Query | None = None, body: Body | None = None,
        urgency: Urgency = Urgency.QUESTION,  # noqa: ARG002 - the simulated venue has no budget
    ) -> dict[str, Any]:
        """Return the answer's body; raises a VenueError for everything else."""
        asked = f"{method} {path}"
        half_ns = int(min(self._chance.lognormvariate(0, LATENCY_SIGMA) * LATENCY_MEDIAN_MS, LATENCY_MAX_MS) * MS) // 2
        self._pass(half_ns)
        answer = self._gateway.handle_trusted(method, path, params, body, self._account_id)
        if answer.delay_ms > READ_TIMEOUT_MS:
            self._pass(READ_TIMEOUT_MS * MS)
            raise VenueUnavailable(f"{asked} was not answered within {READ_TIMEOUT_MS // 1000} s")
        self._pass(half_ns + answer.delay_ms * MS)
        if answer.fate is not Fate.ANSWER:
            raise VenueUnavailable(f"{asked} was not answered ({answer.fate})")
        if not 200 <= answer.status < 300:
            raise error_of(answer.status, answer.body, asked, retry_after=answer.headers.get("Retry-After", ""))
        return _object(answer.body, asked)

    def close(self) -> None:
        """Nothing to close: there is no connection."""

    def _pass(self, duration_ns: int) -> None:
        self._move(self._clock.now_ns() + duration_ns)


def open_inprocess(
    gateway: Gateway, clock: Clock, feed: InProcessFeed, chance: Random, account_id: str | None = None,
    retries_max: int = RETRIES_MAX,
) -> RetryingTransport:
    """Return the transport of the simulated venue. Backoff passes in venue time, and the feed sees all of it."""
    transport = InProcessTransport(gateway, clock, feed.move, chance, account_id)

    def wait(seconds: float) -> None:
        feed.move(clock.now_ns() + int(seconds * NS))

    return RetryingTransport(transport, chance, wait, retries_max)


def _object(answer: bytes, asked: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.DecodeError as e:
        raise VenueUnavailable(f"{asked} was answered with something that is no JSON object") from e
