"""Mends a trading state file with lines that cannot be read, as a full disk leaves them. Always leaves HALTED."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from trading_core.clock import wall_now_ns
from trading_core.errors import ConfigurationError, StorageError
from trading_core.trading_state import StateRecord, TradingState


class Damage(NamedTuple):
    """What of a state file can be read, and which of its lines cannot, counted from 1."""

    kept: tuple[StateRecord, ...]
    lines: tuple[int, ...]

    @property
    def words(self) -> str:
        """Return which lines cannot be read; empty if all can."""
        if not self.lines:
            return ""
        more = f" and {len(self.lines) - 1} more" if len(self.lines) > 1 else ""
        return f"line {self.lines[0]}{more} of {len(self.kept) + len(self.lines)} cannot be read"


class Repair(NamedTuple):
    """What was done."""

    damage: Damage
    set_aside: Path  # the damaged file as it was


def damage_of(path: Path) -> Damage:
    """Return what is wrong with the file; a missing one has no damage. Raises StorageError if it cannot be opened.

    Another process may be in the middle of its line: only damage that stays is damage.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Damage((), ())
    except OSError as e:
        raise StorageError(f"trading state {path} cannot be opened: {e.strerror}") from e
    *lines, rest = data.split(b"\n")
    kept, damaged = [], []
    for number, line in enumerate(lines, start=1):
        try:
            kept.append(msgspec.json.decode(line, type=StateRecord))
        except (msgspec.DecodeError, UnicodeDecodeError):
            damaged.append(number)
    # A line without its end was never acknowledged, even if all of it is there: it may be a loosening.
    return Damage(tuple(kept), tuple(damaged) if not rest else (*damaged, len(lines) + 1))


def repair(path: Path, *, operator: str, reason: str) -> Repair:
    """Set the damaged file aside and write a new one: the lines that can be read, then HALTED in the operator's name.

    Nothing is loosened: that is another command. Raises ConfigurationError if there is no damage, or no name or reason,
    StorageError if a file cannot be written; then the damaged one stays, and halts.
    """
    if not operator.strip() or not reason.strip():
        raise ConfigurationError("a repair needs the operator's name and a reason: both stay in the audit trail")
    damage = damage_of(path)
    if not damage.lines:
        raise ConfigurationError(f"every line of {path} can be read: there is nothing to repair")
    now_ns = wall_now_ns()
    aside, beside = path.with_name(f"{path.name}.damaged-{now_ns}"), path.with_name(f"{path.name}.{os.getpid()}")
    words = f"{damage.words}, the file is kept as {aside.name}: {reason.strip()}"
    halted = StateRecord(state=TradingState.HALTED, reason=words, actor=operator.strip(), ts_ns=now_ns)
    try:
        _write(aside, path.read_bytes())
        _write(beside, b"".join(msgspec.json.encode(record) + b"\n" for record in (*damage.kept, halted)))
        beside.replace(path)
        _sync_folder(path.parent)
    except OSError as e:
        raise StorageError(f"trading state {path} cannot be repaired ({e.strerror}): it stays HALTED") from e
    return Repair(damage, aside)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
