"""Reconciliation: our books against the venue, item by item."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.core_builders import T0_NS, make_account, make_fill, make_future, make_product
from trading_core.ledger import Ledger
from trading_core.reconcile import Held, reconcile

BIP = "BIP-20DEC30-CDE"


def make_ledger() -> Ledger:
    marks = {"BTC-USD": Decimal(50_000), BIP: Decimal(50_000)}
    # The future first: its mark is of a hundredth of a coin, and must not value coins.
    ledger = Ledger([make_future(), make_product()], {"USD": Decimal(1000), "DOGE": Decimal(3)}, marks)
    ledger.book_fill(make_fill(size="0.01", commission="0.50"))
    ledger.book_fill(make_fill("e2", size="2", product_id=BIP))
    return ledger


VENUE = {"USD": "499.50", "BTC": "0.01", "DOGE": "3"}


def test_books_that_agree_have_no_drift() -> None:
    result = reconcile(make_ledger(), make_account(VENUE, {BIP: "2"}), is_quiescent=True)
    assert (result.drift, result.differences, result.is_quiescent, result.ts_ns) == (0, (), True, T0_NS)


@pytest.mark.parametrize(
    ("balances", "positions", "drift"),
    [
        ({"USD": "499.48"}, {}, "0.02"),
        ({"USD": "500.50"}, {}, "1"),
        ({"BTC": "0.0099"}, {}, "5"),
        ({"USD": "504.50", "BTC": "0.0099"}, {}, "10"),  # two errors that cancel are two errors
        ({}, {BIP: "1"}, "500"),
        ({}, {BIP: "-2"}, "2000"),
        ({"USDC": "0.01"}, {}, "0.01"),
    ],
)
def test_drift_is_the_sum_of_absolute_differences_at_the_marks(
    balances: dict[str, str], positions: dict[str, str], drift: str
) -> None:
    account = make_account({**VENUE, **balances}, {BIP: "2", **positions})
    result = reconcile(make_ledger(), account, is_quiescent=True)
    assert (result.drift, result.unpriced) == (Decimal(drift), ())


def test_each_difference_is_explained() -> None:
    account = make_account({**VENUE, "USD": "499.48"}, {BIP: "3"})
    money, contracts = reconcile(make_ledger(), account, is_quiescent=False).differences
    assert (money.name, money.held, money.usd) == ("USD", Held.CURRENCY, Decimal("-0.02"))
    assert money.explain() == "USD: venue 499.48, books 499.5 (-0.02 USD)"
    assert contracts.explain() == f"{BIP}: venue 3, books 2 (500 USD)"


def test_what_the_venue_does_not_report_is_missing() -> None:
    result = reconcile(make_ledger(), make_account({"USD": "499.50", "DOGE": "3"}), is_quiescent=True)
    assert [d.name for d in result.differences] == ["BTC", BIP]
    assert result.drift == 1500


def test_a_difference_without_a_price_is_named_and_not_counted_as_none() -> None:
    account = make_account({**VENUE, "DOGE": "2"}, {BIP: "2", "ETP-20DEC30-CDE": "1"})
    result = reconcile(make_ledger(), account, is_quiescent=True)
    assert result.drift == 0
    assert result.unpriced == ("DOGE", "ETP-20DEC30-CDE")


def test_an_unpriced_difference_says_so() -> None:
    result = reconcile(make_ledger(), make_account({**VENUE, "DOGE": "2"}, {BIP: "2"}), is_quiescent=True)
    assert result.differences[0].explain() == "DOGE: venue 2, books 3 (not priced)"


def test_the_venues_zero_is_no_difference() -> None:
    account = make_account({**VENUE, "SOL": "0.00"}, {BIP: "2", "SLP-20DEC30-CDE": "0"})
    assert reconcile(make_ledger(), account, is_quiescent=True).differences == ()
