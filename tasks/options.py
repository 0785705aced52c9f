"""How every stage task behaves in Prefect, said once."""

from __future__ import annotations

from typing import Any

from prefect.cache_policies import NO_CACHE

# Reads may be repeated after an outage; a stage that can place an order, or judge one, is never re-rolled.
READS: dict[str, Any] = {"retries": 1, "retry_delay_seconds": 2, "cache_policy": NO_CACHE, "persist_result": True}
ACTS: dict[str, Any] = {"retries": 0, "cache_policy": NO_CACHE, "persist_result": True}
