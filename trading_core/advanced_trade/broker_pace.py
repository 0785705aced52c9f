"""Keeps us under the venue's rate limits, so that a cancel never waits behind entries, nor an exit behind questions."""

from __future__ import annotations

from typing import Any

from trading_core.advanced_trade.broker_transport import API, CREATE_ORDER, Body, Query, RestTransport, Urgency
from trading_core.clock import NS, Clock
from trading_core.errors import RateLimited

PUBLIC_PER_S = 10  # per address, on public paths
PRIVATE_PER_S = 30  # per user, on private paths
PRIVATE_PER_H = 10_000  # per key, on private paths
ORDERS_PER_S = 15  # our own share for what places and changes orders, so that half is left for asking about them
# What must be left in a bucket for a request of that urgency to go now. An entry never takes the last tokens, which
# are for exits and cancels; a cancel may take any.
KEPT_BY_SECOND = {Urgency.QUESTION: 10, Urgency.ENTRY: 6, Urgency.EXIT: 3, Urgency.CANCEL: 0}
KEPT_BY_HOUR = {Urgency.QUESTION: 2_000, Urgency.ENTRY: 1_000, Urgency.EXIT: 300, Urgency.CANCEL: 0}
KEPT_OF_ORDERS = {Urgency.ENTRY: 5, Urgency.EXIT: 0}
PUBLIC_PATHS = frozenset({f"{API}/time"})
ORDER_PATHS = frozenset({CREATE_ORDER, f"{API}/orders/edit"})
WAIT_MAX_S = 2.0  # of venue time; the one thread that waits here has cancels to send and books to follow
HOUR_S = 3_600


class Bucket:
    """A token bucket as deep as its limit, refilled in venue time."""

    def __init__(self, limit: int, clock: Clock, period_s: int = 1) -> None:
        self._limit = limit
        self._period_ns = period_s * NS
        self._clock = clock
        self._tokens = float(limit)
        self._at_ns = self._held_until_ns = clock.now_ns()

    def ready_ns(self, keep: int) -> int:
        """Return the venue time at which a token can be taken that leaves `keep` behind."""
        self._refill()
        missing = keep + 1 - self._tokens
        filled_ns = self._at_ns + int(missing / self._limit * self._period_ns) + 1 if missing > 0 else self._at_ns
        return max(filled_ns, self._held_until_ns)

    def take(self) -> None:
        """Take one token."""
        self._refill()
        self._tokens -= 1

    def refused(self, retry_after_s: float) -> None:
        """The venue counted more requests than we did: start from nothing, once the time it asked for is over."""
        self._refill()
        self._tokens = min(self._tokens, 0.0)
        self._held_until_ns = max(self._held_until_ns, self._at_ns + int(retry_after_s * NS))

    def _refill(self) -> None:
        now_ns = self._clock.now_ns()
        grown = self._tokens + max(0, now_ns - self._at_ns) / self._period_ns * self._limit
        self._tokens, self._at_ns = min(float(self._limit), grown), max(now_ns, self._at_ns)


class PacedTransport:
    """A transport that waits for its budget before each request and backs off after a 429.

    Raises RateLimited without sending anything when the wait would be longer than two seconds.
    """

    def __init__(self, transport: RestTransport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._public = Bucket(PUBLIC_PER_S, clock)
        self._by_second = Bucket(PRIVATE_PER_S, clock)
        self._by_hour = Bucket(PRIVATE_PER_H, clock, HOUR_S)
        self._orders = Bucket(ORDERS_PER_S, clock)

    @property
    def repeats(self) -> int:
        """How many requests were sent again so far."""
        return self._transport.repeats

    def request(
        self, method: str, path: str, params: Query | None = None, body: Body | None = None,
        urgency: Urgency = Urgency.QUESTION,
    ) -> dict[str, Any]:
        """Return the answer's body once the budget allows the question."""
        budget = self._budget(method, path, urgency)
        self._wait_for(budget, f"{method} {path}")
        for bucket, _ in budget:
            bucket.take()
        try:
            return self._transport.request(method, path, params, body, urgency)
        except RateLimited as e:
            for bucket, _ in budget:
                if bucket is not self._by_hour:  # or a burst of one second would stop us for the rest of the hour
                    bucket.refused(e.retry_after_s)
            raise

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _budget(self, method: str, path: str, urgency: Urgency) -> list[tuple[Bucket, int]]:
        """Return the buckets that the request takes from, and how much it leaves in each."""
        if path in PUBLIC_PATHS:
            return [(self._public, 0)]
        budget = [(self._by_second, KEPT_BY_SECOND[urgency]), (self._by_hour, KEPT_BY_HOUR[urgency])]
        if method == "POST" and path in ORDER_PATHS:
            budget.append((self._orders, KEPT_OF_ORDERS.get(urgency, KEPT_OF_ORDERS[Urgency.ENTRY])))
        return budget

    def _wait_for(self, budget: list[tuple[Bucket, int]], asked: str) -> None:
        ready_ns = max(bucket.ready_ns(keep) for bucket, keep in budget)
        if (wait_s := (ready_ns - self._clock.now_ns()) / NS) > WAIT_MAX_S:
            raise RateLimited(
                f"{asked} was not sent: the rate budget is free again in {wait_s:.1f} s (limit {WAIT_MAX_S:.0f} s), "
                "ask again then", wait_s,
            )
        if wait_s > 0:
            self._clock.wait_until(ready_ns)
