"""Rate limits: a token bucket for each user and address, counted in venue time so that speed does not matter."""

from __future__ import annotations

from collections import OrderedDict

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from trading_core.clock import NS

BUCKETS_MAX = 10_000  # addresses remembered at once


class RateLimits(BaseModel):
    """Requests a venue second; 0 switches a limit off."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    private_per_s: int = Field(default=30, ge=0)
    public_per_s: int = Field(default=10, ge=0)
    # The limit of the current page, on top of the older ones: 10,000 requests an hour of a key.
    private_per_h: int = Field(default=0, ge=0)


class Spend(msgspec.Struct, frozen=True):
    """The outcome of one request: whether it may pass, and what the headers say."""

    is_allowed: bool
    limit: int
    remaining: int

    def headers(self) -> dict[str, str]:
        """Return the three headers; the SDK reads exactly these lower-case names."""
        return {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(self.remaining),
            "x-ratelimit-reset": "1",
        }


class Throttle:
    """Token buckets of one second's depth; the least recently used one is forgotten at the limit."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def spend(self, who: str, per_s: int, now_ns: int, period_ns: int = NS) -> Spend:
        """Take one token of `who`, refilled at `per_s` a venue second (or other period)."""
        if per_s <= 0:
            return Spend(True, 0, 0)
        tokens, at_ns = self._buckets.pop(who, (float(per_s), now_ns))
        tokens = min(float(per_s), tokens + max(0, now_ns - at_ns) / period_ns * per_s)
        is_allowed = tokens >= 1
        tokens -= is_allowed
        self._buckets[who] = (tokens, max(now_ns, at_ns))
        while len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)
        return Spend(is_allowed, per_s, int(tokens))
