"""What a session shares with those who watch over it: they tell it to stop, and see whether its loop still moves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Lifeline:
    """Written by one thread, read by another: a text and a number, nothing that could be seen half changed."""

    stop_reason: str = ""  # why the session is to end now; empty while it may go on
    moves: int = 0  # grows while the loop of the session moves

    def stop(self, reason: str) -> None:
        """Ask the session to go reduce-only and end flat; the first reason stays."""
        self.stop_reason = self.stop_reason or reason
