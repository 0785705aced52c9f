"""The trading state: ACTIVE, REDUCE_ONLY or HALTED. Anyone may tighten it, only an operator loosens it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec

from trading_core.errors import ConfigurationError


class TradingState(StrEnum):
    """What the account may do now."""

    ACTIVE = "ACTIVE"
    REDUCE_ONLY = "REDUCE_ONLY"
    HALTED = "HALTED"

    @property
    def rank(self) -> int:
        """Return 0, 1 or 2: the higher, the tighter."""
        return list(TradingState).index(self)


class StateRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the state file: the last line is the state, the rest is the audit trail."""

    state: TradingState
    reason: str
    actor: str
    ts_ns: int


class TradingGuard:
    """Holds the state of one account in a file; every process of the account reads the same file.

    A missing file is a first start: REDUCE_ONLY. A file that cannot be read is a latched kill: HALTED.
    """

    def __init__(self, path: Path, now_ns: Callable[[], int]) -> None:
        self._path = path
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._file_state = TradingState.REDUCE_ONLY
        self._unsaved = TradingState.ACTIVE  # a floor: tightened, but not yet in the file

    @property
    def state(self) -> TradingState:
        """Return the state as of now, from the file if another process changed it."""
        with self._lock:
            return self._read()

    def tighten(self, state: TradingState, *, reason: str, actor: str) -> TradingState:
        """Tighten to the state; a looser one than now changes nothing. Return the state that holds."""
        with self._lock:
            if state.rank > self._read().rank:
                # In memory first: if the file cannot be written, this process obeys all the same.
                self._unsaved = state
                self._append(StateRecord(state=state, reason=reason, actor=actor, ts_ns=self._now_ns()))
            return self._read()

    def loosen(self, state: TradingState, *, reason: str, operator: str) -> TradingState:
        """Set a looser state. Only for an operator's explicit command: it is audited by name."""
        if not operator:
            raise ConfigurationError("loosening the trading state needs the operator's name")
        with self._lock:
            self._append(StateRecord(state=state, reason=reason, actor=operator, ts_ns=self._now_ns()))
            return self._read()

    def history(self) -> list[StateRecord]:
        """Return the audit trail, oldest first."""
        with self._lock:
            return self._records() if self._path.exists() else []

    def _read(self) -> TradingState:
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen != self._seen:
                self._file_state = self._records()[-1].state
                self._seen = seen
        except FileNotFoundError:
            if self._seen is not None:  # it was there: somebody removed it
                self._file_state = TradingState.HALTED
        except (OSError, msgspec.DecodeError, IndexError):
            self._file_state = TradingState.HALTED
        return max(self._file_state, self._unsaved, key=lambda state: state.rank)

    def _records(self) -> list[StateRecord]:
        lines = self._path.read_bytes().splitlines()
        return [msgspec.json.decode(line, type=StateRecord) for line in lines]

    def _append(self, record: StateRecord) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(record) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._unsaved = TradingState.ACTIVE
