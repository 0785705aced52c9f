"""Keeps us under the venue's rate limits, so that a cancel never waits behind questions."""

from __future__ import annotations

from typing import Any

from trading_core.advanced_trade.broker_transport import API, CREATE_ORDER, Body, Query, RestTransport
from trading_core.clock import NS, Clock
from trading_core.errors import RateLimited

PRIVATE_PER_S = 30  # per user, on private paths
PUBLIC_PER_S = 10  # per address, on public paths
# What must be left in the bucket for a request to go now: questions leave room for orders, orders for cancels.
KEPT_BY_QUESTIONS = 10
KEPT_BY_ORDERS = 3
PUBLIC_PATHS = frozenset({f"{API}/time"})
CANCEL_ORDERS = f"{API}/orders/batch_cancel"


class Bucket:
    """A token bucket of one second's depth, refilled in venue time."""

    def __init__(self, per_s: int, clock: Clock) -> None:
        self._per_s = per_s
        self._clock = clock
        self._tokens = float(per_s)
        self._at_ns = clock.now_ns()

    def take(self, keep: int) -> None:
        """Take one token and leave `keep` behind; waits until there are that many."""
        self._refill()
        if (missing := keep + 1 - self._tokens) > 0:
            self._clock.wait_until(self._at_ns + int(missing / self._per_s * NS) + 1)
            self._refill()
        self._tokens -= 1

    def empty(self) -> None:
        """Start from nothing: the venue counted more requests than we did."""
        self._refill()
        self._tokens = min(self._tokens, 0.0)

    def _refill(self) -> None:
        now_ns = self._clock.now_ns()
        grown = self._tokens + max(0, now_ns - self._at_ns) / NS * self._per_s
        self._tokens, self._at_ns = min(float(self._per_s), grown), max(now_ns, self._at_ns)


class PacedTransport:
    """A transport that waits for its budget before each request and backs off after a 429."""

    def __init__(self, transport: RestTransport, clock: Clock) -> None:
        self._transport = transport
        self._private = Bucket(PRIVATE_PER_S, clock)
        self._public = Bucket(PUBLIC_PER_S, clock)

    def request(
        self, method: str, path: str, params: Query | None = None, body: Body | None = None
    ) -> dict[str, Any]:
        """Return the answer's body once the budget allows the question."""
        bucket = self._public if path in PUBLIC_PATHS else self._private
        bucket.take(0 if bucket is self._public else _kept(path))
        try:
            return self._transport.request(method, path, params, body)
        except RateLimited:
            bucket.empty()
            raise

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


def _kept(path: str) -> int:
    if path == CANCEL_ORDERS:
        return 0
    return KEPT_BY_ORDERS if path == CREATE_ORDER else KEPT_BY_QUESTIONS
