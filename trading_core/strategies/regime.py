"""The regime of a market by three figures, with hysteresis: what was entered is left a little later."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from trading_core.money import ONE, Bps

# Limits by what was seen on the recorded days: mean move of 10 s samples, move over the window, spread.
ROUGH_VOLATILITY_BPS = Decimal("2.5")
TREND_BPS = Decimal(25)
WIDE_SPREAD_BPS = Decimal(5)
STAY_SHARE = Decimal("0.75")  # of a limit: below it a regime is left


class Regime(StrEnum):
    """What the market is like."""

    ROUGH = "ROUGH"  # wide or jumping: quote little, and not on both sides
    TRENDING = "TRENDING"
    CALM = "CALM"


class Figures(NamedTuple):
    """Spread, volatility and trend of the market, means over the products."""

    spread_bps: Bps
    volatility_bps: Bps
    trend_bps: Bps


def regime_of(figures: Figures, now: Regime | None) -> Regime:
    """Return the regime; the present one is kept until its figure is clearly below the limit.

    >>> regime_of(Figures(Decimal(1), Decimal(1), Decimal(20)), Regime.TRENDING)
    <Regime.TRENDING: 'TRENDING'>
    """
    rough = STAY_SHARE if now is Regime.ROUGH else ONE
    if figures.spread_bps > WIDE_SPREAD_BPS * rough or figures.volatility_bps > ROUGH_VOLATILITY_BPS * rough:
        return Regime.ROUGH
    trending = STAY_SHARE if now is Regime.TRENDING else ONE
    return Regime.TRENDING if abs(figures.trend_bps) > TREND_BPS * trending else Regime.CALM
