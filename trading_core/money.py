"""Decimals for money, price and size: made from strings, rounded in one place and on purpose."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import TypeAlias

Price: TypeAlias = Decimal
Size: TypeAlias = Decimal
Notional: TypeAlias = Decimal
Bps: TypeAlias = Decimal

ZERO = Decimal("0")
ONE = Decimal("1")
BPS = Decimal("10000")
CENT = Decimal("0.01")
# Wide enough for any quotient of a price or size and its increment: a grid is never missed by rounding.
_GRID = Context(prec=120)


def decimal_of(value: str | int | Decimal) -> Decimal:
    """Return the exact, finite Decimal of a string or an integer; refuse a float.

    Raises TypeError for a float or a bool, ValueError for text that is no finite number.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise TypeError(f"{value!r} is a {type(value).__name__}: write money as a string, like \"0.1\"")
    try:
        number = Decimal(value)
    except InvalidOperation as e:
        raise ValueError(f"{value!r} is not a decimal number") from e
    if not number.is_finite():
        raise ValueError(f"{value!r} is not finite")
    return number


def plain(value: Decimal) -> str:
    """Return the number as Coinbase writes it: no exponent, no trailing zeros.

    >>> plain(Decimal("100.50")), plain(Decimal("1E+3")), plain(Decimal("-0.00"))
    ('100.5', '1000', '0')
    """
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def floor_to(value: Decimal, increment: Decimal) -> Decimal:
    """Return the largest multiple of the increment that is not above the value."""
    return _GRID.divide(value, increment).to_integral_value(ROUND_FLOOR) * increment


def ceil_to(value: Decimal, increment: Decimal) -> Decimal:
    """Return the smallest multiple of the increment that is not below the value."""
    return _GRID.divide(value, increment).to_integral_value(ROUND_CEILING) * increment


def to_cents(value: Decimal) -> Decimal:
    """Return the amount in whole cents, half to even: for display only."""
    return value.quantize(CENT, ROUND_HALF_EVEN)


def is_multiple(value: Decimal, increment: Decimal) -> bool:
    """Tell whether the value lies on the grid of the increment; one of over 120 digits does not."""
    try:
        return _GRID.remainder(value, increment) == 0
    except InvalidOperation:
        return False
