"""Sends again what may be sent again: questions and cancels after an outage, anything after a refused token."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from trading_core.advanced_trade.broker_transport import (
    Body,
    Query,
    RestTransport,
    TokenRefused,
    is_repeatable,
)
from trading_core.errors import RateLimited, VenueUnavailable

RETRIES_MAX = 2  # after the first attempt; the plan allows fewer than three per order
BACKOFF_S = 0.25  # doubled with each retry, with full jitter


class RetryingTransport:
    """A transport that repeats what changes nothing, with jittered backoff; a create is never repeated.

    A 401 is repeated once with a fresh token, whatever the request: what was refused was not processed.
    """

    def __init__(
        self, transport: RestTransport, chance: Random, wait: Callable[[float], None],
        retries_max: int = RETRIES_MAX,
    ) -> None:
        self._transport = transport
        self._chance = chance
        self._wait = wait
        self._retries_max = retries_max

    def request(
        self, method: str, path: str, params: Query | None = None, body: Body | None = None
    ) -> dict[str, Any]:
        """Return the answer's body; raises the VenueError of the last attempt."""
        retries = self._retries_max if is_repeatable(method, path) else 0
        for attempt in range(retries):
            try:
                return self._signed_twice(method, path, params, body)
            except (VenueUnavailable, RateLimited):
                self._wait(self._chance.uniform(0, BACKOFF_S * 2**attempt))
        return self._signed_twice(method, path, params, body)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _signed_twice(self, method: str, path: str, params: Query | None, body: Body | None) -> dict[str, Any]:
        try:
            return self._transport.request(method, path, params, body)
        except TokenRefused:
            return self._transport.request(method, path, params, body)
