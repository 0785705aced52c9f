"""Strategies: parameters refused by name, filters in the trace, quotes that lean, and a choice with hysteresis."""

from __future__ import annotations

import itertools
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.desk_builders import Market, make_plan
from tests.sim_rig import START_NS, SimRig
from tests.unit.test_stages_dry_run import check_of, pulse
from trading_core.clock import NS
from trading_core.desk import Desk
from trading_core.errors import ConfigurationError
from trading_core.events import OrderReplaced, OrderSubmitted, SignalFiltered, SignalRaised, StrategyChosen
from trading_core.gate.lint import lint_plan
from trading_core.orders import OrderIntent, OrderStatus, Purpose, Side
from trading_core.plan import Entry
from trading_core.protocol import trade
from trading_core.stages.result import StageStatus
from trading_core.strategies import automatic, average_cross, two_sided_maker
from trading_core.strategies.indicators import average, rsi, trend_bps, volatility_bps
from trading_core.strategies.port import Strategy, load_strategy
from trading_core.strategies.regime import Figures, Regime, regime_of


class Own:
    """A strategy of a user's: a class that takes the plan's entry section."""

    def __init__(self, entry: Entry, random: Random) -> None:
        self.name = f"own-{entry.params['word']}-{random.randint(0, 9)}"

    def decide(self, desk: Desk) -> list[OrderIntent]:
        """Return nothing."""
        return []


def make_entry(strategy: str, **params: Any) -> Entry:
    """Return an entry section of $25 to $50 each 8 s."""
    return Entry.model_validate(
        {"strategy": strategy, "params": params, "notional_min": "25", "notional_max": "50", "interval_s": 8,
         "offset_bps": "1"}
    )


def decimals(*texts: str) -> list[Decimal]:
    return [Decimal(text) for text in texts]


# ── by name and parameters ──────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "name", ["post_only_pulse", "average_cross", "two_sided_maker", "automatic",
             "trading_core.strategies.average_cross:AverageCross"]
)
def test_a_strategy_is_found_by_its_name_or_its_class(name: str) -> None:
    assert isinstance(load_strategy(make_entry(name), 1), Strategy)


def test_a_users_own_class_gets_entry_and_seed() -> None:
    entry = make_entry("tests.unit.test_strategies:Own", word="blue")
    assert load_strategy(entry, 3).name == load_strategy(entry, 3).name
    assert load_strategy(entry, 3).name.startswith("own-blue-")


