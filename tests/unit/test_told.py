"""What the venue tells beside books and orders: a wrong book is given up, what is offline takes no entry."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.core_builders import T0_NS, make_future
from tests.desk_builders import Market, make_exit, make_guardrails, make_intent, make_plan
from tests.sim_rig import SimRig
from tests.unit.test_strategies import make_entry
from trading_core.clock import NS
from trading_core.commands import CancelOrder, Decisions, ReadAccount, Resubscribe
from trading_core.errors import ConfigurationError
from trading_core.events import (
    BarClosed,
    BookDoubted,
    GuardrailTripped,
    MarginTold,
    StatusTold,
    StreamChanged,
    StreamState,
    SymbolTightened,
    TouchQuoted,
)
from trading_core.local_exchange.faults import FaultPlan
from trading_core.order_manager import TrackedOrder
from trading_core.orders import Purpose, Side
from trading_core.risk import Denial, DenialReason
from trading_core.strategies import average_cross, two_sided_maker
from trading_core.strategies.automatic import Automatic
from trading_core.strategies.port import reads_bars
from trading_core.told import BAR_S, BARS_MAX, TOUCH_APART_BPS_MAX, Bars
from trading_core.trading_state import TradingState

D = Decimal
FUTURE = make_future()
START_S = T0_NS // NS // BAR_S * BAR_S


def quote(market: Market, bid: str, ask: str) -> Decisions:
    """Let the venue say its best prices; the book of the rig is 50,000 / 50,001."""
    return market.feed(TouchQuoted(ts_ns=market.now_ns, product_id="BTC-USD", bid=D(bid), ask=D(ask)))


# ── ticker: the book against the venue's own best prices ────────────────────────────────────────
def test_a_book_that_stays_apart_is_forgotten_and_read_again_from_a_snapshot() -> None:
    market = Market()
    quiet = [d.records + d.commands for _ in range(2) if (d := quote(market, "50030", "50031"))]
    decided = quote(market, "50030", "50031")
    assert quiet == [[], []]
    [doubt] = decided.records
    assert isinstance(doubt, BookDoubted)
    assert (doubt.product_id, doubt.looks) == ("BTC-USD", 3)
    assert [type(c) for c in decided.commands] == [Resubscribe]
    assert market.desk.mark("BTC-USD") is None
    denied = market.desk.place(make_intent(), "test")
    assert isinstance(denied, Denial)
    market.book()
    assert market.place().intent.product_id == "BTC-USD"


@pytest.mark.parametrize(
    ("bid", "ask", "is_doubted"),
    [
        ("49975.02", "49976.02", False),  # a hair below five bps
        ("49974.99", "49975.99", True),
        ("50000", "50027", True),  # one side is enough
        ("50000", "50026", False),
        ("0", "0", False),  # the venue's book is empty: nothing to compare with
    ],
)
def test_five_basis_points_are_the_limit(bid: str, ask: str, is_doubted: bool) -> None:
    market = Market()
    decided = [quote(market, bid, ask) for _ in range(3)]
    assert bool(decided[-1].records) is is_doubted


def test_one_look_in_agreement_begins_the_count_anew() -> None:
    market = Market()
    for prices in (("50030", "50031"), ("50030", "50031"), ("50000", "50001"), ("50030", "50031"), ("50030", "50031")):
        assert quote(market, *prices).records == []
    assert quote(market, "50030", "50031").records


def test_without_a_known_book_there_is_nothing_to_doubt() -> None:
    market = Market()
    market.feed(StreamChanged(ts_ns=market.now_ns, state=StreamState.GAP))
    assert [quote(market, "1", "2").commands for _ in range(4)] == [[], [], [], []]


def test_a_session_whose_book_lost_changes_notices_by_the_ticker_and_reads_it_again(tmp_path: Path) -> None:
    rig = SimRig(tmp_path, faults=FaultPlan(book_lost_from_s=20.0, book_lost_for_s=600.0))
    with rig.session() as session:
        rig.run(session, 700)
        ours = session.engine.desk.books["BTC-USD"].best(Side.BUY)
        theirs = rig.exchange.book("BTC-USD", 1).bids[0][0]
    assert ours is not None
    assert abs(ours / theirs - 1) * 10_000 <= TOUCH_APART_BPS_MAX
    at = [type(e) for _, e in rig.log.rows].index(BookDoubted)
    after = [e.state for _, e in rig.log.rows[at:] if isinstance(e, StreamChanged)]
    assert after[:2] == [StreamState.GAP, StreamState.CONNECTED]


def test_a_session_whose_product_goes_offline_takes_no_further_entry(tmp_path: Path) -> None:
    rig = SimRig(tmp_path, faults=FaultPlan(offline_products=("BTC-USD",), offline_from_s=20.0))
    with rig.session() as session:
        rig.run(session, 40)
        assert session.engine.desk.state_of("BTC-USD") is TradingState.REDUCE_ONLY
    assert [t.product_id for t in rig.log.of(SymbolTightened)] == ["BTC-USD"]


# ── status: what can be done with a product ─────────────────────────────────────────────────────
def tell(market: Market, status: str, product_id: str = "BTC-USD", message: str = "") -> Decisions:
    return market.feed(
        StatusTold(ts_ns=market.now_ns, product_id=product_id, status=status, message=message)
    )


@pytest.mark.parametrize("status", ["offline", "cancel_only", "limit_only", "delisted", "a word of tomorrow"])
def test_a_product_that_is_not_online_takes_no_entry_from_that_moment_and_lets_exits_pass(status: str) -> None:
    market = Market()
    market.buy("0.01")
    resting = market.open(make_intent("0.001", "49000"))
    decided = tell(market, status, message="maintenance")
    assert [r.reason for r in decided.records if isinstance(r, SymbolTightened)] == [
        f"the venue says that the product is {status}, maintenance"
    ]
    assert [c.order_id for c in decided.commands if isinstance(c, CancelOrder)] == [resting.order_id]
    market.desk.decisions = Decisions()
    denied = market.desk.place(make_intent("0.001", "48000"), "test")
    assert isinstance(denied, Denial)
    assert denied.reason is DenialReason.REDUCE_ONLY
    assert isinstance(market.desk.place(make_exit("0.005"), "test"), TrackedOrder)


def test_a_status_that_is_news_is_told_once_and_nothing_loosens_the_product_again() -> None:
    market = Market()
    assert tell(market, "offline").records
    assert tell(market, "offline").records == []
    tell(market, "online")
    assert isinstance(market.desk.place(make_intent(), "test"), Denial)


@pytest.mark.parametrize(("status", "product_id"), [("online", "BTC-USD"), ("", "BTC-USD"), ("offline", "DOGE-USD")])
def test_what_is_online_or_not_ours_changes_nothing(status: str, product_id: str) -> None:
    market = Market()
    assert tell(market, status, product_id).records == []
    assert isinstance(market.desk.place(make_intent(), "test"), TrackedOrder)


# ── futures_balance_summary: margin between two readings ────────────────────────────────────────
def margin(market: Market, used: str, available: str, level: str = "BASE") -> Decisions:
    return market.feed(
        MarginTold(
            ts_ns=market.now_ns, margin_used=D(used), margin_available=D(available), intraday_level=level,
            overnight_level=level,
        )
    )


def futures_market() -> Market:
    limits = {"product_id": FUTURE.product_id, "max_size": "5", "max_notional": "100000", "because": "test"}
    plan = make_plan(
        products=[limits], guardrails=make_guardrails(margin_call="0"),
        risk={"aggregate_notional_max": "1000000", "leverage_max": "900"},
    )
    market = Market(plan, products=(FUTURE,))
    market.account(margin_used=D(1000), margin_available=D(4000), margin_level="BASE")
    return market


def test_between_two_readings_the_worse_margin_holds() -> None:
    market = futures_market()
    assert market.desk.margin_free() == 4000
    margin(market, "3000", "1000")
    assert (market.desk.margin_free(), market.desk.margin_utilization) == (1000, D("0.75"))
    margin(market, "100", "9000")  # better than what was read: only a reading loosens
    assert market.desk.margin_free() == 4000
    market.account(margin_used=D(500), margin_available=D(4500), margin_level="BASE")
    assert (market.desk.margin_free(), market.desk.margin_utilization) == (4500, D("0.1"))


@pytest.mark.parametrize(("level", "is_read"), [("BASE", False), ("WARNING", True), ("DANGER", True)])
def test_another_margin_level_is_read_at_once(level: str, is_read: bool) -> None:
    market = futures_market()
    decided = margin(market, "1000", "4000", level)
    assert [type(c) for c in decided.commands] == ([ReadAccount] if is_read else [])
    assert margin(market, "1001", "3999", level).commands == []


def test_a_margin_call_that_is_pushed_trips_its_guardrail_without_waiting_for_a_reading() -> None:
    market = futures_market()
    margin(market, "1000", "4000", "DANGER")
    trips = [r.name for r in market.tick().records if isinstance(r, GuardrailTripped)]
    assert trips == ["margin_call"]


# ── candles: the bars of a strategy that asks for them ──────────────────────────────────────────
def bar(number: int, close: str = "1") -> BarClosed:
    return BarClosed(
        ts_ns=(START_S + (number + 1) * BAR_S) * NS, product_id="BTC-USD", start_s=START_S + number * BAR_S,
        close=D(close),
    )


def closes(bars: Bars, now: int) -> list[Decimal]:
    """Return the closes as of the end of the numbered bar."""
    return bars.closes("BTC-USD", START_S + (now + 1) * BAR_S)


def test_bars_are_kept_once_each_and_a_missing_one_forgets_those_before_it() -> None:
    bars = Bars()
    for number, close in ((0, "10"), (1, "11"), (0, "99"), (1, "99"), (2, "12")):
        bars.take(bar(number, close))
    assert closes(bars, 2) == [10, 11, 12]
    bars.take(bar(4, "14"))
    assert closes(bars, 4) == [14]


@pytest.mark.parametrize(("now", "is_known"), [(2, True), (3, True), (4, False)])
def test_bars_that_stop_coming_are_no_past(now: int, is_known: bool) -> None:
    bars = Bars()
    bars.take(bar(2))
    assert bool(closes(bars, now)) is is_known


def test_bars_are_bounded() -> None:
    bars = Bars()
    for number in range(BARS_MAX + 10):
        bars.take(bar(number))
    assert len(closes(bars, BARS_MAX + 9)) == BARS_MAX


def cross(**params: Any) -> average_cross.AverageCross:
    chosen = {"prices": "bars", "fast": 2, "slow": 4, "rsi_periods": 2, "rsi_max": "100", **params}
    return average_cross.AverageCross(make_entry("average_cross", **chosen), Random(1))


def test_with_the_venues_bars_the_average_strategy_needs_no_warm_up() -> None:
    market, strategy = Market(), cross()
    assert strategy.decide(market.desk) == []
    for number, close in enumerate(("50000", "50000", "49990", "50030"), start=-5):
        market.feed(bar(number, close))
    market.tick()
    [intent] = strategy.decide(market.desk)
    assert intent.purpose is Purpose.ENTRY


def test_only_a_strategy_that_reads_bars_asks_for_their_channel() -> None:
    sampled = average_cross.AverageCross(make_entry("average_cross"), Random(1))
    maker = two_sided_maker.TwoSidedMaker(make_entry("two_sided_maker"), Random(1))
    chooser = Automatic(make_entry("automatic", **{"trending.prices": "bars"}), Random(1))
    assert [reads_bars(s) for s in (cross(), sampled, maker, chooser)] == [True, False, False, True]


@pytest.mark.parametrize("params", [{"prices": "candles"}, {"prices": "bars", "sample_s": 5}])
def test_a_word_or_an_interval_that_says_nothing_here_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"prices is|sample_s"):
        average_cross.AverageCross(make_entry("average_cross", **params), Random(1))
