"""The stage task's window on the session's process: starts it or takes it up, waits, and closes if it was killed.

The tie is a lock (trading_core.tie). Whatever ends us without a word leaves the session to its grace time and to
whoever takes the lock next; whoever is told to end ends the session, too.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from trading_core.bootstrap import account_name
from trading_core.exchange_process import ENDPOINT_FILE
from trading_core.heartbeat import read_beat
from trading_core.plan import Stage
from trading_core.run import Endpoint, RunContext
from trading_core.session_rescue import rescue
from trading_core.stages.files import read_stage
from trading_core.stages.result import StageResult
from trading_core.storage.lock import is_held
from trading_core.tie import LOCK_FILE as SUPERVISOR_LOCK
from trading_core.tie import supervising

# Real seconds for a stopped session to end: two minutes of winding down, ten rounds of the ladder, the last artifacts.
STOP_WITHIN_S = 240.0
CONTEXT_FILE = "context.json"
PID_FILE = "session.pid"
LOG_FILE = "session.log"
MODULE = "trading_core.session_process"

log = logging.getLogger(__name__)


def supervise(context: RunContext, endpoint: Endpoint) -> StageResult:
    """Run the session in its process and return its result; a session that was killed is made flat from here.

    One of this run that lost its supervisor is taken up instead. Any exception while waiting, Prefect's
    TerminationSignal and KeyboardInterrupt too, stops the session in good order, waits for its end and rises again.
    Raises ConfigurationError if another process supervises it.
    """
    folder = session_folder(context)
    folder.mkdir(parents=True, exist_ok=True)
    with supervising(folder):
        session: Supervised = find_session(context) or Started(start_session(context, endpoint, folder), folder)
        try:
            session.wait()
        except BaseException:
            end_session(session)
            raise
        finally:
            session.close()
        cause = session.obituary()
        if not cause and (result := read_stage(context, Stage.LIVE_MICRO_TEST)) is not None:
            return result
        return rescue(context, endpoint, cause or "the session's process left no result")


class Supervised(Protocol):
    """A session's process, started by us or by somebody who is gone."""

    pid: int

    def wait(self, within_s: float | None = None) -> bool:
        """Return whether it has ended in time; without a limit it has."""
        ...

    def stop(self) -> None:
        """Ask it to end flat; does not wait."""
        ...

    def obituary(self) -> str:
        """Return in one sentence how it failed to end in good order; empty if it did end so."""
        ...

    def close(self) -> None:
        """Let go of it; it goes on if it has not ended."""
        ...


class Started:
    """A session that is our child."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.pid = process.pid
        self._process = process
        self._folder = folder

    def wait(self, within_s: float | None = None) -> bool:
        """See Supervised."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(within_s)
        return self._process.returncode is not None

    def stop(self) -> None:
        """See Supervised."""
        self._process.terminate()

    def obituary(self) -> str:
        """See Supervised."""
        code = self._process.wait()
        return "" if code == 0 else _obituary(code, self._folder / LOG_FILE)

    def close(self) -> None:
        """See Supervised."""


class TakenUp:
    """A session that somebody else started. Held by the kernel's own handle: its number may be given anew."""

    def __init__(self, descriptor: int, pid: int, context: RunContext) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self._context = context
        self._left_before = read_stage(context, Stage.LIVE_MICRO_TEST)

    def wait(self, within_s: float | None = None) -> bool:
        """See Supervised."""
        ended = select.poll()
        ended.register(self._descriptor, select.POLLIN)
        return bool(ended.poll(None if within_s is None else within_s * 1000))

    def stop(self) -> None:
        """See Supervised."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGTERM)

    def obituary(self) -> str:
        """See Supervised."""
        beat = read_beat(self._context.event_store_root, account_name(self._context))
        if beat is not None and (beat.run_id, beat.pid) == (self._context.run_id, self.pid):
            if beat.has_ended:
                return ""
        elif read_stage(self._context, Stage.LIVE_MICRO_TEST) != self._left_before:
            return ""  # it found its account traded: such a one does not beat
        return f"the session's process {self.pid} was killed after it was taken up"

    def close(self) -> None:
        """See Supervised."""
        os.close(self._descriptor)


def session_folder(context: RunContext) -> Path:
    """Return the folder with what the session's process was started with: enough to start it again."""
    return context.event_store_root / "accounts" / account_name(context)


