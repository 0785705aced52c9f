"""Bodies as Coinbase's gateway emits them: every member of the schema, unset ones with their zero value.

Compiled once from `contract/openapi.json`, so that no member can be forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from trading_core.clock import NS, to_datetime
from trading_core.errors import InvariantBroken
from trading_core.money import plain

Json: TypeAlias = Any
Emitter: TypeAlias = Callable[[Any], Json]

_CONFIG_SIZES = frozenset({"quote_size", "base_size", "currency_size"})
_CONFIGS = ("MarketMarketIoc", "MarketMarketFok", "SorLimitIoc", "LimitLimitGtc", "LimitLimitGtd", "LimitLimitFok",
            "TwapLimitGtd", "ScaledLimitGtc")
# Members of a protobuf `oneof`, and those that production leaves out: absent on the wire while unset.
ABSENT_WHEN_UNSET: dict[str, frozenset[str]] = {
    "NewOrderResponse": frozenset({"success_response", "error_response"}),
    "ClosePositionResponse": frozenset({"success_response", "error_response"}),
    **dict.fromkeys(_CONFIGS, _CONFIG_SIZES),
}
_ZERO_NAMES = ("UNKNOWN", "UNDEFINED", "UNSPECIFIED")


@cache
def contract() -> dict[str, Any]:
    """Return the OpenAPI document of the venue. Do not change it: it is shared."""
    source = files("trading_core.advanced_trade") / "contract" / "openapi.json"
    document: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    return document


@cache
def schema(name: str) -> dict[str, Any]:
    """Return one named schema of the contract."""
    found: dict[str, Any] = contract()["components"]["schemas"][name]
    return found


def emit(name: str, values: Mapping[str, Any]) -> dict[str, Json]:
    """Return the body of the named schema: given values in wire form, everything else at its zero.

    Decimal becomes a plain string, an int in a time member (nanoseconds) RFC 3339, an int64 a string.
    Raises InvariantBroken for a member that the schema does not have.
    """
    body: dict[str, Json] = _message(name)(values)
    return body


def rfc3339(ts_ns: int) -> str:
    """Return the time as Go writes it: Z, and up to nine fractional digits without trailing zeros.

    >>> rfc3339(1_500_000_000), rfc3339(2_000_000_000)
    ('1970-01-01T00:00:01.5Z', '1970-01-01T00:00:02Z')
    """
    head = to_datetime(ts_ns // NS * NS).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{ts_ns % NS:09d}".rstrip("0")
    return f"{head}.{fraction}Z" if fraction else f"{head}Z"


def dumps(body: Json) -> bytes:
    """Return JSON with Coinbase's spacing: a space after each comma, none after a colon."""
    return json.dumps(body, separators=(", ", ":"), ensure_ascii=False).encode("utf-8", "replace")


def zero_enum(name: str) -> str:
    """Return the zero name of an enum, e.g. UNKNOWN_MARGIN_TYPE."""
    members: list[str] = schema(name)["enum"]
    return next((m for m in members if m.startswith(_ZERO_NAMES) or m.endswith(_ZERO_NAMES)), members[0])


@cache
def _message(name: str) -> Emitter:
    if name == "OrderConfiguration":
        return _order_configuration
    properties: dict[str, Any] = schema(name)["properties"]
    if not properties:
        return lambda given: dict(given or {})
    absent = ABSENT_WHEN_UNSET.get(name, frozenset())
    members = [(key, key not in absent, *_member(spec)) for key, spec in properties.items()]

    def build(given: Any) -> Json:
        body = {}
        used = 0
        for key, is_always, zero, convert in members:
            value = given.get(key)
            if value is None:
                used += key in given
                if is_always:
                    body[key] = zero()
            else:
                used += 1
                body[key] = convert(value)
        if used != len(given):
            raise InvariantBroken(f"{name} has no member {sorted(set(given) - set(properties))}")
        return body

    return build


def _order_configuration(given: Any) -> Json:
    """Emit only the one key that is set: it is a oneof."""
    properties = schema("OrderConfiguration")["properties"]
    return {
        key: _message(properties[key]["anyOf"][0]["$ref"].rsplit("/", 1)[1])(value)
        for key, value in given.items() if value is not None
    }


def _member(spec: dict[str, Any]) -> tuple[Callable[[], Json], Emitter]:
    """Return how a member is zeroed and how a value of it is written."""
    if "anyOf" in spec:
        return (lambda: None), _member(spec["anyOf"][0])[1]
    if "$ref" in spec:
        return _reference(spec["$ref"].rsplit("/", 1)[1])
    kind, form = spec.get("type"), spec.get("format")
    if form == "date-time":
        return (lambda: None if isinstance(kind, list) else ""), _time
    if isinstance(kind, list):
        return (lambda: None), str
    match kind:
        case "array":
            item = _member(spec["items"])[1]
            return list, lambda values: [item(value) for value in values]
        case "boolean":
            return (lambda: False), bool
        case "integer":
            return (lambda: 0), int
        case "number":
            return (lambda: 0), _number
        case "object":
            return dict, dict
    zero = "0" if form == "int64" else ""
    return (lambda: zero), _text


def _reference(name: str) -> tuple[Callable[[], Json], Emitter]:
    target = schema(name)
    if "enum" in target:
        zero = zero_enum(name)
        return (lambda: zero), str
    if "properties" not in target:
        return _member(target)
    # A required message: production sends it empty rather than null.
    return (lambda: _message(name)({})), lambda value: _message(name)(value)


def _text(value: Any) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def _number(value: Any) -> int | float:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if isinstance(value, int) else float(value)


def _time(value: Any) -> str:
    return rfc3339(value) if isinstance(value, int) else str(value)
