"""The live micro test as a script: the plan's steps in order, trading in between, the kill-switch drill last."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from trading_core import steps, steps_size
from trading_core.clock import NS
from trading_core.desk import Desk
from trading_core.errors import ConfigurationError
from trading_core.script import Script, Until
from trading_core.strategies.port import Strategy

Step: TypeAlias = Callable[[Desk], Script]

# The drill comes after the trading window, for the state it tightens is not loosened again in this run.
BEFORE_TRADING: dict[str, Step] = {
    "post_only_entry": steps.post_only_entry,
    "crossing_rejected": steps.crossing_rejected,
    "oversize_sized_down": steps.oversize_sized_down,
    "auto_cancel": steps.auto_cancel,
    "stop_limit": steps.stop_limit,
    "bracket": steps_size.bracket,
    "order_types": steps_size.order_types,
}
AFTER_TRADING: dict[str, Step] = {
    "entry_and_exit": steps.entry_and_exit,
    # After the trading day, for the fee tier of its volume: at the lowest tier the step costs eight times as much.
    "size_step": steps_size.size_step,
    "reduce_only_transition": steps_size.reduce_only_transition,
    "kill_switch_drill": steps.kill_switch_drill,
}


def check_steps(names: tuple[str, ...]) -> None:
    """Raise ConfigurationError for a step that nobody has written."""
    unknown = [name for name in names if name not in BEFORE_TRADING and name not in AFTER_TRADING]
    if unknown:
        known = ", ".join([*BEFORE_TRADING, *AFTER_TRADING])
        raise ConfigurationError(f"the plan's protocol has unknown steps {', '.join(unknown)}: choose from {known}")


def micro_test(desk: Desk, strategy: Strategy, started_ns: int) -> Script:
    """Run the plan's steps and let the strategy trade until the window is over."""
    names = desk.plan.protocol.steps
    check_steps(names)
    yield from _each(desk, [BEFORE_TRADING[n] for n in names if n in BEFORE_TRADING])
    yield from trade(desk, strategy, started_ns + desk.plan.protocol.window_s * NS)
    yield from _each(desk, [AFTER_TRADING[n] for n in names if n in AFTER_TRADING])


def trade(desk: Desk, strategy: Strategy, until_ns: int) -> Script:
    """Ask the strategy once a second and place what it wants."""
    while desk.now_ns < until_ns:
        for intent in strategy.decide(desk):
            desk.place(intent, strategy.name)
        yield Until(lambda: False, min(desk.now_ns + NS, until_ns))


def _each(desk: Desk, chosen: list[Step]) -> Script:
    for step in chosen:
        yield from step(desk)
