"""Money is an exact decimal made of a string; grids are never missed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_core.money import ceil_to, decimal_of, floor_to, is_multiple, plain, to_cents

numbers = st.decimals(min_value="-1E+12", max_value="1E+12", allow_nan=False, allow_infinity=False, places=8)
increments = st.sampled_from([Decimal(text) for text in ("0.00000001", "0.01", "0.05", "0.3", "1", "5", "7")])


@pytest.mark.parametrize("value", [0.1, 1.0, True, None, b"1", float("nan")])
def test_money_refuses_what_is_no_string_integer_or_decimal(value: object) -> None:
    with pytest.raises(TypeError, match="write money as a string"):
        decimal_of(value)  # type: ignore[arg-type]  # the point of the test


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-inf", "sNaN", "", "1,5", "twelve", Decimal("NaN")])
def test_money_refuses_text_that_is_no_finite_number(value: str | Decimal) -> None:
    with pytest.raises(ValueError, match="not"):
        decimal_of(value)


def test_money_keeps_every_digit() -> None:
    assert str(decimal_of("0.10000000000000000000000000000000001")) == "0.10000000000000000000000000000000001"


@pytest.mark.parametrize(
    ("value", "text"),
    [("100.50", "100.5"), ("1E+3", "1000"), ("-0.00", "0"), ("0", "0"), ("1E-8", "0.00000001"), ("-12.340", "-12.34"),
     ("100", "100"), ("0.0", "0")],
)
def test_plain_text_has_no_exponent_and_no_trailing_zeros(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


@given(numbers)
def test_plain_text_reads_back_as_the_same_number(value: Decimal) -> None:
    assert Decimal(plain(value)) == value


@given(numbers, increments)
def test_floor_and_ceiling_enclose_the_value_on_the_grid(value: Decimal, increment: Decimal) -> None:
    low, high = floor_to(value, increment), ceil_to(value, increment)

    assert low <= value <= high
    assert high - low in (0, increment)
    assert is_multiple(low, increment)
    assert is_multiple(high, increment)


def test_floor_never_rises_above_a_value_of_many_digits() -> None:
    value = Decimal("2." + "9" * 40)
    assert floor_to(value, Decimal(1)) == 2


def test_a_number_too_long_for_any_grid_is_on_none() -> None:
    assert not is_multiple(Decimal("1E+300"), Decimal("0.01"))


def test_cents_round_half_to_even() -> None:
    assert [to_cents(Decimal(text)) for text in ("0.005", "0.015", "-0.025")] == [
        Decimal("0.00"), Decimal("0.02"), Decimal("-0.02")
    ]
