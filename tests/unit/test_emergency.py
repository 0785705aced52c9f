"""The emergency ladder under each fault of the venue: flat, or it says that it is not."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.desk_builders import make_plan
from tests.sim_rig import SimRig
from tests.unit.broker_wire import approved
from tests.unit.broker_wire import make_intent as make_order
from trading_core.clock import NS
from trading_core.emergency import ROUNDS_MAX, FlatReport, LadderLimits, flatten
from trading_core.errors import VenueUnavailable
from trading_core.local_exchange.faults import PRESETS, FaultPlan
from trading_core.money import plain
from trading_core.orders import Purpose, Side
from trading_core.ports import Accepted, Broker, SubmitAnswer
from trading_core.risk import ApprovedOrder

COLLAR_BPS = Decimal(100)
OPENING = {"USD": "10000", "BTC": "1.5", "ETH": "2"}
TWO = make_plan(
    products=[
        {"product_id": "BTC-USD", "max_size": "1", "max_notional": "1000", "because": "test"},
        {"product_id": "ETH-USD", "max_size": "10", "max_notional": "1000", "because": "test"},
    ]
)


class Exposed(SimRig):
    """A venue on which we bought 0.01 BTC and 0.1 ETH and rest three orders, besides coins of the account."""

    def __init__(self, folder: Path, seed: int = 1, name: str = "none") -> None:
        faults = PRESETS[name].model_copy(update={"seed": seed})
        # Thin books and price gaps are built into the market at the start; all else begins once we are exposed.
        built_in = {"depth_share": faults.depth_share, "gap_at_s": faults.gap_at_s, "gap_share": faults.gap_share}
        self.calm = FaultPlan().model_copy(update=built_in)
        super().__init__(folder, balances=OPENING, seed=seed, plan=TWO, faults=self.calm)
        self.feed.start(list(self.products.values()))
        for number in range(3):
            self.trade(f"rest-{number}", "BTC-USD", "0.001", -500 - number)
        self.trade("btc", "BTC-USD", "0.01", 50)
        self.trade("eth", "ETH-USD", "0.1", 50)
        assert (self.held("BTC"), self.held("ETH")) == (Decimal("1.51"), Decimal("2.1"))
        assert len(self.broker.open_orders()) == 3
        self.exchange.set_faults(faults)

    def trade(self, client_order_id: str, product_id: str, size: str, through_bps: int) -> None:
        """Buy so far through the touch, or so far behind it."""
        product = self.products[product_id]
        touch = self.broker.book(product_id, 1).asks[0][0] * product.price_increment
        price = product.round_price(touch * (1 + Decimal(through_bps) / 10_000), Side.BUY)
        intent = make_order(product_id, Side.BUY, size, plain(price), purpose=Purpose.EMERGENCY)
        assert isinstance(self.broker.submit(approved(intent, client_order_id)), Accepted)

    def flatten(self, broker: Broker | None = None, prefix: str = "run", **more: Any) -> FlatReport:
        """Climb the ladder."""
        opening = {"BTC-USD": Decimal("1.5"), "ETH-USD": Decimal(2)}
        return flatten(
            broker or self.broker, self.clock, self.products, opening, collar_bps=COLLAR_BPS, order_prefix=prefix,
            **more,
        )

    def assert_as_before(self) -> None:
        """Check at the healthy venue that only dust differs from the opening."""
        self.exchange.set_faults(self.calm)
        assert self.broker.open_orders() == []
        for product in self.products.values():
            over = self.held(product.base_currency) - Decimal(OPENING[product.base_currency])
            assert abs(over) * self.exchange.last_price(product.product_id) < product.quote_min_size * 2


def test_two_rounds_end_flat_and_leave_the_accounts_own_coins(tmp_path: Path) -> None:
    rig = Exposed(tmp_path)
    report = rig.flatten()
    assert (report.is_flat, report.open_orders, report.rounds, report.failures) == (True, 0, 2, ())
    assert report.sentence == "flat at the venue: 0 open orders, nothing left after 2 rounds"
    rig.assert_as_before()


def test_a_second_call_finds_nothing_to_do(tmp_path: Path) -> None:
    rig = Exposed(tmp_path)
    rig.flatten()
    orders = len(rig.exchange.orders(rig.exchange.account_ids()[0]))
    again = rig.flatten()
    assert (again.is_flat, again.rounds) == (True, 1)
    assert len(rig.exchange.orders(rig.exchange.account_ids()[0])) == orders


# Nobody could get through these; through every other fault plan, also one that is new, the ladder must.
CANNOT = frozenset({"reject_all", "halted"})
UNREADABLE = "schema_rename"  # an order without its id cannot be cancelled
GETS_THROUGH = sorted(set(PRESETS) - CANNOT - {UNREADABLE})


@pytest.mark.parametrize("name", GETS_THROUGH)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_ladder_gets_through_each_fault(tmp_path: Path, name: str, seed: int) -> None:
    rig = Exposed(tmp_path, seed, name)
    report = rig.flatten()
    assert report.is_flat, report.sentence
    rig.assert_as_before()


@pytest.mark.parametrize("name", sorted(CANNOT))
def test_a_venue_that_refuses_every_order_is_told_as_not_flat(tmp_path: Path, name: str) -> None:
    rig = Exposed(tmp_path)
    rig.exchange.set_faults(PRESETS[name])
    report = rig.flatten()
    assert (report.is_flat, report.open_orders, report.rounds) == (False, 0, ROUNDS_MAX)
    assert report.left == {"BTC-USD": Decimal("0.01"), "ETH-USD": Decimal("0.1")}
    assert report.sentence.startswith("NOT FLAT at the venue: 0 open orders, 0.01 BTC-USD, 0.1 ETH-USD left")


def test_orders_that_cannot_be_read_are_told_and_never_taken_for_none(tmp_path: Path) -> None:
    rig = Exposed(tmp_path, name=UNREADABLE)
    report = rig.flatten()
    assert (report.is_flat, report.open_orders) == (False, -1)
    assert "SchemaDrift" in report.sentence


def test_a_venue_that_never_answers_is_told_as_not_flat(tmp_path: Path) -> None:
    rig = Exposed(tmp_path)
    rig.exchange.set_faults(FaultPlan(server_error_share=1.0))
    report = rig.flatten()
    assert not report.is_flat
    assert (report.open_orders, report.left) == (-1, {})  # not known is not zero
    assert "last failure: VenueUnavailable" in report.sentence
    rig.exchange.set_faults(FaultPlan())
    assert rig.flatten(prefix="later").is_flat
    rig.assert_as_before()


class Between:
    """A broker that lets somebody else act right before each order of ours, as another process would."""

    def __init__(self, rig: Exposed, acts: int) -> None:
        self._rig = rig
        self._acts = acts

    def __getattr__(self, name: str) -> object:
        return getattr(self._rig.broker, name)

    def submit(self, order: ApprovedOrder) -> SubmitAnswer:
        """Let the other ladder run, then place ours."""
        if self._acts:
            self._acts -= 1
            assert self._rig.flatten(prefix="other").is_flat
        return self._rig.broker.submit(order)


@pytest.mark.parametrize("acts", [1, 2, 3])
def test_two_ladders_at_once_end_flat(tmp_path: Path, acts: int) -> None:
    rig = Exposed(tmp_path)
    report = rig.flatten(Between(rig, acts))  # type: ignore[arg-type]  # the rest is the broker's own
    assert report.is_flat, report.sentence
    rig.assert_as_before()


class Broken:
    """A broker of which one method never works, or one product's book is empty."""

    def __init__(self, rig: Exposed, broken: str = "", no_book_of: str = "") -> None:
        self._rig = rig
        self._broken = broken
        self._no_book_of = no_book_of

    def __getattr__(self, name: str) -> object:
        return getattr(self._rig.broker, name)

    def cancel(self, order_ids: Sequence[str]) -> object:
        """Fail if that is what is broken."""
        if self._broken == "cancel":
            raise VenueUnavailable("cancels do not work")
        return self._rig.broker.cancel(order_ids)

    def book(self, product_id: str, levels: int) -> object:
        """Fail for the product without a book."""
        if product_id == self._no_book_of:
            raise VenueUnavailable("no book")
        return self._rig.broker.book(product_id, levels)


