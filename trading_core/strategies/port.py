"""What a strategy is: the desk in, intents out. It decides once a second and keeps no clock of its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from random import Random
from typing import Protocol, TypeAlias

from trading_core.desk import Desk
from trading_core.errors import ConfigurationError
from trading_core.orders import OrderIntent
from trading_core.plan import Entry


class Strategy(Protocol):
    """Decides what to place; called once a second while the protocol lets it trade."""

    name: str

    def decide(self, desk: Desk) -> list[OrderIntent]:
        """Return the orders wanted now; the desk sizes, reviews and sends them."""
        ...


StrategyFactory: TypeAlias = Callable[[Entry, Random], Strategy]


def load_strategy(entry: Entry, seed: int) -> Strategy:
    """Return the plan's strategy, named as `module:factory`; raises ConfigurationError if there is none."""
    module_name, _, attribute = entry.strategy.partition(":")
    try:
        factory: StrategyFactory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as e:
        raise ConfigurationError(f"strategy {entry.strategy!r} is not there ({e}): write module:factory") from e
    return factory(entry, Random(seed))
