"""Seeds of perpetual futures hold and trade over funding times and over the edges of New York's margin windows."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.draws import Script, draw
from tests.chaos.edges import HOLDER
from tests.chaos.plans import FAMILIES
from tests.chaos.simulate import run_seed
from trading_core.clock import MINUTE_NS, NS
from trading_core.margin import ANNOUNCED_MIN
from trading_core.us_calendar import MarginWindowType, margin_window

SEEDS = 1_000
HOUR_NS = 60 * MINUTE_NS


@pytest.fixture(scope="module")
def futures() -> list[Script]:
    """Return the perpetual futures that a soak draws."""
    return [script for seed in range(1, SEEDS + 1) if (script := draw(seed)).family == "perp"]


def end_ns(script: Script) -> int:
    return script.start_ns + script.plan.protocol.window_s * NS


def has_funding(script: Script) -> bool:
    """Tell whether a funding time lies in the window, with 20 s or more before it in which entries are let through."""
    funding_ns = (script.start_ns // HOUR_NS + 1) * HOUR_NS
    entries_s = (funding_ns - script.start_ns) // NS - script.plan.risk.pre_funding_quiet_s
    return funding_ns < end_ns(script) and entries_s >= 20


def announced(script: Script) -> list[int]:
    """Return the announcements that fall due in the window."""
    transition_ns = margin_window(script.start_ns).end_ns
    due = {minutes: transition_ns - minutes * MINUTE_NS for minutes in ANNOUNCED_MIN}
    return [minutes for minutes, due_ns in due.items() if script.start_ns < due_ns < end_ns(script) - NS]


def test_most_seeds_of_futures_trade_over_a_funding_time(futures: list[Script]) -> None:
    assert len(futures) == SEEDS // len(FAMILIES)
    over = [script for script in futures if has_funding(script)]
    assert len(over) >= len(futures) // 2
    assert len({script.start_ns // HOUR_NS % 24 for script in over}) >= 5
    assert {script.day for script in over} == {"calm", "typical", "volatile"}
    assert sum(script.plan.entry.strategy == HOLDER for script in over) >= len(over) // 2


def test_the_seeds_have_each_announcement_and_both_transitions(futures: list[Script]) -> None:
    minutes = Counter(minutes for script in futures for minutes in announced(script))
    assert set(minutes) == set(ANNOUNCED_MIN)
    assert min(minutes.values()) >= 5
    windows = [(margin_window(s.start_ns).window, margin_window(end_ns(s)).window) for s in futures]
    both = {(MarginWindowType.OVERNIGHT, MarginWindowType.INTRADAY), (MarginWindowType.INTRADAY,
                                                                      MarginWindowType.OVERNIGHT)}
    assert {pair for pair in windows if pair[0] is not pair[1]} == both


def test_some_seeds_of_futures_begin_wherever_the_others_do(futures: list[Script]) -> None:
    usual = [s for s in futures if not has_funding(s) and not announced(s) and s.plan.entry.strategy != HOLDER]
    assert len(usual) >= len(futures) // 20


@pytest.mark.parametrize(
    ("seed", "fundings", "announcements"),
    [
        (61, 1, 1),  # killed between a transition, which is a funding time as well, and its last announcement
        (96, 0, 1),  # T-30
        (126, 2, 0),  # two futures
    ],
)
def test_a_seed_holds_over_its_edge(seed: int, fundings: int, announcements: int) -> None:
    told = run_seed(seed)
    assert (told.problem, told.fundings, told.announcements) == ("", fundings, announcements)
