"""The ledger: each entry once, average cost, and an equity that is always explained."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.core_builders import make_fill, make_future, make_product
from trading_core.errors import ConfigurationError, InvariantBroken
from trading_core.ledger import Ledger, Position
from trading_core.orders import Fill, Side

BTC, BIP = "BTC-USD", "BIP-20DEC30-CDE"


def make_ledger(usd: str = "1000", btc: str = "0", mark: str = "50000") -> Ledger:
    marks = {BTC: Decimal(mark), BIP: Decimal(mark)}
    balances = {"USD": Decimal(usd), "BTC": Decimal(btc)}
    return Ledger([make_product(), make_future()], balances, marks)


def book(ledger: Ledger, *fills: Fill) -> Ledger:
    for fill in fills:
        ledger.book_fill(fill)
    ledger.check()
    return ledger


def test_a_buy_moves_money_into_the_position_and_pays_the_fee() -> None:
    ledger = book(make_ledger(), make_fill(size="0.01", price="50000", commission="0.30"))

    assert ledger.position(BTC) == Position(Decimal("0.01"), Decimal(50_000))
    assert ledger.expected_balances() == {"USD": Decimal("499.70"), "BTC": Decimal("0.01")}
    assert (ledger.fees(), ledger.realized(), ledger.equity()) == (Decimal("0.30"), 0, Decimal("999.70"))


def test_a_round_trip_realizes_the_difference_before_fees() -> None:
    ledger = book(
        make_ledger(),
        make_fill("e1", Side.BUY, "0.01", "50000", "0.30"),
        make_fill("e2", Side.SELL, "0.01", "50200", "0.20"),
    )
    assert (ledger.realized(), ledger.fees(), ledger.unrealized()) == (2, Decimal("0.50"), 0)
    assert ledger.equity() == Decimal("1001.50")
    assert ledger.position(BTC) == Position(Decimal(0), Decimal(0))


def test_two_buys_average_and_a_partial_sale_keeps_the_average() -> None:
    ledger = book(
        make_ledger("10000"),
        make_fill("e1", Side.BUY, "0.01", "50000"),
        make_fill("e2", Side.BUY, "0.03", "54000"),
        make_fill("e3", Side.SELL, "0.02", "55000"),
    )
    assert ledger.position(BTC) == Position(Decimal("0.02"), Decimal(53_000))
    assert ledger.realized() == 40


def test_a_price_of_thirds_leaves_no_remainder_when_all_is_sold() -> None:
    ledger = make_ledger()
    book(ledger, make_fill("e0", Side.BUY, "0.00000003", "33333.33"), make_fill("e1", Side.BUY, "0.00000004", "0.01"))
    for number in range(7):
        book(ledger, make_fill(f"s{number}", Side.SELL, "0.00000001", "40000.01"))
    assert ledger.position(BTC) == (0, 0)
    bought = Decimal("0.00000003") * Decimal("33333.33") + Decimal("0.00000004") * Decimal("0.01")
    assert ledger.realized() == Decimal("0.00000007") * Decimal("40000.01") - bought


def test_a_partial_sale_keeps_an_average_of_many_digits() -> None:
    ledger = book(
        make_ledger(),
        make_fill("e1", Side.BUY, "0.00000003", "33333.33"),
        make_fill("e2", Side.BUY, "0.00000004", "0.01"),
    )
    average = ledger.position(BTC).average_cost
    book(ledger, make_fill("e3", Side.SELL, "0.00000002", "40000"))
    assert abs(ledger.position(BTC).average_cost / average - 1) < Decimal("1E-6")


def test_a_mark_moves_unrealized_and_equity_only() -> None:
    ledger = book(make_ledger(), make_fill(size="0.01", price="50000"))
    ledger.mark(BTC, Decimal(49_000))
    ledger.check()
    assert (ledger.unrealized(), ledger.realized(), ledger.equity()) == (-10, 0, 990)
    assert ledger.expected_balances()["USD"] == 500


def test_a_fill_is_booked_once() -> None:
    ledger, fill = make_ledger(), make_fill(commission="0.10")
    assert ledger.book_fill(fill)
    before = ledger.totals()
    assert not ledger.book_fill(fill)
    assert ledger.totals() == before


def test_the_same_entry_id_with_other_figures_is_refused() -> None:
    ledger, fill = make_ledger(), make_fill()
    ledger.book_fill(fill)
    with pytest.raises(InvariantBroken, match="e1 came twice"):
        ledger.book_fill(msgspec.structs.replace(fill, size=Decimal("0.03")))


def test_opening_coins_are_worth_their_opening_mark_and_later_gains_are_unrealized() -> None:
    ledger = make_ledger("1000", btc="0.1", mark="50000")
    assert (ledger.opening_equity, ledger.equity(), ledger.unrealized()) == (6000, 6000, 0)

    ledger.mark(BTC, Decimal(51_000))
    ledger.check()
    assert (ledger.equity(), ledger.unrealized()) == (6100, 100)

    book(ledger, make_fill("e1", Side.SELL, "0.1", "51000"))
    assert (ledger.realized(), ledger.unrealized(), ledger.equity()) == (100, 0, 6100)


def test_opening_coins_without_a_mark_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no opening mark"):
        Ledger([make_product()], {"BTC": Decimal(1)}, {})


def test_coins_that_nobody_trades_are_expected_and_not_counted() -> None:
    ledger = Ledger([make_product()], {"USD": Decimal(5), "DOGE": Decimal(7)}, {}, {"ETP-20DEC30-CDE": Decimal(2)})
    assert ledger.equity() == 5
    assert ledger.expected_balances() == {"USD": 5, "DOGE": 7, "BTC": 0}
    assert ledger.expected_positions() == {"ETP-20DEC30-CDE": 2}


def test_a_future_moves_no_money_but_its_gain_and_fee() -> None:
    ledger = book(make_ledger(), make_fill("e1", Side.BUY, "3", "50000", "0.45", BIP))
    assert ledger.position(BIP) == Position(Decimal(3), Decimal(50_000))
    assert ledger.expected_balances()["USD"] == Decimal("999.55")
    assert ledger.expected_positions() == {BIP: 3}

    book(ledger, make_fill("e2", Side.SELL, "1", "50500", "0.15", BIP))
    assert (ledger.realized(BIP), ledger.fees(BIP)) == (5, Decimal("0.60"))
    assert ledger.expected_balances()["USD"] == Decimal("1004.40")

    ledger.mark(BIP, Decimal(50_100))
    assert ledger.unrealized(BIP) == 2
    assert ledger.equity() == Decimal("1006.40")


def test_a_short_gains_when_the_price_falls() -> None:
    ledger = book(make_ledger(), make_fill("e1", Side.SELL, "2", "50000", "0", BIP))
    assert ledger.position(BIP) == Position(Decimal(-2), Decimal(50_000))
    ledger.mark(BIP, Decimal(49_000))
    assert (ledger.unrealized(), ledger.equity()) == (20, 1020)
    book(ledger, make_fill("e2", Side.BUY, "2", "49500", "0", BIP))
    assert (ledger.realized(), ledger.unrealized(), ledger.equity()) == (10, 0, 1010)


@pytest.mark.parametrize(("sold", "left"), [("3", -1), ("5", -3)])
def test_a_fill_through_zero_closes_the_old_side_and_opens_the_new_one_at_its_price(sold: str, left: int) -> None:
    ledger = book(
        make_ledger(),
        make_fill("e1", Side.BUY, "2", "50000", "0", BIP),
        make_fill("e2", Side.SELL, sold, "50100", "0", BIP),
    )
    assert ledger.position(BIP) == Position(Decimal(left), Decimal(50_100))
    assert ledger.realized() == 2


def test_an_opening_position_of_a_future_counts_from_its_opening_mark() -> None:
    marks = {BIP: Decimal(50_000)}
    ledger = Ledger([make_future()], {"USD": Decimal(100)}, marks, {BIP: Decimal(-2)})
    ledger.mark(BIP, Decimal(51_000))
    ledger.check()
    assert (ledger.opening_equity, ledger.equity(), ledger.unrealized()) == (100, 80, -20)


def test_funding_is_booked_once_for_each_product_and_time() -> None:
    ledger = make_ledger()
    assert ledger.book_funding(BIP, 1, Decimal("-0.25"))
    assert ledger.book_funding(BIP, 2, Decimal("0.10"))
    assert not ledger.book_funding(BIP, 1, Decimal("-0.25"))
    ledger.check()
    assert (ledger.funding(), ledger.equity()) == (Decimal("-0.15"), Decimal("999.85"))
    with pytest.raises(InvariantBroken, match="came as"):
        ledger.book_funding(BIP, 1, Decimal("-0.26"))


def test_a_transfer_is_booked_once_and_is_no_gain() -> None:
    ledger = make_ledger()
    assert ledger.book_transfer("t1", "USD", Decimal(-200))
    assert not ledger.book_transfer("t1", "USD", Decimal(-200))
    ledger.check()
    assert (ledger.transfers(), ledger.equity(), ledger.realized()) == (-200, 800, 0)
    with pytest.raises(InvariantBroken, match="t1 came twice"):
        ledger.book_transfer("t1", "USD", Decimal(-201))
    with pytest.raises(ConfigurationError, match="BTC cannot be booked"):
        ledger.book_transfer("t2", "BTC", Decimal(1))


def test_usdc_counts_at_par() -> None:
    product = make_product("BTC-USDC", quote_currency="USDC")
    ledger = Ledger([product], {"USD": Decimal(10), "USDC": Decimal(90)}, {})
    book(ledger, make_fill(size="0.001", price="50000", product_id="BTC-USDC"))
    assert ledger.expected_balances() == {"USD": 10, "USDC": 40, "BTC": Decimal("0.001")}
    assert ledger.equity() == 100


def test_what_cannot_be_valued_in_dollars_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="quoted in BTC"):
        Ledger([make_product("ETH-BTC", quote_currency="BTC")], {}, {})


@pytest.mark.parametrize("price", ["0", "-1"])
def test_a_mark_that_is_no_price_is_refused(price: str) -> None:
    with pytest.raises(InvariantBroken, match="above zero"):
        make_ledger().mark(BTC, Decimal(price))


def test_a_product_outside_of_the_books_is_refused() -> None:
    with pytest.raises(InvariantBroken, match="SOL-USD is not in these books"):
        make_ledger().book_fill(make_fill(product_id="SOL-USD"))


@pytest.mark.parametrize(
    ("paid", "settled", "owed"),
    [("0", "0", "-0.40"), ("-0.25", "-0.25", "-0.15"), ("-0.2501", "-0.2501", "-0.15"), ("-0.40", "-0.40", "0"),
     ("-0.33", "0", "-0.40"), ("0.25", "0", "-0.40")],
)
def test_accrued_funding_becomes_cash_when_the_venue_shows_it(paid: str, settled: str, owed: str) -> None:
    ledger = make_ledger()
    ledger.book_funding(BIP, 1, Decimal("-0.25"))
    ledger.book_funding(BIP, 2, Decimal("-0.15"))
    assert ledger.expected_balances()["USD"] == 1000
    assert ledger.settle_funding({"USD": Decimal("1000") + Decimal(paid)}) == Decimal(settled)
    assert (ledger.accrued(), ledger.cash()) == (Decimal(owed), Decimal("1000") + Decimal(settled))
    ledger.check()
