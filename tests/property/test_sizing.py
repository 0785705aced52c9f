"""Laws of sizing: the closed form inverts the model, and less room never allows more."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from trading_core.sizing import AGGRESSIVE_FACTOR, Depth, SizingMode, impact_bps, largest_notional, size_order

TINY = Decimal("1E-18")  # what Decimal's 28 digits leave of a square root
money = st.decimals(min_value=0, max_value=10_000_000, places=2, allow_nan=False)
limits = st.decimals(min_value=0, max_value=60, places=2, allow_nan=False)
modes = st.sampled_from(SizingMode)


@st.composite
def depths(draw: st.DrawFn) -> Depth:
    l1 = draw(money)
    return Depth(l1=l1, l10=l1 + draw(money))


@given(depths(), limits)
def test_the_largest_notional_stays_within_the_limit(depth: Depth, limit: Decimal) -> None:
    assert impact_bps(largest_notional(limit, depth), depth) <= limit + TINY


@given(depths().filter(lambda depth: depth.l1 > 0), limits)
def test_a_cent_more_than_the_largest_notional_exceeds_the_limit(depth: Depth, limit: Decimal) -> None:
    largest = largest_notional(limit, depth)
    assert impact_bps(largest + Decimal("0.01"), depth) > limit


@given(depths(), money, money)
def test_more_notional_never_has_less_impact(depth: Depth, one: Decimal, other: Decimal) -> None:
    assert impact_bps(min(one, other), depth) <= impact_bps(max(one, other), depth)


@given(depths(), limits, limits)
def test_a_wider_limit_never_allows_less(depth: Depth, one: Decimal, other: Decimal) -> None:
    assert largest_notional(min(one, other), depth) <= largest_notional(max(one, other), depth)


@given(depths(), money, limits, modes)
def test_sizing_never_sends_more_than_wanted_nor_more_than_its_mode_allows(
    depth: Depth, target: Decimal, limit: Decimal, mode: SizingMode
) -> None:
    sizing = size_order(target, depth, limit, mode)

    assert 0 <= sizing.notional <= target
    assert sizing.is_sized_down == (sizing.notional < target)
    allowed = limit * AGGRESSIVE_FACTOR if mode is SizingMode.AGGRESSIVE else limit
    assert sizing.impact_bps <= allowed + TINY