def test_positions_are_closed_although_cancels_do_not_work(tmp_path: Path) -> None:
    rig = Exposed(tmp_path)
    report = rig.flatten(Broken(rig, broken="cancel"))  # type: ignore[arg-type]
    assert (report.is_flat, report.open_orders) == (False, 3)
    assert set(report.left.values()) == {Decimal(0)}


def test_a_product_without_a_book_does_not_keep_the_other_from_being_closed(tmp_path: Path) -> None:
    rig = Exposed(tmp_path)
    limits = LadderLimits(rounds_max=4, market_after_rounds=4)
    report = rig.flatten(Broken(rig, no_book_of="BTC-USD"), limits=limits)  # type: ignore[arg-type]
    assert not report.is_flat
    assert report.left == {"BTC-USD": Decimal("0.01"), "ETH-USD": Decimal(0)}


def test_without_a_price_it_closes_at_market_once_the_plan_says_so(tmp_path: Path) -> None:
    rig = Exposed(tmp_path)
    report = rig.flatten(Broken(rig, no_book_of="BTC-USD"))  # type: ignore[arg-type]
    assert report.is_flat, report.sentence
    assert report.done[-1] == "SELL 0.01 BTC-USD at market, accepted"
    rig.assert_as_before()


def test_what_fails_is_said_at_once_and_what_was_done_is_kept(tmp_path: Path) -> None:
    rig = Exposed(tmp_path)
    rig.exchange.set_faults(FaultPlan(server_error_share=1.0))
    heard: list[tuple[int, str]] = []
    started_ns = rig.clock.now_ns()
    rig.flatten(say=lambda sentence: heard.append((rig.clock.now_ns() - started_ns, sentence)))
    assert heard[0][1].startswith("VenueUnavailable")
    assert heard[0][0] < 5 * NS
    rig.exchange.set_faults(rig.calm)
    assert rig.flatten(prefix="later").done[0] == "asked to cancel 3 orders, 3 accepted"


