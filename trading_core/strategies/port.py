"""What a strategy is: the desk in, intents out. It decides once a second and keeps no clock of its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from random import Random
from typing import Protocol, TypeAlias, runtime_checkable

from trading_core.desk import Desk
from trading_core.errors import ConfigurationError
from trading_core.orders import OrderIntent
from trading_core.plan import Entry

GROUP = "greenlight.strategies"  # the entry points under which installed packages offer theirs
BUILT_IN = {
    name: f"trading_core.strategies.{name}:make"
    for name in ("post_only_pulse", "average_cross", "two_sided_maker", "automatic")
}


@runtime_checkable
class Strategy(Protocol):
    """Decides what to place; called once a second while the protocol lets it trade."""

    @property
    def name(self) -> str:
        """Return the name that its signals carry; the automatic strategy's changes with its choice."""
        ...

    def decide(self, desk: Desk) -> list[OrderIntent]:
        """Return the orders wanted now; the desk sizes, reviews and sends them."""
        ...


@runtime_checkable
class Watching(Protocol):
    """A strategy that keeps figures of the market: it is shown the desk each second, also while another one trades."""

    def watch(self, desk: Desk) -> None:
        """Take the market as it is now; places nothing."""
        ...


@runtime_checkable
class ReadsBars(Protocol):
    """A strategy that may want the venue's five-minute bars: only then is their channel subscribed."""

    @property
    def reads_bars(self) -> bool:
        """Tell whether this one does."""
        ...


def reads_bars(strategy: Strategy) -> bool:
    """Tell whether the strategy wants the venue's bars."""
    return isinstance(strategy, ReadsBars) and strategy.reads_bars


StrategyFactory: TypeAlias = Callable[[Entry, Random], Strategy]


def load_strategy(entry: Entry, seed: int) -> Strategy:
    """Return the plan's strategy: `module:factory`, `module:Class`, a built-in's name, or an entry point's.

    Raises ConfigurationError if there is none of that name, or if it refuses its parameters.
    """
    factory = _factory(entry.strategy)
    try:
        strategy: object = factory(entry, Random(seed))
    except ConfigurationError as e:
        raise ConfigurationError(f"strategy {entry.strategy!r}: {e}") from e
    except (TypeError, ValueError, LookupError, ArithmeticError) as e:
        raise ConfigurationError(
            f"strategy {entry.strategy!r} cannot be made of its parameters ({e}): it is called with entry and random"
        ) from e
    if not isinstance(strategy, Strategy):
        raise ConfigurationError(f"{entry.strategy!r} gave {strategy!r}, which has no name or cannot decide(desk)")
    return strategy


def _factory(name: str) -> StrategyFactory:
    wanted = BUILT_IN.get(name, name)
    if ":" not in wanted:
        return _entry_point(wanted)
    module_name, _, attribute = wanted.partition(":")
    try:
        factory: StrategyFactory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as e:
        raise ConfigurationError(f"strategy {name!r} is not there ({e}): write module:factory") from e
    return factory


def _entry_point(name: str) -> StrategyFactory:
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        known = ", ".join(sorted([*BUILT_IN, *found]))
        raise ConfigurationError(f"strategy {name!r} is not there: write module:factory, or one of {known}")
    try:
        factory: StrategyFactory = found[name].load()
    except (ImportError, AttributeError) as e:
        raise ConfigurationError(f"strategy {name!r} of group {GROUP} cannot be loaded: {e}") from e
    return factory
