"""Query strings as the gateway parses them: repeated keys are lists, enums and numbers are checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trading_core.advanced_trade.emit import schema
from trading_core.advanced_trade.gateway_http import Pairs, unparsable
from trading_core.clock import from_iso

TRUE = frozenset({"true", "True", "TRUE", "1", "t", "T"})
FALSE = frozenset({"false", "False", "FALSE", "0", "f", "F"})
INT32_MAX = 2**31 - 1


def parse_query(pairs: Pairs, specs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the operation's parameters by name, absent ones left out; raises ApiError 400."""
    values: dict[str, Any] = {}
    for spec in specs:
        name, shape = spec["name"], spec["schema"]
        given = [value for key, value in pairs if key == name]
        if shape.get("type") == "array":
            values[name] = [_value(name, shape["items"], text) for text in given if text != ""]
            continue
        given = [text for text in given if text != ""]
        if len(given) > 1:
            raise unparsable(f'too many values for field "{name}": {", ".join(given)}')
        if given:
            values[name] = _value(name, shape, given[0])
    return values


def _value(name: str, shape: dict[str, Any], text: str) -> Any:
    if "$ref" in shape:
        shape = schema(shape["$ref"].rsplit("/", 1)[1])
    if "enum" in shape:
        if text not in shape["enum"]:
            raise unparsable(f'parsing field "{name}": "{text}" is not a valid value')
        return text
    match shape.get("type"):
        case "boolean":
            if text not in TRUE | FALSE:
                raise unparsable(f'parsing field "{name}": strconv.ParseBool: parsing "{text}": invalid syntax')
            return text in TRUE
        case "integer":
            return _integer(name, text)
    if shape.get("format") == "date-time":
        return _time(name, text)
    return text


def _integer(name: str, text: str) -> int:
    try:
        number = int(text) if text.isascii() else None
    except ValueError:
        number = None
    if number is None or abs(number) > INT32_MAX:
        problem = "invalid syntax" if number is None else "value out of range"
        raise unparsable(f'parsing field "{name}": strconv.ParseInt: parsing "{text}": {problem}')
    return number


def _time(name: str, text: str) -> int:
    """Return nanoseconds of an RFC 3339 time."""
    try:
        return from_iso(text)
    except (ValueError, OverflowError) as e:
        raise unparsable(f'parsing field "{name}": parsing time "{text}" as RFC 3339: cannot parse') from e
