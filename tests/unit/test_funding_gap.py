"""A session that is down over funding times: it books them when it goes on, and its books agree with the venue's."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Literal

import pytest

from tests.sim_rig import ListLog, SimRig
from tests.unit.test_funding import HOUR_S, PLAN, hold_one
from trading_core.advanced_trade.broker import AdvancedTradeBroker
from trading_core.advanced_trade.inprocess_transport import open_inprocess
from trading_core.advanced_trade.stream_inprocess import InProcessFeed
from trading_core.clock import NS
from trading_core.desk import Desk
from trading_core.engine import Engine
from trading_core.events import AnyEvent, FundingAccrued, Tick
from trading_core.resume import replay
from trading_core.session import Session
from trading_core.storage.event_reader import StoredEvent


class OrderedLog(ListLog):
    """A log that keeps ticks in their place, so that it can be replayed."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: list[StoredEvent] = []

    def append(self, event: AnyEvent, kind: Literal["input", "record"], durable: bool = False) -> int:
        """Keep one event."""
        self.stored.append(StoredEvent(len(self.stored) + 1, event.ts_ns, kind, event))
        return super().append(event, kind, durable)

    def append_tick(self, tick: Tick) -> None:
        """Keep market data."""
        self.stored.append(StoredEvent(len(self.stored) + 1, tick.ts_ns, "tick", tick))
        super().append_tick(tick)


def go_on(rig: SimRig, log: OrderedLog) -> Session:
    """Return a session in the place of one that was killed, its engine rebuilt from what was stored."""
    feed = InProcessFeed(rig.exchange, rig.clock, rig.exchange.account_ids()[0], rig.gateway.muted_orders)
    rig.broker = AdvancedTradeBroker(open_inprocess(rig.gateway, rig.clock, feed, Random(2)), rig.clock)
    desk = Desk(rig.plan, rig.products, "sim")
    engine = Engine(desk, hold_one(desk))
    past = replay(engine, list(log.stored), log.restore)
    assert past.problem == ""
    return Session(
        clock=rig.clock, feed=feed, broker=rig.broker, log=log, engine=engine, guard=rig.guard, past=past
    )


@pytest.mark.parametrize(("hours", "estimated"), [(1, 0), (3, 2)])
def test_funding_times_of_a_gap_are_booked_once_each_when_the_session_goes_on(
    tmp_path: Path, hours: int, estimated: int
) -> None:
    rig = SimRig(tmp_path, plan=PLAN, cash_hours=(23,))
    rig.log = log = OrderedLog()
    killed = rig.session(hold_one)
    killed.__enter__()
    rig.run(killed, 600)
    rig.clock.wait_until(rig.clock.now_ns() + hours * HOUR_S * NS)
    with go_on(rig, log) as session:
        rig.run(session, 120)
        accrued, venue = log.of(FundingAccrued), rig.broker.account()
        ledger = session.engine.desk.ledger
        assert ledger is not None
        ledger.check()
        funding, drift = ledger.funding(), session.engine.drift
    assert [a.position for a in accrued] == [Decimal(2)] * hours
    assert len({(a.product_id, a.funding_ns) for a in accrued}) == hours
    assert [a.is_estimated for a in accrued].count(True) == estimated
    assert venue.funding is not None
    assert venue.funding != 0
    assert abs(funding - venue.funding) < Decimal("0.25") * hours  # marks and rates of the gap are the venue's own
    assert drift < 1
