"""Parses bodies of the venue once, at the edge: what is missing or has another form is named, never guessed."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from trading_core.clock import from_iso
from trading_core.errors import SchemaDrift
from trading_core.money import ZERO, decimal_of

T = TypeVar("T")
_MISSING = re.compile(r"Object missing required field `(?P<member>[^`]+)`(?: - at `\$(?P<path>[^`]*)`)?")
_WRONG = re.compile(r"(?P<text>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)


class Amount(msgspec.Struct, frozen=True):
    """Money with its currency, as REST writes it."""

    value: str
    currency: str = ""


def parse(payload: dict[str, Any], model: type[T], where: str) -> T:
    """Return the body as the model; raises SchemaDrift that names the path and the member."""
    try:
        return msgspec.convert(payload, model)
    except msgspec.ValidationError as e:
        raise SchemaDrift(drift_text(where, str(e))) from e


def drift_text(where: str, error: str) -> str:
    """Return msgspec's complaint in our words: "NewOrderResponse.success_response.order_id missing"."""
    if found := _MISSING.match(error):
        return f"{where}{_dotted(found['path'])}.{found['member']} missing"
    wrong = _WRONG.match(error)
    path = wrong["path"] if wrong else ""
    return f"{where}{_dotted(path)}: {wrong['text'] if wrong else error}"


def number(text: str, member: str) -> Decimal:
    """Return the decimal of a member that must have one."""
    try:
        return decimal_of(text)
    except (TypeError, ValueError) as e:
        raise SchemaDrift(f"{member}: {e}") from e


def positive(text: str, member: str) -> Decimal:
    """Return the decimal of a member that we divide by."""
    if (value := number(text, member)) <= 0:
        raise SchemaDrift(f"{member}: {text!r} is not above zero")
    return value


def number_or_zero(text: str, member: str) -> Decimal:
    """Return the decimal of a member that the venue may leave empty."""
    return number(text, member) if text else ZERO


def number_or_none(text: str | None, member: str) -> Decimal | None:
    """Return the decimal of a member, or None if it is empty."""
    return number(text, member) if text else None


def money(amount: Amount | str | None, member: str) -> Decimal:
    """Return the value of an amount; an unset one is zero. Some surfaces write it as a plain string."""
    value = amount.value if isinstance(amount, Amount) else amount
    return number_or_zero(value or "", member)


def moment_ns(text: str, member: str) -> int:
    """Return nanoseconds since the epoch of an RFC 3339 time."""
    try:
        return from_iso(text)
    except ValueError as e:
        raise SchemaDrift(f"{member}: {text!r} is not an RFC 3339 time") from e


def _dotted(path: str | None) -> str:
    return re.sub(r"\[[^\]]*\]", "", path or "")