def start_session(context: RunContext, endpoint: Endpoint, folder: Path) -> subprocess.Popen[bytes]:
    """Start the session's process in a process session of its own: signals to us do not reach it."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / CONTEXT_FILE, folder / ENDPOINT_FILE]
    (folder / PID_FILE).unlink(missing_ok=True)  # it must not name a session of another context
    for path, document in zip(paths, (context, endpoint), strict=True):
        path.touch(mode=0o600)
        path.write_text(document.model_dump_json(), encoding="utf-8")
    command = [sys.executable, "-m", MODULE, *map(str, paths)]
    with (folder / LOG_FILE).open("ab") as output, _stop_signals_blocked():
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    (folder / PID_FILE).write_text(str(process.pid), "ascii")  # a beat says it only seconds later
    return process


@contextmanager
def _stop_signals_blocked() -> Iterator[None]:
    """Let a child begin with them blocked: a stop that comes before it listens is kept for it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def find_session(context: RunContext) -> TakenUp | None:
    """Return the session of this run if it still runs on this machine, started with the same context; else None.

    None also where the kernel has no handle for a process (macOS): a new session then waits for the old one's end.
    """
    if not is_started_with(context) or not hasattr(os, "pidfd_open"):
        return None
    pid, beat = started_pid(session_folder(context)), read_beat(context.event_store_root, account_name(context))
    if pid == 0 or (beat is not None and (beat.run_id, beat.pid) == (context.run_id, pid) and beat.has_ended):
        return None
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None  # it has ended
    # The handle is of whoever has the number now: only the command line says that this is still the session.
    if not _is_session(pid, session_folder(context)):
        os.close(descriptor)
        return None
    return TakenUp(descriptor, pid, context)


def is_alive(context: RunContext) -> bool:
    """Tell whether a session of this run, started with the same context, runs on this machine."""
    if (found := find_session(context)) is None:
        return False
    found.close()
    return True


def is_started_with(context: RunContext) -> bool:
    """Tell whether the account's last session was started with exactly this context."""
    try:
        return (session_folder(context) / CONTEXT_FILE).read_text("utf-8") == context.model_dump_json()
    except OSError:
        return False


def started_pid(folder: Path) -> int:
    """Return the number of the session that was started last for the account; 0 if none is known."""
    try:
        return int((folder / PID_FILE).read_text("ascii"))
    except (OSError, ValueError):
        return 0


def trading_run(event_store_root: Path, account: str) -> str:
    """Return the run whose session trades the account on this machine now, or is about to; empty if none does."""
    folder = event_store_root / "accounts" / account
    beat = read_beat(event_store_root, account)
    if beat is not None and not beat.has_ended and _is_session(beat.pid, folder):
        return beat.run_id
    pid = started_pid(folder)
    if pid == 0 or (beat is not None and beat.pid == pid) or not _is_session(pid, folder):
        return ""
    try:
        return RunContext.model_validate_json((folder / CONTEXT_FILE).read_text("utf-8")).run_id
    except (OSError, ValueError):
        return ""


def stop_session(context: RunContext) -> None:
    """Ask the session of this run, if it runs on this machine, to end flat; does not wait."""
    if (found := find_session(context)) is not None:
        found.stop()
        found.close()


def stop_alone(event_store_root: Path) -> list[int]:
    """Ask every session of this machine that nobody supervises to end flat; return their processes, do not wait."""
    return [pid for folder in sorted((event_store_root / "accounts").glob("*")) for pid in stop_if_alone(folder)]


def stop_if_alone(folder: Path) -> list[int]:
    """Ask the account's session to end flat if nobody supervises it; return its process, do not wait."""
    asked = []
    beat = read_beat(folder.parent.parent, folder.name)
    known = {started_pid(folder), 0 if beat is None else beat.pid}
    for pid in sorted(pid for pid in known if _is_session(pid, folder)):
        if not is_held(folder / SUPERVISOR_LOCK):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
                asked.append(pid)
    return asked


def end_session(session: Supervised) -> None:
    """Ask the session to end flat and wait for it; one that does not end is left to itself and the watchdog."""
    session.stop()
    if not session.wait(STOP_WITHIN_S):
        log.error("session_did_not_end", extra={"pid": session.pid, "within_s": STOP_WITHIN_S})


def _is_session(pid: int, folder: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return MODULE.encode() in words and str(folder / CONTEXT_FILE).encode() in words


def _obituary(code: int, output: Path) -> str:
    """Return in one sentence how the process ended."""
    if code < 0:
        return f"the session's process was killed by signal {-code} ({signal.Signals(-code).name})"
    words = output.read_text("utf-8", errors="replace").strip()[-300:]
    return f"the session's process ended with code {code}: {words or 'it said nothing'}"