@pytest.mark.parametrize(
    ("strategy", "params", "words"),
    [
        ("nobody", {}, "there"),
        ("trading_core.strategies.average_cross:nothing", {}, "not there"),
        ("tests.unit.test_strategies:make_entry", {}, "cannot be made|neither|has no name"),
        ("tests.unit.test_strategies:Own", {}, "word"),
        ("post_only_pulse", {"speed": 3}, "unknown parameters speed"),
        ("average_cross", {"fsat": 3}, "unknown parameters fsat: there are .*fast"),
        ("average_cross", {"fast": 50}, "fast is 50, slow 48"),
        ("average_cross", {"rsi_max": "101"}, "rsi_max is 101: write a decimal from 1 to 100"),
        ("average_cross", {"rsi_max": 70}, "rsi_max is 70: write a decimal"),
        ("average_cross", {"sample_s": "10"}, "sample_s is '10': write a whole number"),
        ("average_cross", {"sample_s": True}, "sample_s is True"),
        ("two_sided_maker", {"requote_s": 0}, "requote_s is 0"),
        ("automatic", {"calm": "automatic"}, "cannot choose itself"),
        ("automatic", {"calm": "nobody"}, "nobody"),
        ("automatic", {"calm.requote_s": 0}, "requote_s is 0"),
        ("automatic", {"calm": "post_only_pulse", "trending": "post_only_pulse"}, "nothing to choose"),
    ],
)
def test_a_wrong_name_or_parameter_is_refused_with_a_sentence_also_by_the_lint(
    strategy: str, params: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        load_strategy(make_entry(strategy, **params), 1)
    plan = make_plan(entry={"strategy": strategy, "params": params})
    assert "entry.strategy" in [f.key for f in lint_plan(plan, {}, {}) if f.severity == "refuse"]


# ── figures ─────────────────────────────────────────────────────────────────────────────────────
def test_indicators_by_hand() -> None:
    assert average(decimals("1", "2", "3", "7"), 2) == 5
    assert rsi(decimals("10", "11", "10", "12"), 3) == 75
    assert [rsi(decimals(*moves), 2) for moves in (("1", "2", "3"), ("3", "2", "1"), ("1", "1", "1"))] == [100, 0, 50]
    assert volatility_bps(decimals("100", "101", "100")) == 100
    assert trend_bps(decimals("100", "105", "99")) == -100


@pytest.mark.parametrize(
    ("figures", "now", "regime"),
    [
        (("5", "2.5", "25"), None, Regime.CALM),
        (("5.01", "0", "0"), None, Regime.ROUGH),
        (("0", "2.51", "90"), None, Regime.ROUGH),
        (("0", "0", "-25.01"), None, Regime.TRENDING),
        (("3.76", "0", "0"), Regime.ROUGH, Regime.ROUGH),
        (("3.75", "0", "0"), Regime.ROUGH, Regime.CALM),
        (("3.76", "0", "0"), Regime.CALM, Regime.CALM),
        (("0", "0", "18.76"), Regime.TRENDING, Regime.TRENDING),
        (("0", "0", "18.75"), Regime.TRENDING, Regime.CALM),
    ],
)
def test_a_regime_is_left_later_than_it_is_entered(
    figures: tuple[str, str, str], now: Regime | None, regime: Regime
) -> None:
    assert regime_of(Figures(*decimals(*figures)), now) is regime


# ── average cross ───────────────────────────────────────────────────────────────────────────────
def cross(**params: Any) -> average_cross.AverageCross:
    entry = make_entry("average_cross", **{"sample_s": 1, "fast": 2, "slow": 4, "rsi_periods": 2, **params})
    return average_cross.AverageCross(entry, Random(1))


def feed(market: Market, strategy: Strategy, bids: list[int], lots: int = 1_000_000_000) -> list[OrderIntent]:
    """Show one book each second and return what the strategy wanted last."""
    wanted: list[OrderIntent] = []
    for bid in bids:
        market.tick(1, with_book=False)
        market.book(bid, lots)
        wanted = strategy.decide(market.desk)
    return wanted


RISING = [5_000_000, 5_000_000, 4_999_000, 5_003_000]


def test_a_rising_average_enters_behind_the_touch_once_per_interval() -> None:
    market, strategy = Market(), cross(rsi_max="100")
    [intent] = feed(market, strategy, RISING)
    assert (intent.side, intent.purpose, intent.post_only) == (Side.BUY, Purpose.ENTRY, True)
    assert intent.limit_price is not None
    assert intent.limit_price < Decimal("50030.00")
    assert feed(market, strategy, [5_004_000]) == []


def test_a_falling_average_leaves_what_is_held() -> None:
    market, strategy = Market(), cross()
    market.buy("0.001")
    [intent] = feed(market, strategy, [5_003_000, 5_003_000, 5_000_000, 4_999_000])
    assert (intent.side, intent.purpose, intent.size) == (Side.SELL, Purpose.EXIT, Decimal("0.001"))


@pytest.mark.parametrize(
    ("params", "filter_name"), [({"rsi_max": "60"}, "rsi"), ({"spread_bps_max": "0.1"}, "spread"),
                                ({"depth_min": "1000000000"}, "depth")],
)
def test_a_filtered_signal_is_recorded_with_its_figure_and_sends_nothing(
    params: dict[str, str], filter_name: str
) -> None:
    market = Market()
    strategy = cross(**{"rsi_max": "100", **params})
    assert feed(market, strategy, RISING) == []
    records = market.desk.decisions.records
    [signal] = [r for r in records if isinstance(r, SignalRaised)]
    [stopped] = [r for r in records if isinstance(r, SignalFiltered)]
    assert (stopped.signal_id, stopped.filter_name) == (signal.signal_id, filter_name)
    assert "limit" in stopped.detail or "needed" in stopped.detail
    assert not any(isinstance(r, OrderSubmitted) for r in records)


def test_a_hole_in_the_market_forgets_the_averages() -> None:
    market, strategy = Market(), cross(rsi_max="100")
    feed(market, strategy, RISING[:3])
    market.tick(30, with_book=False)
    assert feed(market, strategy, RISING[3:]) == []


def test_a_strategy_that_needs_a_longer_past_has_an_entry_tried_in_its_place(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)
    result = pulse(rig, strategy=cross(slow=500))
    assert result.status is StageStatus.PASSED
    assert "in its place" in check_of(result, "dry_run_cycle").observed


# ── two-sided maker ─────────────────────────────────────────────────────────────────────────────
def maker(**params: Any) -> two_sided_maker.TwoSidedMaker:
    return two_sided_maker.TwoSidedMaker(make_entry("two_sided_maker", **params), Random(1))


def test_without_a_position_spot_is_quoted_on_the_bid_only() -> None:
    [bid] = feed(Market(), maker(), [5_000_000])
    assert (bid.side, bid.post_only, bid.purpose) == (Side.BUY, True, Purpose.ENTRY)


def test_with_a_position_both_sides_are_quoted_and_lean_away_from_it() -> None:
    market = Market()
    market.buy("0.001")  # half of the inventory of $100
    bid, ask = feed(market, maker(behind_bps="4", skew_bps="4"), [5_000_000])
    assert (bid.side, ask.side, ask.purpose, ask.reduce_only) == (Side.BUY, Side.SELL, Purpose.EXIT, True)
    assert bid.limit_price is not None
    assert ask.limit_price is not None
    behind_bid, behind_ask = Decimal(50_000) - bid.limit_price, ask.limit_price - Decimal(50_001)
    assert behind_ask < behind_bid
    assert bid.size < ask.size <= Decimal("0.001")


def test_at_the_inventorys_limit_nothing_is_added() -> None:
    market = Market()
    market.buy("0.002")
    assert [i.side for i in feed(market, maker(), [5_000_000])] == [Side.SELL]


def test_a_quote_that_is_still_right_stays_and_another_makes_way_first() -> None:
    market, strategy = Market(), maker(requote_s=5)
    [bid] = feed(market, strategy, [5_000_000])
    order = market.open(bid)
    assert feed(market, strategy, [5_000_000] * 6) == []
    assert not market.desk.waiting.is_replaced(order)
    assert feed(market, strategy, [4_990_000] * 6) == []
    assert order.status is OrderStatus.CANCEL_REQUESTED
    assert len(market.desk.orders.live()) == 1
    market.report(order, OrderStatus.CANCELLED)
    decisions = market.tick(1, with_book=False)
    [successor] = [r for r in decisions.records if isinstance(r, OrderSubmitted)]
    assert successor.intent.limit_price != order.intent.limit_price


# ── the automatic choice ────────────────────────────────────────────────────────────────────────
def test_the_choice_is_recorded_with_figures_and_the_chosen_one_trades(tmp_path: Path) -> None:
    plan = make_plan(entry={"interval_s": 20})
    rig = SimRig(tmp_path, plan=plan)
    entry = make_entry("automatic", samples=10, sample_s=2, dwell_s=60, **{"calm.requote_s": 10})
    with rig.session(lambda desk: trade(desk, load_strategy(entry, 1), START_NS + 600 * NS)) as session:
        rig.run(session, 300)
        chosen = rig.log.of(StrategyChosen)
        sources = {e.source for e in rig.log.of(SignalRaised) if e.ts_ns > chosen[0].ts_ns}
    assert chosen[0].before == ""
    assert {c.strategy for c in chosen} & sources
    assert all(regime_of(Figures(c.spread_bps, c.volatility_bps, c.trend_bps), Regime(c.regime)) == c.regime
               for c in chosen)
    assert all(b.ts_ns - a.ts_ns >= 60 * NS for a, b in itertools.pairwise(chosen))
    assert all(a.strategy == b.before for a, b in itertools.pairwise(chosen))


def test_until_there_are_figures_the_careful_strategy_trades() -> None:
    strategy = automatic.make(make_entry("automatic"), Random(1))
    assert strategy.name == "post_only_pulse"
    assert [i.purpose for i in feed(Market(), strategy, [5_000_000])] == [Purpose.ENTRY]


def test_replaced_orders_are_told(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)
    with rig.session(lambda desk: trade(desk, maker(requote_s=5), START_NS + 120 * NS)) as session:
        rig.run(session, 120)
    replaced = rig.log.of(OrderReplaced)
    assert replaced
    assert all(r.source == "two_sided_maker" for r in replaced)


def test_a_word_that_is_no_way_to_requote_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="replace, edit"):
        maker(requote="amend")
