"""The ledger against a naive model that knows no cost, no average and no accounts: only what moved."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tests.core_builders import make_fill, make_future, make_product
from trading_core.ledger import Ledger
from trading_core.orders import Fill, Side
from trading_core.products import Product, ProductType

PRODUCTS: dict[str, Product] = {
    p.product_id: p for p in (make_product(), make_product("ETH-USD"), make_future())
}
prices = st.decimals(min_value="0.01", max_value="150000", places=2, allow_nan=False)
money = st.decimals(min_value=-1000, max_value=1000, places=8, allow_nan=False)


@st.composite
def fills(draw: st.DrawFn) -> Fill:
    product = PRODUCTS[draw(st.sampled_from(sorted(PRODUCTS)))]
    size = draw(st.integers(1, 10**9 if product.product_type is ProductType.SPOT else 50)) * product.base_increment
    return make_fill(
        entry_id=f"e{draw(st.integers(0, 20))}",
        side=draw(st.sampled_from(Side)),
        size=str(size),
        price=str(draw(prices)),
        commission=str(draw(st.decimals(min_value=0, max_value=50, places=8))),
        product_id=product.product_id,
    )


marks = st.tuples(st.just("mark"), st.sampled_from(sorted(PRODUCTS)), prices)
fundings = st.tuples(st.just("funding"), st.integers(0, 5), money)
transfers = st.tuples(st.just("transfer"), st.integers(0, 5), money)
deeds = st.lists(fills() | marks | fundings | transfers, max_size=30)


class NaiveBooks:
    """Money and things; a future is as if it were paid in full."""

    def __init__(self, usd: Decimal, btc: Decimal, mark: Decimal) -> None:
        self.money = usd
        self.sizes: dict[str, Decimal] = defaultdict(Decimal, {"BTC-USD": btc})
        self.marks = dict.fromkeys(PRODUCTS, mark)
        self.fees = Decimal(0)

    def fill(self, fill: Fill) -> None:
        self.money -= PRODUCTS[fill.product_id].notional(fill.size * fill.side.sign, fill.price) + fill.commission
        self.sizes[fill.product_id] += fill.size * fill.side.sign
        self.fees += fill.commission

    def equity(self) -> Decimal:
        return self.money + sum(PRODUCTS[p].notional(size, self.marks[p]) for p, size in self.sizes.items())


@given(money.map(abs), st.decimals(min_value=0, max_value=5, places=8), prices, deeds)
def test_equity_is_what_a_naive_count_of_money_and_things_says(
    usd: Decimal, btc: Decimal, mark: Decimal, done: list[Fill | tuple[str, str | int, Decimal]]
) -> None:
    naive = NaiveBooks(usd, btc, mark)
    ledger = Ledger(PRODUCTS.values(), {"USD": usd, "BTC": btc}, dict.fromkeys(PRODUCTS, mark))
    known: dict[str, Fill] = {}
    paid: dict[tuple[str, int], Decimal] = {}
    for deed in done:
        if isinstance(deed, Fill):
            fill = known.setdefault(deed.entry_id, deed)
            if ledger.book_fill(fill):
                naive.fill(fill)
        elif deed[0] == "mark":
            ledger.mark(str(deed[1]), deed[2])
            naive.marks[str(deed[1])] = deed[2]
        else:
            key = (deed[0], int(deed[1]))
            amount = paid.setdefault(key, deed[2])
            naive.money += amount if _book(ledger, key, amount) else 0
        ledger.check()

    assert ledger.equity() == naive.equity()
    assert ledger.fees() == naive.fees
    assert {p: ledger.position(p).size for p in PRODUCTS} == {p: naive.sizes[p] for p in PRODUCTS}
    assert ledger.expected_balances()["BTC"] == naive.sizes["BTC-USD"]


def _book(ledger: Ledger, key: tuple[str, int], amount: Decimal) -> bool:
    kind, number = key
    if kind == "funding":
        return ledger.book_funding("BIP-20DEC30-CDE", number, amount)
    return ledger.book_transfer(f"t{number}", "USD", amount)


@given(st.lists(fills(), max_size=20, unique_by=lambda fill: fill.entry_id), st.data())
def test_repeated_fills_change_nothing(stream: list[Fill], data: st.DataObject) -> None:
    once, often = (Ledger(PRODUCTS.values(), {"USD": Decimal(1)}, {}) for _ in range(2))
    for number, fill in enumerate(stream):
        once.book_fill(fill)
        often.book_fill(fill)
        often.book_fill(stream[data.draw(st.integers(0, number))])
    assert often.totals() == once.totals()
    assert often.expected_balances() == once.expected_balances()


@given(st.lists(fills(), max_size=20, unique_by=lambda fill: fill.entry_id))
def test_closing_everything_leaves_no_cost_behind(stream: list[Fill]) -> None:
    ledger = Ledger(PRODUCTS.values(), {"USD": Decimal(1)}, {})
    for fill in stream:
        ledger.book_fill(fill)
    for product_id in PRODUCTS:
        size = ledger.position(product_id).size
        if size:
            side = Side.SELL if size > 0 else Side.BUY
            ledger.book_fill(make_fill(f"close-{product_id}", side, str(abs(size)), "777.77", "0", product_id))
    ledger.check()
    assert ledger.unrealized() == 0
    assert ledger.equity() == ledger.cash() == 1 + ledger.realized() - ledger.fees()
