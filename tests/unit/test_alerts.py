"""Alerts: raised once beyond the limit, cleared once well inside it, checkpoints on their hour, figures for people."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from tests.desk_builders import Market, make_guardrails, make_intent, make_plan
from tests.unit.test_engine import reject
from trading_core.alerts import FIGURES_EVERY_NS, GUARDRAIL, Severity, rules_of
from trading_core.commands import Decisions
from trading_core.events import AlertCleared, AlertRaised, CheckpointReached, FiguresTaken, RunEnding
from trading_core.plan_files import find_plan, plan_names

QUIET = {"snapshot_every_s": 100_000, "save_every_s": 100_000}


def threshold(metric: str, limit: str, severity: str = "WARNING") -> dict[str, str]:
    return {"name": metric, "metric": metric, "limit": limit, "severity": severity}


def watched(*thresholds: dict[str, str], **protocol: Any) -> Market:
    return Market(make_plan(thresholds=list(thresholds), protocol={**QUIET, **protocol}))


def alerts(decisions: Decisions) -> list[AlertRaised | AlertCleared]:
    return [e for e in decisions.records if isinstance(e, AlertRaised | AlertCleared)]


def checkpoints(decisions: Decisions) -> list[CheckpointReached]:
    return [e for e in decisions.records if isinstance(e, CheckpointReached)]


def offset(market: Market, seconds: str) -> list[AlertRaised | AlertCleared]:
    market.account(clock_offset_s=Decimal(seconds))
    return alerts(market.tick())


def test_an_alert_is_raised_beyond_the_limit_and_not_at_it() -> None:
    market = watched(threshold("clock_offset_s", "2", "ERROR"))
    assert offset(market, "2") == []
    (raised,) = offset(market, "-2.001")
    assert (type(raised), raised.name, raised.severity) == (AlertRaised, "clock_offset_s", "ERROR")
    assert raised.detail == "clock_offset_s 2.001 (limit 2)"


def test_a_figure_that_trembles_at_its_limit_raises_one_alert() -> None:
    market = watched(threshold("clock_offset_s", "2"))
    seen = [offset(market, "2.1" if n % 2 else "1.9") for n in range(60)]
    assert sum(len(found) for found in seen) == 1


def test_an_alert_is_cleared_once_after_ten_seconds_well_inside_its_limit() -> None:
    market = watched(threshold("clock_offset_s", "2"))
    offset(market, "3")
    market.account(clock_offset_s=Decimal("1.6"))
    found = [alerts(market.tick()) for _ in range(30)]
    assert [len(each) for each in found] == [0] * 10 + [1] + [0] * 19
    assert isinstance(found[10][0], AlertCleared)
    assert len(offset(market, "3")) == 1  # and may be raised again


def test_a_relapse_starts_the_ten_seconds_again() -> None:
    market = watched(threshold("clock_offset_s", "2"))
    offset(market, "3")
    assert [offset(market, "1") for _ in range(9)] == [[]] * 9
    assert offset(market, "1.9") == []
    assert [offset(market, "1") for _ in range(9)] == [[]] * 9


def test_a_guardrail_raises_a_critical_that_is_never_cleared() -> None:
    market = Market(make_plan(guardrails=make_guardrails(clock_offset_s="5"), protocol=QUIET))
    (raised,) = offset(market, "6")
    assert (raised.name, raised.severity) == (GUARDRAIL + "clock_offset_s", "CRITICAL")
    market.account(clock_offset_s=Decimal(0))
    assert [alerts(market.tick()) for _ in range(60)] == [[]] * 60


def test_an_alert_on_rejections_names_the_last_reason() -> None:
    market = watched(threshold("consecutive_rejections", "1"))
    reject(market)
    reject(market)
    (raised,) = alerts(market.tick())
    assert raised.detail == "consecutive_rejections 2 (limit 1); BTC-USD, the venue's last reason: X"


def test_the_widest_spread_is_watched() -> None:
    market = watched(threshold("spread_bps", "0.1"))
    (raised,) = alerts(market.tick())
    assert raised.detail.startswith("spread_bps 0.1999")  # a dollar at 50,000


# ── checkpoints ─────────────────────────────────────────────────────────────────────────────────
def test_each_checkpoint_is_reached_once_on_its_hour_with_the_figures_so_far() -> None:
    market = watched(checkpoints_h=[0, 1, 4], window_s=86_400)
    (first,) = checkpoints(market.tick())
    assert (first.at_h, first.late_s) == (0, 0)
    market.open(make_intent("0.0001", "41000"))
    reject(market)
    assert [checkpoints(market.tick(60)) for _ in range(59)] == [[]] * 59
    (second,) = checkpoints(market.tick(60))
    assert (second.at_h, second.late_s) == (1, 0)
    assert (second.figures["accepted"], second.figures["rejected"], second.figures["equity"]) == (1, 1, 10_000)
    assert checkpoints(market.tick(60)) == []


def test_a_checkpoint_that_comes_late_is_an_alert() -> None:
    market = watched(threshold("checkpoint_overdue_s", "60", "ERROR"), checkpoints_h=[0, 1], window_s=86_400)
    market.tick()
    decisions = market.tick(3_600 + 61)
    assert [(c.at_h, c.late_s) for c in checkpoints(decisions)] == [(1, 61)]
    assert [a.name for a in alerts(decisions)] == ["checkpoint_overdue_s"]


@pytest.mark.parametrize(("traded_s", "reached"), [(3_599, []), (3_600, [25])])
def test_the_end_of_a_whole_window_brings_the_checkpoints_behind_it(traded_s: int, reached: list[int]) -> None:
    market = watched(checkpoints_h=[0, 25], window_s=3_600)
    market.tick()
    market.tick(traded_s)
    found = checkpoints(market.feed(RunEnding(ts_ns=market.now_ns, reason="test")))
    assert [c.at_h for c in found] == reached
    assert all(c.late_s < 0 for c in found)


# ── figures ─────────────────────────────────────────────────────────────────────────────────────
def test_figures_are_taken_every_five_seconds_and_at_the_end() -> None:
    market = watched(threshold("clock_offset_s", "2"))
    market.account(clock_offset_s=Decimal("0.5"))
    market.buy("0.001")
    taken = [e for _ in range(11) for e in market.tick().records if isinstance(e, FiguresTaken)]
    assert [b.ts_ns - a.ts_ns for a, b in pairwise(taken)] == [FIGURES_EVERY_NS] * 2
    last = taken[-1]
    assert (last.positions, last.marks) == ({"BTC-USD": Decimal("0.001")}, {"BTC-USD": Decimal("50000.5")})
    assert (last.watched, last.seen_ns) == ({"clock_offset_s": Decimal("0.5")}, {"BTC-USD": last.ts_ns})
    assert last.equity == last.pnl + 10_000
    end = market.feed(RunEnding(ts_ns=market.now_ns, reason="test"))
    assert any(isinstance(e, FiguresTaken) for e in end.records)


@pytest.mark.parametrize(("lots", "score"), [(1_000_000_000, "100.0"), (10, "0")])
def test_liquidity_is_what_the_largest_entry_leaves_of_the_impact_limit(lots: int, score: str) -> None:
    market = Market(make_plan(protocol=QUIET), lots=lots)
    found = [e for _ in range(6) for e in market.tick(with_book=False).records if isinstance(e, FiguresTaken)]
    assert found[-1].liquidity == {"BTC-USD": Decimal(score)}


# ── the table ───────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", plan_names())
def test_every_guardrail_and_threshold_of_a_plan_is_a_rule(name: str) -> None:
    plan = find_plan(name)
    rules = {rule.name: rule for rule in rules_of(plan)}
    assert len(rules) == len(plan.thresholds) + len(plan.guardrails)
    assert {rules[GUARDRAIL + g.name].limit == g.limit for g in plan.guardrails} == {True}
    assert all(rule.severity is Severity.CRITICAL for rule in rules.values() if rule.is_latched)
