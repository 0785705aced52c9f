"""Each rule of the simulation about edits can fail; and the seeds do edit."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.chaos.draws import draw
from tests.chaos.simulate import run_seed
from tests.chaos.test_rules import ACTIVE, BTC, HALTED, REDUCE_ONLY, leaving, make_world, trade, tripped
from tests.chaos.world import World
from tests.desk_builders import make_intent
from trading_core.events import EditRequested
from trading_core.orders import OrderIntent, Side
from trading_core.risk import ApprovedOrder
from trading_core.trading_state import TradingState

SIZE = "0.014"
BEFORE = make_intent(SIZE, "70000")
AFTER = make_intent(SIZE, "71000")


def quote(folder: Path, name: str = "sim-00001") -> World:
    """Return a world in which an entry rests, as it was checked on its way out."""
    world = make_world(folder)
    world.rules.check_submission(leaving(world, name, BEFORE), ACTIVE, is_durable=True)
    trade(world, name, Side.BUY, SIZE, price="70000")
    return world


def edit(
    world: World, intent: OrderIntent = AFTER, state: TradingState = ACTIVE, *, is_durable: bool = True
) -> None:
    """Let an edit of the entry be checked on its way out."""
    name = "sim-00001"
    there = next(o for o in world.rules.resting(BTC) if o.request.client_order_id.startswith("sim-"))
    world.rules.note(EditRequested(
        ts_ns=world.clock.now_ns(), client_order_id=name, intent=intent, source="test", mid=AFTER.size))
    seal = leaving(world, name, BEFORE).seal
    world.rules.check_edit(there.order_id, ApprovedOrder(name, intent, seal), state, is_durable=is_durable)


def test_an_edit_within_all_limits_leaves(tmp_path: Path) -> None:
    world = quote(tmp_path)
    edit(world)
    edit(world, msgspec.structs.replace(AFTER, size=AFTER.size / 2))
    with pytest.raises(AssertionError, match="within a minute"):
        edit(world)


@pytest.mark.parametrize(
    ("intent", "said"),
    [
        (make_intent("0.015", "70000"), "would grow to 0.015"),
        (make_intent(SIZE, "110000"), r"above \$1500"),
    ],
)
def test_an_edit_that_is_too_large_is_noticed(tmp_path: Path, intent: OrderIntent, said: str) -> None:
    world = quote(tmp_path)
    with pytest.raises(AssertionError, match=said):
        edit(world, intent)


def test_an_edit_down_counts_at_the_price_before_it(tmp_path: Path) -> None:
    world = quote(tmp_path)
    trade(world, "beside", Side.BUY, "0.006", price="100000")
    with pytest.raises(AssertionError, match=r"above \$1500"):
        edit(world, make_intent(SIZE, "40000"))


@pytest.mark.parametrize(
    ("state", "said"), [(HALTED, "HALTED, and an edit"), (REDUCE_ONLY, "REDUCE_ONLY, and an edit of an entry")]
)
def test_an_edit_that_the_state_forbids_is_noticed(tmp_path: Path, state: TradingState, said: str) -> None:
    world = quote(tmp_path)
    with pytest.raises(AssertionError, match=said):
        edit(world, state=state)


def test_an_edit_that_is_not_on_disk_is_noticed(tmp_path: Path) -> None:
    world = quote(tmp_path)
    with pytest.raises(AssertionError, match="is not on disk"):
        edit(world, is_durable=False)


def test_an_edit_after_a_latch_is_noticed(tmp_path: Path) -> None:
    world = quote(tmp_path)
    world.rules.note(tripped(REDUCE_ONLY))
    with pytest.raises(AssertionError, match="a guardrail has tripped"):
        edit(world)


def test_an_edit_of_another_order_is_noticed(tmp_path: Path) -> None:
    world = quote(tmp_path, name="sim-00002")
    with pytest.raises(AssertionError, match="which is another order"):
        edit(world)


@pytest.mark.parametrize("seed", [45, 54])
def test_a_seed_edits_its_quotes(seed: int) -> None:
    told = run_seed(seed)
    assert told.problem == ""
    assert told.edits > 10


def test_the_seeds_edit_and_replace_quotes() -> None:
    maker = [s.plan.entry.params for seed in range(1, 201) if "maker" in (s := draw(seed)).plan.entry.strategy]
    edits = [params for params in maker if params.get("requote") == "edit"]
    assert len(maker) // 4 < len(edits) < len(maker) * 3 // 4
