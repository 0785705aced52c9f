"""Numbers as clients write them: decimal strings of a sane length."""

from __future__ import annotations

import re
from decimal import Decimal

# More digits than any product has, few enough that no sum can grow without bound.
_NUMBER = re.compile(r"[+-]?\d{1,24}(\.\d{0,24})?([eE][+-]?\d{1,2})?")


def parse_number(text: str) -> Decimal | None:
    """Return the decimal of a wire string, or None for anything that is not a sane number."""
    return Decimal(text) if _NUMBER.fullmatch(text) and text.isascii() else None
