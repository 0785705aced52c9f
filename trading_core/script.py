"""Protocol steps as generators: a step yields what it waits for, and goes on when that holds or time is up.

>>> def step(desk):
...     order = desk.place(intent, "step")
...     yield Until(lambda: order.is_final, desk.now_ns + 30 * NS)
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Until:
    """Wait until the condition holds or venue time reaches the deadline."""

    holds: Callable[[], bool]
    deadline_ns: int


Script: TypeAlias = Generator[Until, None, None]


class ScriptRunner:
    """Drives one script; `is_done` once it has returned."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._wait: Until | None = None
        self.is_done = False

    def advance(self, now_ns: int) -> None:
        """Run the script as far as it gets at this time."""
        while not self.is_done:
            if self._wait is not None and now_ns < self._wait.deadline_ns and not self._wait.holds():
                return
            try:
                self._wait = next(self._script)
            except StopIteration:
                self.is_done = True

    def stop(self) -> None:
        """End the script where it stands."""
        self._script.close()
        self.is_done = True
