"""What a session shares with those who watch over it: they tell it to stop, and see whether its loop still moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from trading_core.events import AnyEvent


@dataclass(slots=True)
class Lifeline:
    """Written by one thread, read by another: a text and a number, nothing that could be seen half changed."""

    stop_reason: str = ""  # why the session is to end now; empty while it may go on
    moves: int = 0  # grows while the loop of the session moves

    def stop(self, reason: str) -> None:
        """Ask the session to go reduce-only and end flat; the first reason stays."""
        self.stop_reason = self.stop_reason or reason


class Tenure(Protocol):
    """What the session's rung stands on; see trading_core.tenure. It may tighten, and stop the session."""

    def look(self) -> None:
        """Look whether it still holds; cheap, so that it may be called at each tick."""
        ...

    def note(self, seq: int, record: AnyEvent) -> None:
        """Take a record as it is stored."""
        ...


class NoTenure:
    """For sessions that stand on nothing: those of tests and drills."""

    def look(self) -> None:
        """There is nothing to look at."""

    def note(self, seq: int, record: AnyEvent) -> None:
        """There is nothing to lose."""
