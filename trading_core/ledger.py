"""The books of one account: double entry in Decimal, so that the equity identity holds by construction.

Every entry sums to zero over these accounts, in quote currency:

    cash:<currency>          what the account holds in money
    accrued                  funding that has accrued and that the venue has not paid in cash yet
    position:<product>       what is held, at average cost
    settlement:<product>     futures only: the counter-value of the position, since no money is paid for it
    realized:<product>       gains (negative) and losses by closing
    fees:<product>           commissions paid
    funding:<product>        funding received (negative) and paid
    transfers, opening       money moved in (negative); what there was at the start (negative)

Coins that the account holds at the start are an opening position at the opening mark: what they gain later is
unrealized, and when they are sold, realized against that mark. Amounts in USD and in its stable coin count at par.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import NamedTuple

from trading_core.errors import ConfigurationError, InvariantBroken
from trading_core.money import ZERO, Notional, Price, Size
from trading_core.orders import Fill
from trading_core.products import Product, ProductType

PAR_CURRENCIES = frozenset({"USD", "USDC"})
CASH = tuple(f"cash:{currency}" for currency in sorted(PAR_CURRENCIES))
# A part of a cost is a division: it is cut to this grid, so that all sums stay exact in 28 digits.
COST_INCREMENT = Decimal("1E-12")
OPENING = "opening"
ACCRUED = "accrued"
# By how much a payment may differ from what was accrued: the venue's mark is not ours. The rest is drift.
SETTLE_TOLERANCE = Decimal("0.01")
TRANSFERS = "transfers"


class Position(NamedTuple):
    """What is held of a product (contracts for futures, negative if short), and its average entry price."""

    size: Size
    average_cost: Price


class Totals(NamedTuple):
    """The terms of the equity identity; fees are paid, funding and transfers received."""

    opening_equity: Notional
    realized: Notional
    unrealized: Notional
    fees: Notional
    funding: Notional
    transfers: Notional

    @property
    def equity(self) -> Notional:
        """Return what the account must be worth by the identity."""
        gains = self.realized + self.unrealized - self.fees + self.funding
        return self.opening_equity + gains + self.transfers


class Ledger:
    """Books fills, funding, transfers and marks, each once. Knows nothing of the venue's own figures."""

    def __init__(
        self,
        products: Iterable[Product],
        opening_balances: Mapping[str, Decimal],
        opening_marks: Mapping[str, Price],
        opening_positions: Mapping[str, Size] | None = None,
    ) -> None:
        """Open the books. `opening_positions` are contracts of futures; coins are balances.

        Raises ConfigurationError for a quote currency other than USD or USDC, and for something held of a
        product that has no opening mark.
        """
        self.products = {product.product_id: product for product in products}
        self._accounts: dict[str, Decimal] = {}
        self._settled: Notional | None = None  # equity without holdings; None once an account has changed
        self._sizes: dict[str, Size] = dict.fromkeys(self.products, ZERO)
        self._marks: dict[str, Price] = {}
        self._fills: dict[str, Fill] = {}
        self._keyed: dict[tuple[str, int], Decimal] = {}
        self._owed: list[tuple[str, Notional]] = []  # accrued funding, oldest first
        self._transfers: dict[str, tuple[str, Decimal]] = {}
        # What no product of this run trades: expected to stay as it is, and not part of equity.
        self._idle_balances: dict[str, Decimal] = {}
        self._idle_positions: dict[str, Size] = {}
        for product in self.products.values():
            if product.quote_currency not in PAR_CURRENCIES:
                raise ConfigurationError(f"{product.product_id} is quoted in {product.quote_currency}, not in USD")
        self._marks.update({pid: mark for pid, mark in opening_marks.items() if pid in self.products})
        for currency, amount in opening_balances.items():
            self._open_balance(currency, amount)
        for product_id, size in (opening_positions or {}).items():
            if product_id in self.products:
                self._open_position(self.products[product_id], size)
            else:
                self._idle_positions[product_id] = size

    # ── booking ──────────────────────────────────────────────────────────────────────────────────
    def book_fill(self, fill: Fill) -> bool:
        """Book a fill once by its entry id; return False if it was booked before.

        Raises InvariantBroken if the same entry id comes with other figures.
        """
        if (known := self._fills.get(fill.entry_id)) is not None:
            if known != fill:
                raise InvariantBroken(f"fill {fill.entry_id} came twice with different figures")
            return False
        product = self._product(fill.product_id)
        signed = fill.size * fill.side.sign
        closed, removed = self._closing_part(product.product_id, signed)
        opened = signed - closed
        pid, cash = product.product_id, f"cash:{product.quote_currency}"
        added = product.notional(opened, fill.price)
        realized = -product.notional(closed, fill.price) - removed
        counter = f"settlement:{pid}" if product.product_type is ProductType.FUTURE else cash
        self._post(
            (f"position:{pid}", added - removed),
            (counter, removed - added),
            (cash, realized - fill.commission),
            (f"realized:{pid}", -realized),
            (f"fees:{pid}", fill.commission),
        )
        self._sizes[pid] += signed
        self._fills[fill.entry_id] = fill
        self._marks.setdefault(pid, fill.price)
        return True

    def book_funding(self, product_id: str, funding_ns: int, amount: Notional) -> bool:
        """Book funding received (negative: paid) once for each funding time; return False for a repeat.

        It is owed until the venue's cash shows it: see `settle_funding`.
        """
        self._product(product_id)
        key = (product_id, funding_ns)
        if (known := self._keyed.get(key)) is not None:
            if known != amount:
                raise InvariantBroken(f"funding of {product_id} at {funding_ns} came as {known} and as {amount}")
            return False
        self._post((ACCRUED, amount), (f"funding:{product_id}", -amount))
        self._keyed[key] = amount
        self._owed.append((product_id, amount))
        return True

    def settle_funding(self, balances: Mapping[str, Decimal]) -> Notional:
        """Move accrued funding to cash if the venue's money shows that it paid some of it; return what it paid.

        It pays the oldest first. What it pays more or less than was accrued is funding as well.
        """
        paid = sum((balances.get(c, ZERO) for c in PAR_CURRENCIES), ZERO) - self.cash()
        gaps, total = [], ZERO
        for _, amount in self._owed:
            total += amount
            gaps.append(abs(paid - total))
        if not gaps or min(gaps) > SETTLE_TOLERANCE or abs(paid) <= min(gaps):
            return ZERO
        count = gaps.index(min(gaps)) + 1
        settled, self._owed = self._owed[:count], self._owed[count:]
        owed = sum((amount for _, amount in settled), ZERO)
        product_id = settled[-1][0]
        cash = f"cash:{self._product(product_id).quote_currency}"
        self._post((cash, paid), (ACCRUED, -owed), (f"funding:{product_id}", owed - paid))
        return paid

    def book_transfer(self, transfer_id: str, currency: str, amount: Notional) -> bool:
        """Book money moved in (negative: out) once by its id; return False for a repeat."""
        if currency not in PAR_CURRENCIES:
            raise ConfigurationError(f"a transfer of {currency} cannot be booked: only USD and USDC")
        if (known := self._transfers.get(transfer_id)) is not None:
            if known != (currency, amount):
                raise InvariantBroken(f"transfer {transfer_id} came twice with different figures")
            return False
        self._post((f"cash:{currency}", amount), (TRANSFERS, -amount))
        self._transfers[transfer_id] = (currency, amount)
        return True

    def mark(self, product_id: str, price: Price) -> None:
        """Value the product at the price from now on."""
        if price <= 0:
            raise InvariantBroken(f"the mark of {product_id} was {price}: a price is above zero")
        self._marks[self._product(product_id).product_id] = price

    # ── reading ──────────────────────────────────────────────────────────────────────────────────
    def position(self, product_id: str) -> Position:
        """Return what is held and at which average price; (0, 0) if nothing."""
        product, size = self._product(product_id), self._sizes[product_id]
        if size == 0:
            return Position(ZERO, ZERO)
        return Position(size, self._balance(f"position:{product_id}") / (size * product.contract_size))

    def mark_of(self, product_id: str) -> Price | None:
        """Return the price that the product is valued at; the first fill's if it was never marked."""
        return self._marks.get(product_id)

    def realized(self, product_id: str | None = None) -> Notional:
        """Return the gain by closing, before fees: of one product or of all."""
        return -self._total("realized", product_id)

    def fees(self, product_id: str | None = None) -> Notional:
        """Return the commissions paid."""
        return self._total("fees", product_id)

    def funding(self, product_id: str | None = None) -> Notional:
        """Return funding received minus funding paid."""
        return -self._total("funding", product_id)

    def unrealized(self, product_id: str | None = None) -> Notional:
        """Return what closing at the marks would gain, before fees."""
        chosen = self.products if product_id is None else (product_id,)
        return sum((self._value(pid) - self._balance(f"position:{pid}") for pid in chosen), ZERO)

    def transfers(self) -> Notional:
        """Return money moved in minus money moved out."""
        return -self._balance(TRANSFERS)

    @property
    def opening_equity(self) -> Notional:
        """Return what the account was worth when the books were opened."""
        return -self._balance(OPENING)

    def totals(self) -> Totals:
        """Return all terms of the equity identity at once."""
        return Totals(
            opening_equity=self.opening_equity,
            realized=self.realized(),
            unrealized=self.unrealized(),
            fees=self.fees(),
            funding=self.funding(),
            transfers=self.transfers(),
        )

    def cash(self) -> Notional:
        """Return all money, at par."""
        return sum((self._balance(account) for account in CASH), ZERO)

    def equity(self) -> Notional:
        """Return what the account is worth at the marks: money, holdings, and open gains of futures."""
        if self._settled is None:
            settlements = (self._balance(f"settlement:{pid}") for pid in self.products)
            self._settled = self.cash() + self.accrued() + sum(settlements, ZERO)
        return self._settled + sum([self._value(pid) for pid, size in self._sizes.items() if size], ZERO)

    def accrued(self) -> Notional:
        """Return the funding that is owed to us (negative: by us) and not in cash yet."""
        return self._balance(ACCRUED)

    def check(self) -> None:
        """Raise InvariantBroken unless the accounts sum to zero and the equity identity holds."""
        if (total := sum(self._accounts.values(), ZERO)) != 0:
            raise InvariantBroken(f"the books are off by {total}")
        if (expected := self.totals().equity) != self.equity():
            raise InvariantBroken(f"equity is {self.equity()}, the identity says {expected}")

    def expected_balances(self) -> dict[str, Decimal]:
        """Return what the venue should report by currency: money and coins, idle ones too."""
        balances = defaultdict(lambda: ZERO, self._idle_balances)
        for name, amount in self._accounts.items():
            kind, _, currency = name.partition(":")
            if kind == "cash":
                balances[currency] += amount
        for pid, product in self.products.items():
            if product.product_type is ProductType.SPOT:
                balances[product.base_currency] += self._sizes[pid]
        return dict(balances)

    def expected_positions(self) -> dict[str, Size]:
        """Return what the venue should report in contracts, by product; flat ones are left out."""
        futures = (p.product_id for p in self.products.values() if p.product_type is ProductType.FUTURE)
        return {**self._idle_positions, **{pid: size for pid in futures if (size := self._sizes[pid]) != 0}}

    # ── private ──────────────────────────────────────────────────────────────────────────────────
    def _open_balance(self, currency: str, amount: Decimal) -> None:
        if currency in PAR_CURRENCIES:
            self._post((f"cash:{currency}", amount), (OPENING, -amount))
            return
        spot = (p for p in self.products.values() if p.product_type is ProductType.SPOT)
        product = next((p for p in spot if p.base_currency == currency), None)
        if product is None:
            self._idle_balances[currency] = amount
        else:
            self._open_position(product, amount)

    def _open_position(self, product: Product, size: Size) -> None:
        if size == 0:
            return
        pid = product.product_id
        if (price := self._marks.get(pid)) is None:
            raise ConfigurationError(f"the account holds {size} of {pid}, which has no opening mark: read its book")
        cost = product.notional(size, price)
        is_future = product.product_type is ProductType.FUTURE
        self._post((f"position:{pid}", cost), (f"settlement:{pid}" if is_future else OPENING, -cost))
        self._sizes[pid] += size

    def _closing_part(self, product_id: str, signed: Size) -> tuple[Size, Notional]:
        """Return how much of the signed size closes what is held, and the cost that leaves the position with it."""
        size, cost = self._sizes[product_id], self._balance(f"position:{product_id}")
        if size == 0 or (size > 0) == (signed > 0):
            return ZERO, ZERO
        if abs(signed) >= abs(size):
            return -size, cost
        return signed, (cost * -signed / size).quantize(COST_INCREMENT, ROUND_HALF_EVEN)

    def _value(self, product_id: str) -> Notional:
        size = self._sizes[product_id]
        if size == 0:
            return ZERO
        return self._product(product_id).notional(size, self._marks[product_id])

    def _total(self, kind: str, product_id: str | None) -> Notional:
        chosen = self.products if product_id is None else (product_id,)
        return sum((self._balance(f"{kind}:{pid}") for pid in chosen), ZERO)

    def _balance(self, account: str) -> Decimal:
        return self._accounts.get(account, ZERO)

    def _post(self, *lines: tuple[str, Decimal]) -> None:
        if (total := sum((amount for _, amount in lines), ZERO)) != 0:
            raise InvariantBroken(f"an entry is off by {total}: {lines}")
        self._settled = None
        for account, amount in lines:
            self._accounts[account] = self._balance(account) + amount

    def _product(self, product_id: str) -> Product:
        if (product := self.products.get(product_id)) is None:
            raise InvariantBroken(f"{product_id} is not in these books")
        return product
