"""Demotions: what took a rung away from a bot that ran on it, in an append-only file that outlives every run.

A demotion holds until the rung itself is shown again by a GO; to start it for that, the rung below has to be shown
again first. Nothing here loosens anything.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from trading_core.clock import iso
from trading_core.errors import IntegrityError
from trading_core.gate.chained_log import ChainedLog
from trading_core.gate.subject import Bot
from trading_core.plan import Level, PlanModel, Rung

REASON_MAX = 500  # characters; the event store and the decision have the rest


class DemotionCause(StrEnum):
    """What can demote a rung while it runs, or at the end of a window."""

    GUARDRAIL = "guardrail"
    ALERT = "alert"
    PERMISSION = "permission"
    WINDOW = "window"


class Demotion(PlanModel):
    """One demotion: which bot fell from which rung in which run, when at its venue, and why."""

    bot: Bot
    rung: Rung
    level: Level
    run_id: str
    cause: DemotionCause
    reason: str
    at_ns: int

    @property
    def words(self) -> str:
        """Return the demotion in one sentence."""
        return f"{self.reason} (run {self.run_id}, {iso(self.at_ns)})"


class DemotionLog:
    """All demotions, oldest first. Every reader verifies the chain first and raises IntegrityError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._log = ChainedLog(path, "demotion")

    def append(self, demotion: Demotion) -> None:
        """Add a demotion, durably; the same run and cause are not noted twice."""
        if not any((d.run_id, d.cause) == (demotion.run_id, demotion.cause) for d in self.demotions()):
            self._log.append(demotion.model_copy(update={"reason": demotion.reason[:REASON_MAX]}))

    def demotions(self) -> tuple[Demotion, ...]:
        """Return every demotion, oldest first."""
        try:
            return tuple(Demotion.model_validate(entry.payload) for entry in self._log.read())
        except ValidationError as e:
            raise IntegrityError(f"{self.path} holds a line that is no demotion: {e.errors()[0]['msg']}") from e
