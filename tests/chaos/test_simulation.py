"""Sessions under faults, kills and operators from seeds; `make simulate` runs any number of them."""

from __future__ import annotations

import pytest

from tests.chaos.simulate import draw, main, run_seed
from trading_core.local_exchange.faults import FaultPlan

DEFAULT_SEEDS = 50
SOAK_SEEDS = 1_000


def test_fifty_seeds_break_no_rule(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--seeds", str(DEFAULT_SEEDS)])
    said = capsys.readouterr().out
    assert code == 0, said
    assert f"{DEFAULT_SEEDS} seeds" in said


@pytest.mark.soak
def test_a_thousand_seeds_break_no_rule(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--seeds", str(SOAK_SEEDS)])
    assert code == 0, capsys.readouterr().out


def test_a_seed_repeats_itself() -> None:
    assert draw(7) == draw(7)
    assert run_seed(7) == run_seed(7)


def test_the_seeds_draw_every_fault_kills_and_operators() -> None:
    scripts = [draw(seed) for seed in range(1, SOAK_SEEDS + 1)]
    drawn = {name for script in scripts for name in script.faults.model_dump(exclude_defaults=True)}
    assert set(FaultPlan.model_fields) - drawn <= {"reject_products", "reject_from_order", "reject_reason", "hang_s",
                                                   "crossed_ticks", "fail_reason", "close_code"}
    assert {kill.moment for script in scripts for kill in script.kills} >= {"send", "sent", "append", "tightened"}
    assert any(script.deeds for script in scripts)
    assert any(script.damages_state for script in scripts)
