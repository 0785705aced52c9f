"""Faults of the REST side: drawn from the fault plan, one counter for each kind, so that a seed repeats them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from trading_core.advanced_trade.gateway_http import (
    EDGE_HTML,
    RATE_LIMITED_HTML,
    RATE_LIMITED_JSON,
    UNAUTHORIZED,
    Fate,
    Response,
    internal,
)
from trading_core.local_exchange.faults import FaultPlan

RESET = Response(status=0, body=b"", fate=Fate.RESET)


class RestFaults:
    """Decides for each request what goes wrong. The plan is read anew each time: it may be switched while running."""

    def __init__(self, plan: Callable[[], FaultPlan]) -> None:
        self._plan = plan
        self._counts: Counter[str] = Counter()

    def before(self, is_create: bool, is_private: bool) -> Response | None:
        """Return what is answered instead of processing the request, or None."""
        plan = self._plan()
        if self._hits("hang", plan.hang_share):
            return msgspec.structs.replace(RESET, delay_ms=int(plan.hang_s * 1_000))
        if self._hits("server_error", plan.server_error_share):
            return EDGE_HTML if plan.server_error_as_html else internal()
        if self._hits("rate_limited", plan.rate_limited_share):
            return RATE_LIMITED_HTML if plan.rate_limited_as_html else RATE_LIMITED_JSON
        if is_private and self._hits("unauthorized", plan.unauthorized_share):
            return UNAUTHORIZED
        if is_create and self._hits("create_reset_before", plan.create_reset_before_share):
            return RESET
        return None

    def after_create(self) -> tuple[Response | None, bool]:
        """Return what is answered although the order was booked, and whether the user channel keeps silent."""
        plan = self._plan()
        if self._hits("create_booked_but_500", plan.create_booked_but_500_share):
            return internal(), not plan.create_booked_but_500_pushes_user
        if self._hits("create_reset_after", plan.create_reset_after_share):
            return RESET, False
        return None, False

    def after_edit(self) -> Response | None:
        """Return what is answered although the edit was accepted, or None."""
        return internal() if self._hits("edit_done_but_500", self._plan().edit_done_but_500_share) else None

    def delay_ms(self) -> int:
        """Return how long the answer is held back, in real milliseconds."""
        plan = self._plan()
        if not plan.latency_ms and not plan.latency_jitter_ms:
            return 0
        self._counts["latency"] += 1
        return plan.latency_ms + int(plan.latency_jitter_ms * plan.draw("latency", self._counts["latency"]))

    def drifted(self, body: Any) -> Any:
        """Return the body with the plan's members removed and renamed everywhere, and new ones added at the top."""
        plan = self._plan()
        if not plan.removed_members and not plan.added_members and not plan.renamed_members:
            return body
        kept = _changed(body, frozenset(plan.removed_members), dict(plan.renamed_members))
        return {**kept, **dict.fromkeys(plan.added_members, "")} if isinstance(kept, dict) else kept

    def _hits(self, kind: str, share: float) -> bool:
        if not share:
            return False
        self._counts[kind] += 1
        return self._plan().hits(kind, self._counts[kind], share)


def _changed(body: Any, removed: frozenset[str], names: dict[str, str]) -> Any:
    if isinstance(body, dict):
        rows = body.items()
        return {names.get(key, key): _changed(value, removed, names) for key, value in rows if key not in removed}
    if isinstance(body, list):
        return [_changed(item, removed, names) for item in body]
    return body
