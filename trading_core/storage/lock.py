"""An advisory lock on a file, held by one open descriptor at a time, gone when its process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trading_core.clock import NS, SystemClock, pause
from trading_core.errors import StorageError

RETRY_S = 0.002
_stopwatch_ns = SystemClock().stopwatch_ns


@contextmanager
def exclusive(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock while the block runs; raises StorageError if another holds it for the whole time-out."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise StorageError(f"lock file {path} cannot be opened: {e.strerror}") from e
    try:
        _acquire(descriptor, path, timeout_s)
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Tell whether a process holds the lock now. Raises StorageError if that cannot be found out."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as e:
        raise StorageError(f"lock file {path} cannot be opened: {e.strerror}") from e
    try:
        # A shared lock is in nobody's way but for an instant in a taker's, and a taker tries again.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, timeout_s: float) -> None:
    deadline_ns = _stopwatch_ns() + int(timeout_s * NS)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            if _stopwatch_ns() >= deadline_ns:
                raise StorageError(f"{path} was locked for {timeout_s} s by another process: end it") from e
            pause(RETRY_S)
        else:
            return
