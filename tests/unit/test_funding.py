"""Funding of a perpetual future: accrued once for each hour held, paid later, and agreeing with the venue."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.core_builders import make_fill, make_future
from tests.desk_builders import Market, make_plan
from tests.sim_rig import SimRig
from trading_core.clock import NS
from trading_core.commands import ReadFunding
from trading_core.desk import Desk
from trading_core.events import ClockTicked, FundingAccrued, FundingRead, FundingSkipped
from trading_core.funding import funding_amount
from trading_core.money import CENT
from trading_core.orders import OrderIntent, Purpose, Side, TimeInForce
from trading_core.script import Script, Until

BIP = "BIP-20DEC30-CDE"
HOUR_S = 3600
PLAN = make_plan(
    products=[{"product_id": BIP, "max_size": "3", "max_notional": "5000", "because": "one contract and room"}],
    policy={"is_entry_post_only": False}, risk={"aggregate_notional_max": "5000", "pre_funding_quiet_s": 60,
                                                "margin_utilization_max": "0.90"},
    entry={"notional_max": "4000"}, protocol={"window_s": 8 * HOUR_S},
)


def hold_one(desk: Desk) -> Script:
    """Buy two contracts at once and keep them."""
    mark = desk.mark(BIP)
    assert mark is not None
    price = desk.products[BIP].round_price(mark * Decimal("1.002"), Side.SELL)
    desk.place(
        OrderIntent(product_id=BIP, side=Side.BUY, size=Decimal(2), limit_price=price, purpose=Purpose.ENTRY,
                    time_in_force=TimeInForce.IOC), "test",
    )
    yield Until(lambda: False, desk.now_ns + 24 * HOUR_S * NS)


def test_funding_of_each_hour_held_is_accrued_once_and_agrees_with_the_venue(tmp_path: Path) -> None:
    rig = SimRig(tmp_path, plan=PLAN, cash_hours=(11,))
    with rig.session(hold_one) as session:
        rig.run(session, HOUR_S + 120)
        accrued = rig.log.of(FundingAccrued)
        ledger = session.engine.desk.ledger
        assert ledger is not None
        ledger.check()
        venue = rig.broker.account()
        funding, owed, drift = ledger.funding(), ledger.accrued(), session.engine.drift
    assert len({a.funding_ns for a in accrued}) == len(accrued) == 1
    assert all(a.amount == funding_amount(rig.products[BIP], a.position, a.mark, a.rate) for a in accrued)
    assert all(a.position == 2 and a.amount for a in accrued)
    assert venue.funding is not None
    assert abs(funding - venue.funding) < CENT
    assert drift <= CENT
    assert owed == 0 != funding  # the venue has paid the hour in cash


def test_a_rate_of_another_hour_books_nothing_and_the_right_one_once() -> None:
    future = make_future(BIP, funding_interval_s=HOUR_S)
    market = Market(PLAN, products=(future,), balances={"USD": "10000"})
    market.account(positions={BIP: Decimal(2)})
    desk = market.desk
    assert desk.ledger is not None
    desk.ledger.book_fill(make_fill(size="2", product_id=BIP))
    market.now_ns += (HOUR_S - 1) * NS
    market.book(product_id=BIP)
    assert _asked(market) == []
    market.now_ns += NS
    assert _asked(market) == [ReadFunding(BIP)]
    hour_ns = market.now_ns
    for funding_ns, rate in ((hour_ns - HOUR_S * NS, "0.5"), (hour_ns, "0.0001"), (hour_ns, "0.0001")):
        market.feed(FundingRead(ts_ns=market.now_ns, product_id=BIP, funding_ns=funding_ns, rate=Decimal(rate)))
    assert desk.ledger.funding() == desk.ledger.accrued() < 0
    assert desk.ledger.funding() == funding_amount(future, Decimal(2), desk.ledger.mark_of(BIP) or Decimal(0),
                                                   Decimal("0.0001"))


@pytest.mark.parametrize(("interval_s", "skipped"), [(None, 1), (HOUR_S, 0)])
def test_a_future_without_a_funding_time_is_recorded_and_has_no_quiet_period(
    interval_s: int | None, skipped: int
) -> None:
    future = make_future(BIP, funding_interval_s=interval_s)
    market = Market(PLAN, products=(future,), balances={"USD": "10000"})
    market.desk.ledger = None
    records = market.account().records
    assert sum(isinstance(r, FundingSkipped) for r in records) == skipped
    intent = OrderIntent(product_id=BIP, side=Side.BUY, size=Decimal(1), limit_price=Decimal(50_000),
                         purpose=Purpose.ENTRY)
    assert (market.desk.view(intent).funding_in_s is None) is (interval_s is None)


def _asked(market: Market) -> list[ReadFunding]:
    commands = market.feed(ClockTicked(ts_ns=market.now_ns)).commands
    return [c for c in commands if isinstance(c, ReadFunding)]
