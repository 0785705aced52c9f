"""The heartbeat of a session: who trades an account right now, and when it last said so. Read by the watchdog."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from trading_core.clock import SystemClock
from trading_core.errors import StorageError
from trading_core.run import Endpoint, RunContext

FILE_NAME = "session.json"
BEAT_EVERY_S = 1.0  # machine seconds; a watchdog waits for several of them to fail


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What the session of an account last said of itself. Times are the machine's, in nanoseconds of UTC."""

    account: str
    run_id: str
    plan: str
    venue: str
    pid: int
    run_dir: str
    endpoint: str  # trading_core.run.Endpoint as JSON: how a watchdog reaches the venue; it names the key file, no key
    started_ns: int
    beat_ns: int
    lost_after_s: int  # the plan's time without a beat after which the session counts as dead
    has_ended: bool = False
    is_flat: bool | None = None  # what the venue said at the end; None while trading, and if it was never read
    orphaned_ns: int = 0  # since when nobody supervises the session; 0 while somebody does
    alone_s: float = 0.0  # the same as a length, by the session's stopwatch
    grace_s: float = 0.0  # how long it goes on all the same

    def silent_s(self, now_ns: int) -> float:
        """Return the machine seconds since the last beat."""
        return (now_ns - self.beat_ns) / 1e9


class Heartbeat:
    """Writes the beat of one session. Each beat replaces the file atomically; a reader sees a whole one."""

    def __init__(self, context: RunContext, endpoint: Endpoint, account: str) -> None:
        self._path = beat_path(context.event_store_root, account)
        self._clock = SystemClock()
        now_ns = self._clock.now_ns()
        self._beat = Beat(
            account=account, run_id=context.run_id, plan=context.plan.name, venue=context.venue, pid=os.getpid(),
            run_dir=str(context.run_dir.absolute()), endpoint=endpoint.model_dump_json(), started_ns=now_ns,
            beat_ns=now_ns, lost_after_s=context.plan.rollback.heartbeat_lost_s,
        )

    def beat(self, orphaned_ns: int = 0, alone_s: float = 0.0, grace_s: float = 0.0) -> None:
        """Say that the session is alive, and since when alone. Raises StorageError if that cannot be written."""
        beat = msgspec.structs.replace(self._beat, orphaned_ns=orphaned_ns, alone_s=alone_s, grace_s=grace_s)
        _write(self._path, msgspec.structs.replace(beat, beat_ns=self._clock.now_ns()))

    def end(self, is_flat: bool | None) -> None:
        """Say that the session has ended, and whether the venue said flat."""
        now_ns = self._clock.now_ns()
        _write(self._path, msgspec.structs.replace(self._beat, beat_ns=now_ns, has_ended=True, is_flat=is_flat))


def end_for_dead(event_store_root: Path, account: str, run_id: str, is_flat: bool) -> None:
    """Say in a dead session's place that it has ended: whoever made it flat spares the watchdog the same climb.

    Nothing is said of a session of another run, or of one that said it itself. Raises StorageError.
    """
    path = beat_path(event_store_root, account)
    beat = read_beat(event_store_root, account)
    if beat is not None and beat.run_id == run_id and not beat.has_ended:
        now_ns = SystemClock().now_ns()
        _write(path, msgspec.structs.replace(beat, beat_ns=now_ns, has_ended=True, is_flat=is_flat))


def beat_path(event_store_root: Path, account: str) -> Path:
    """Return where the session of an account writes its beat."""
    return event_store_root / "accounts" / account / FILE_NAME


def read_beat(event_store_root: Path, account: str) -> Beat | None:
    """Return the last beat of an account, None if it never had a session; raises StorageError if it is unreadable."""
    path = beat_path(event_store_root, account)
    return _read(path) if path.exists() else None


def read_beats(event_store_root: Path) -> list[Beat]:
    """Return the last beat of each account that ever had a session, by account.

    A file that cannot be read raises StorageError: a watchdog that sees nothing must not think that all is well.
    """
    return [_read(path) for path in sorted(event_store_root.glob(f"accounts/*/{FILE_NAME}"))]


def _read(path: Path) -> Beat:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Beat)
    except (OSError, msgspec.DecodeError) as e:
        raise StorageError(f"heartbeat {path} cannot be read: {e}") from e


def _write(path: Path, beat: Beat) -> None:
    beside = path.with_name(f"{FILE_NAME}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(msgspec.json.encode(beat))
        beside.replace(path)
    except OSError as e:
        raise StorageError(f"heartbeat {path} cannot be written: {e.strerror}") from e
