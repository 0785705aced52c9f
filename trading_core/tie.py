"""The tie between a session and whoever supervises it: a lock of the kernel, which another process can take up.

A supervisor that was killed has lost it at once. The session then trades on for a grace time, and says so; whoever
takes the lock again is its supervisor from then on.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from trading_core.clock import NS, SystemClock
from trading_core.errors import ConfigurationError, StorageError
from trading_core.lifeline import Lifeline
from trading_core.storage.lock import exclusive, is_held
from trading_core.trading_state import TradingGuard, TradingState

LOCK_FILE = "supervisor.lock"
AUDIT_FILE = "supervision.jsonl"
TAKEN_UP, GIVEN_UP = "taken up", "given up"
TAKE_WITHIN_S = 5.0  # the session looks at the lock for an instant, and a supervisor that ends may still hold it

log = logging.getLogger(__name__)


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """One time without a supervisor, as the account's audit file has it. Times are the machine's."""

    run_id: str
    pid: int
    lost_ns: int
    until_ns: int = 0  # 0: it has not ended
    ended: str = ""  # TAKEN_UP, GIVEN_UP, or not at all


class Alone(NamedTuple):
    """Since when nobody supervises the session (0: somebody does), for how long, and how long it goes on anyway."""

    since_ns: int
    for_s: float
    grace_s: float


@contextmanager
def supervising(folder: Path) -> Iterator[None]:
    """Be the supervisor of the account's session while the block runs; raises ConfigurationError if another one is."""
    with ExitStack() as held:
        try:
            held.enter_context(exclusive(folder / LOCK_FILE, TAKE_WITHIN_S))
        except StorageError as e:
            raise ConfigurationError(
                f"the session of account {folder.name} is supervised by another process: wait for its end"
            ) from e
        yield


class Tie:
    """The session's end. `look` is called again and again, by one thread."""

    def __init__(
        self, folder: Path, run_id: str, lifeline: Lifeline, guard: TradingGuard, grace_s: float
    ) -> None:
        """Watch the lock of the account's folder. `guard` is for this alone."""
        self._folder = folder
        self._run_id = run_id
        self._lifeline = lifeline
        self._guard = guard
        self._grace_s = grace_s
        self._clock = SystemClock()
        self._lost_at_ns = 0  # by the stopwatch
        self.losses: list[Loss] = []

    def look(self) -> Alone:
        """Return whether the session is alone; past the grace time stop it, and tighten at once."""
        lost = self.losses[-1] if self.losses and self.losses[-1].ended != TAKEN_UP else None
        if self._is_supervised():
            if lost is not None:
                self._end(lost, TAKEN_UP)
            return Alone(0, 0.0, self._grace_s)
        if lost is None:
            self._lost_at_ns = self._clock.stopwatch_ns()
            lost = Loss(run_id=self._run_id, pid=os.getpid(), lost_ns=self._clock.now_ns())
            self.losses.append(lost)
            self._write(lost)
        alone_s = (self._clock.stopwatch_ns() - self._lost_at_ns) / NS
        if alone_s >= self._grace_s and not self._lifeline.stop_reason:
            self._lifeline.stop(f"stopped: its supervisor was lost, and nobody took it up within {self._grace_s:g} s")
            self._guard.tighten(TradingState.REDUCE_ONLY, reason=self._lifeline.stop_reason, actor="tie")
            self._end(lost, GIVEN_UP)
        return Alone(lost.lost_ns, alone_s, self._grace_s)

    def _is_supervised(self) -> bool:
        try:
            return is_held(self._folder / LOCK_FILE)
        except StorageError as e:
            log.error("tie_unknown", extra={"why": str(e)})
            return False  # the grace time bounds a doubt, too

    def _end(self, lost: Loss, how: str) -> None:
        self.losses[-1] = msgspec.structs.replace(lost, until_ns=self._clock.now_ns(), ended=how)
        self._write(self.losses[-1])

    def _write(self, loss: Loss) -> None:
        log.warning("supervisor", extra=msgspec.structs.asdict(loss))
        try:
            with (self._folder / AUDIT_FILE).open("ab") as file:
                file.write(msgspec.json.encode(loss) + b"\n")
        except OSError as e:
            log.error("supervision_not_written", extra={"why": str(e.strerror)})

