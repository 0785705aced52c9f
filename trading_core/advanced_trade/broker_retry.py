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
    Urgency,
    is_repeatable,
)
from trading_core.errors import RateLimited, VenueUnavailable

RETRIES_MAX = 2  # after the first attempt, where no plan says fewer; a plan allows fewer than three per order
BACKOFF_S = 0.25  # doubled with each retry, with full jitter
RETRY_AFTER_MAX_S = 2.0  # a longer wait is not for a trading loop: the caller is told and asks again when it likes


class RetryingTransport:
    """A transport that repeats what changes nothing, with jittered backoff; a create is never repeated.

    A 401 is repeated once with a fresh token, whatever the request: what was refused was not processed. After other
    retries that repeat is one of them, so that a request is never sent more often than the plan allows.
    """

    def __init__(
        self, transport: RestTransport, chance: Random, wait: Callable[[float], None],
        retries_max: int = RETRIES_MAX,
    ) -> None:
        self._transport = transport
        self._chance = chance
        self._wait = wait
        self._retries_max = retries_max
        self._repeats = 0

    @property
    def repeats(self) -> int:
        """How many requests were sent again so far."""
        return self._repeats

    def request(
        self, method: str, path: str, params: Query | None = None, body: Body | None = None,
        urgency: Urgency = Urgency.QUESTION,
    ) -> dict[str, Any]:
        """Return the answer's body; raises the VenueError of the last attempt."""
        left = self._retries_max if is_repeatable(method, path) else 0
        may_sign_again, attempt = True, 0
        while True:
            try:
                return self._transport.request(method, path, params, body, urgency)
            except TokenRefused:
                if not may_sign_again or (left == 0 and attempt > 0):
                    raise
                may_sign_again = False
            except (VenueUnavailable, RateLimited) as e:
                asked_s = e.retry_after_s if isinstance(e, RateLimited) else 0.0
                if left == 0 or asked_s > RETRY_AFTER_MAX_S:
                    raise
                self._wait(asked_s + self._chance.uniform(0, BACKOFF_S * 2**attempt))
                attempt += 1
            left = max(left - 1, 0)
            self._repeats += 1

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()
