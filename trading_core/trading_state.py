"""The trading state: ACTIVE, REDUCE_ONLY or HALTED. Anyone may tighten it, only an operator loosens it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import msgspec

from trading_core.errors import ConfigurationError, StorageError

READS_MAX = 3


class TradingState(StrEnum):
    """What the account may do now."""

    ACTIVE = "ACTIVE"
    REDUCE_ONLY = "REDUCE_ONLY"
    HALTED = "HALTED"

    @property
    def rank(self) -> int:
        """Return 0, 1 or 2: the higher, the tighter."""
        return RANKS[self]


RANKS = {state: rank for rank, state in enumerate(TradingState)}


class StateRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the state file, which is also the audit trail.

    A line tightens, unless an operator loosened: so two processes that tighten at once leave the tighter state.
    """

    state: TradingState
    reason: str
    actor: str
    ts_ns: int
    is_loosening: bool = False


def state_after(records: Iterable[StateRecord]) -> TradingState:
    """Return the state that the records leave, from a first start on."""
    state = TradingState.REDUCE_ONLY
    for record in records:
        if record.is_loosening or record.state.rank > state.rank:
            state = record.state
    return state


class TradingGuard:
    """Holds the state of one account in a file; every process of the account reads the same file.

    A missing or empty file is a first start: REDUCE_ONLY. A file that cannot be read, or that was removed, is a
    latched kill: HALTED, until an operator loosens the state, also if the file is readable again.
    """

    def __init__(self, path: Path, now_ns: Callable[[], int]) -> None:
        self._path = path
        self._name = os.fspath(path)
        self.folder = path.parent  # of the account
        self._now_ns = now_ns
        self._lock = threading.RLock()  # a signal handler may tighten while its own thread is in here
        self._seen: tuple[int, int, int] | None = None
        self._file_state = TradingState.REDUCE_ONLY
        self._unsaved_because = ""
        self._is_killed = False
        self._loosenings: frozenset[StateRecord] | None = None  # None: the file was never read
        self._unsaved = TradingState.ACTIVE  # a floor: tightened, but not yet in the file

    @property
    def state(self) -> TradingState:
        """Return the state as of now, from the file if another process changed it."""
        with self._lock:
            return self._read()

    def tighten(self, state: TradingState, *, reason: str, actor: str) -> TradingState:
        """Tighten to the state; a looser one than now changes nothing. Return the state that holds.

        Never raises: whoever tightens has more to save than the file. If it cannot be written, this process obeys
        all the same, `unsaved_because` says why, and the next call tries again.
        """
        with self._lock:
            if state.rank > self._read().rank:
                self._unsaved = state
            if self._unsaved is not TradingState.ACTIVE:
                try:
                    self._append(
                        StateRecord(state=self._unsaved, reason=reason, actor=actor, ts_ns=self._now_ns())
                    )
                except StorageError as e:
                    self._unsaved_because = str(e)
            return self._read()

    @property
    def unsaved_because(self) -> str:
        """Return why the last tightening is not in the file, so that other processes do not know; "" if it is."""
        return self._unsaved_because

    def loosen(self, state: TradingState, *, reason: str, operator: str) -> TradingState:
        """Set a looser state. Only for an operator's explicit command: it is audited by name.

        Raises StorageError if the file cannot be written, or is damaged: then nothing is loosened.
        """
        if not operator:
            raise ConfigurationError("loosening the trading state needs the operator's name")
        with self._lock:
            self._require_whole()
            now_ns = self._now_ns()
            self._append(
                StateRecord(state=state, reason=reason, actor=operator, ts_ns=now_ns, is_loosening=True)
            )
            self._is_killed = False
            self._seen = None
            return self._read()

    @property
    def is_first_start(self) -> bool:
        """Tell whether nothing was ever written: neither a state nor damage."""
        with self._lock:
            return not self._path.exists() and self._read() is TradingState.REDUCE_ONLY

    def history(self) -> list[StateRecord]:
        """Return the audit trail, oldest first; nothing if the file is missing or cannot be read."""
        with self._lock:
            try:
                return self._records()
            except (OSError, ValueError):
                return []

    def _read(self) -> TradingState:
        try:
            stat = os.stat(self._name)  # once a second and before each order: a Path takes three times as long
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen != self._seen:
                self._take(self._records())
                self._seen = seen
        except FileNotFoundError:
            self._is_killed = self._is_killed or self._loosenings is not None  # it was there: somebody removed it
            self._seen = None
        except (OSError, ValueError):
            self._is_killed = True
            self._seen = None
        file_state = TradingState.HALTED if self._is_killed else self._file_state
        return file_state if file_state.rank >= self._unsaved.rank else self._unsaved

    def _require_whole(self) -> None:
        """Raise StorageError if a line cannot be read: one more would not be, either, or would be glued to it."""
        try:
            with suppress(OSError):  # a file that cannot be opened cannot be written, either: that is said then
                self._records()
        except ValueError as e:
            raise StorageError(
                f"trading state {self._path} cannot be read ({e}): it stays HALTED; a damaged line is set aside by "
                "greenlight state repair"
            ) from e

    def _take(self, records: list[StateRecord]) -> None:
        loosenings = frozenset(record for record in records if record.is_loosening)
        if self._is_killed and self._loosenings is not None and not loosenings <= self._loosenings:
            self._is_killed = False  # an operator of another process has loosened since
        self._loosenings = loosenings
        self._file_state = state_after(records)

    def _records(self) -> list[StateRecord]:
        # Another process may be in the middle of a line right now: look again before it counts as damage.
        for _ in range(READS_MAX):
            data = self._path.read_bytes()
            if not data:
                raise FileNotFoundError(f"{self._path} is empty")
            *lines, rest = data.split(b"\n")
            if not rest:
                return [msgspec.json.decode(line, type=StateRecord) for line in lines]
        raise ValueError(f"the last line of {self._path} is cut off")

    def _append(self, record: StateRecord) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(record) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as e:
            raise StorageError(
                f"trading state {self._path} cannot be written ({e.strerror}): {record.state} holds here only; "
                "make the folder writable or set EVENT_STORE_ROOT elsewhere"
            ) from e
        self._unsaved = TradingState.ACTIVE
        self._unsaved_because = ""
