"""What every artifact shares: exact money, UTC times, and a header that says whose evidence it is.

In JSON every decimal is a string and every time RFC 3339 in UTC; in Python they are Decimal and integer
nanoseconds (cut to microseconds, so that reading back gives what was written).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from trading_core.clock import from_iso, iso
from trading_core.money import decimal_of, plain
from trading_core.plan import Level, PlanModel

SCHEMA_VERSION = 1


def _money(value: Any) -> Decimal:
    if not isinstance(value, str | Decimal):
        raise ValueError(f"{value!r} is a {type(value).__name__}: artifacts carry decimals as strings")
    return decimal_of(value)


def _instant(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{value!r} is no time: artifacts carry times as RFC 3339 in UTC")
    ts_ns = from_iso(value) if isinstance(value, str) else value
    return ts_ns - ts_ns % 1000


Money: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_money),
    PlainSerializer(plain, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}),
]
Instant: TypeAlias = Annotated[
    int,
    BeforeValidator(_instant),
    PlainSerializer(iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": "Z$"}),
]
Seq: TypeAlias = Annotated[int, Field(ge=0)]
Count: TypeAlias = Annotated[int, Field(ge=0)]


class Header(PlanModel):
    """Whose evidence this is, and of which window. The same in each artifact of a run."""

    run_id: str
    plan: str
    venue: str
    level: Level
    subject_digest: str
    source: str  # where market data and fills come from, in words
    day: str
    seed: int
    producer: str
    window_start: Instant
    window_end: Instant
    events: Count  # of the event store, ticks left out
    last_seq: Seq


class Artifact(PlanModel):
    """The base of every artifact; subclasses add `rows`."""

    schema_version: Literal[1] = 1
    header: Header