def test_it_gives_up_at_its_deadline_and_pauses_longer_while_the_venue_is_silent(tmp_path: Path) -> None:
    rig = Exposed(tmp_path)
    rig.exchange.set_faults(FaultPlan(server_error_share=1.0))
    limits = LadderLimits(rounds_max=10_000, within_s=300, pause_s_max=15)
    report = rig.flatten(limits=limits)
    assert not report.is_flat
    assert Decimal(300) <= report.took_s < Decimal(330)
    assert 10 < report.rounds < 30


def test_every_close_is_a_reducing_ioc_inside_the_collar(tmp_path: Path) -> None:
    rig = Exposed(tmp_path)
    before = {o.order_id for o in rig.exchange.orders(rig.exchange.account_ids()[0])}
    rig.flatten()
    sent = [o for o in rig.exchange.orders(rig.exchange.account_ids()[0]) if o.order_id not in before]
    assert {o.request.product_id for o in sent} == set(rig.products)
    for order in sent:
        last = rig.exchange.last_price(order.request.product_id)
        assert order.request.side is Side.SELL
        assert order.request.config.wire_time_in_force == "IMMEDIATE_OR_CANCEL"
        assert order.limit_price is not None
        assert order.limit_price > last * (1 - COLLAR_BPS / 10_000) * Decimal("0.999")


def test_dust_is_flat(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)
    rig.feed.start(list(rig.products.values()))
    report = flatten(
        rig.broker, rig.clock, rig.products, {"BTC-USD": Decimal("-0.00000001")}, collar_bps=COLLAR_BPS,
        order_prefix="run",
    )
    assert (report.is_flat, report.left) == (True, {"BTC-USD": Decimal("0.00000001")})


def test_between_rounds_it_waits_so_that_the_venue_can_act(tmp_path: Path) -> None:
    rig = Exposed(tmp_path)
    started_ns = rig.clock.now_ns()
    rig.exchange.set_faults(PRESETS["reject_all"])
    rig.flatten()
    assert rig.clock.now_ns() - started_ns >= (ROUNDS_MAX - 1) * 2 * NS
