"""How much to send: the impact model and the three sizing modes. One model everywhere."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from trading_core.money import ZERO, Bps, Notional

IMPACT_AT_L1 = Decimal(5)
IMPACT_AT_L10 = Decimal(25)
IMPACT_BEYOND = Decimal(100)
AGGRESSIVE_FACTOR = Decimal(2)


class SizingMode(StrEnum):
    """STRICT: all or nothing. CONSERVATIVE: down to the limit. AGGRESSIVE: up to twice the limit."""

    STRICT = "STRICT"
    CONSERVATIVE = "CONSERVATIVE"
    AGGRESSIVE = "AGGRESSIVE"


class Depth(msgspec.Struct, frozen=True):
    """Notional at the touch (l1) and over ten levels (l10), one side, in quote currency."""

    l1: Notional
    l10: Notional


class Sizing(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of sizing: the notional to send, and the impact that the model expects of it."""

    notional: Notional
    impact_bps: Bps
    is_sized_down: bool


def impact_bps(notional: Notional, depth: Depth) -> Bps:
    """Return the modelled impact of taking the notional: 5·s/L1, then 5 + 20·√((s−L1)/(L10−L1)), then 100."""
    if notional <= 0:
        return ZERO
    if notional <= depth.l1:
        return IMPACT_AT_L1 * notional / depth.l1
    if notional <= depth.l10:
        share = (notional - depth.l1) / (depth.l10 - depth.l1)
        return IMPACT_AT_L1 + (IMPACT_AT_L10 - IMPACT_AT_L1) * share.sqrt()
    return IMPACT_BEYOND


def largest_notional(limit_bps: Bps, depth: Depth) -> Notional:
    """Return the largest notional whose modelled impact stays within the limit; zero if none does.

    >>> largest_notional(Decimal(10), Depth(Decimal(50_000), Decimal(200_000)))
    Decimal('59375.0000')
    """
    if limit_bps <= 0 or depth.l1 <= 0:
        return ZERO
    if limit_bps <= IMPACT_AT_L1:
        return depth.l1 * limit_bps / IMPACT_AT_L1
    if limit_bps < IMPACT_AT_L10:
        share = (limit_bps - IMPACT_AT_L1) / (IMPACT_AT_L10 - IMPACT_AT_L1)
        return depth.l1 + share * share * (depth.l10 - depth.l1)
    return depth.l10


def size_order(target: Notional, depth: Depth, limit_bps: Bps, mode: SizingMode) -> Sizing:
    """Return what may be sent of the target under the impact limit; zero where the mode refuses."""
    cap = largest_notional(limit_bps * (AGGRESSIVE_FACTOR if mode is SizingMode.AGGRESSIVE else 1), depth)
    if target <= cap:
        return Sizing(notional=target, impact_bps=impact_bps(target, depth), is_sized_down=False)
    allowed = ZERO if mode is SizingMode.STRICT else cap
    return Sizing(notional=allowed, impact_bps=impact_bps(allowed, depth), is_sized_down=True)
