"""Sessions under faults, kills and operators from seeds; `make simulate` runs any number of them."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.draws import MINUTES, MOMENTS, Script, draw, draw_usual
from tests.chaos.edges import HOLDER
from tests.chaos.plans import FAMILIES, FUTURES
from tests.chaos.simulate import main, run_script, run_seed
from trading_core.clock import MINUTE_NS
from trading_core.local_exchange.config import DAYS
from trading_core.local_exchange.faults import FaultPlan
from trading_core.strategies.port import BUILT_IN

DEFAULT_SEEDS = 50
SOAK_SEEDS = 1_000


@pytest.fixture(scope="module")
def scripts() -> list[Script]:
    """Return what a soak draws."""
    return [draw(seed) for seed in range(1, SOAK_SEEDS + 1)]


def test_fifty_seeds_break_no_rule(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--seeds", str(DEFAULT_SEEDS)])
    said = capsys.readouterr().out
    assert code == 0, said
    assert f"{DEFAULT_SEEDS} seeds" in said


@pytest.mark.soak
def test_a_thousand_seeds_break_no_rule(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--seeds", str(SOAK_SEEDS)])
    assert code == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    "script",
    [
        draw(431),  # the venue liquidated a position: untold, the bot traded beyond its cap
        draw(491),  # the same, beyond its orders per minute
        draw_usual(731),  # what filled while the session was down was booked out of turn: cash was not the venue's
    ],
    ids=lambda script: str(script.seed),
)
def test_a_script_that_finds_a_fault_breaks_no_rule(script: Script) -> None:
    assert run_script(script).problem == ""


@pytest.mark.parametrize("seed", [8, 17])
def test_a_seed_repeats_itself_to_the_last_stored_byte(seed: int) -> None:
    assert draw(seed) == draw(seed)
    first = run_seed(seed)
    assert first.problem == ""
    assert first.restarts > 0
    assert run_seed(seed) == first


def test_fifty_seeds_have_ten_of_each_family() -> None:
    families = Counter(draw(seed).family for seed in range(1, DEFAULT_SEEDS + 1))
    assert families == dict.fromkeys(FAMILIES, DEFAULT_SEEDS // len(FAMILIES))


def test_the_seeds_draw_every_fault(scripts: list[Script]) -> None:
    drawn = {name for script in scripts for name in script.faults.model_dump(exclude_defaults=True)}
    assert set(FaultPlan.model_fields) - drawn == set()


def test_the_seeds_draw_every_kill_disk_and_operator(scripts: list[Script]) -> None:
    assert {kill.moment for script in scripts for kill in script.kills} == set(MOMENTS)
    assert max(len(script.kills) for script in scripts) > 2
    assert any(script.deeds for script in scripts)
    assert any(script.damages_state for script in scripts)
    assert any(script.disk_full_at for script in scripts)
    assert any(script.stop_after_s for script in scripts)


def test_the_seeds_draw_every_market_product_and_strategy(scripts: list[Script]) -> None:
    plans = [script.plan for script in scripts]
    assert {script.day for script in scripts} == set(DAYS)
    assert {script.start_ns // MINUTE_NS % 1440 for script in scripts} >= set(MINUTES)
    assert {p.product_id for plan in plans for p in plan.products} >= set(FUTURES) | {"BTC-USD", "ETH-USD", "XRP-USD"}
    assert {plan.entry.strategy for plan in plans} == {*BUILT_IN.values(), HOLDER}
    steps = {step for plan in plans for step in plan.protocol.steps}
    assert steps >= {"bracket", "size_step", "reduce_only_transition", "order_types", "kill_switch_drill"}
    assert {bool(plan.guardrails) for plan in plans} == {True, False}
