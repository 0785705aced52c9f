"""The live feed: one reader for each run that is watched, and its view handed to any number of viewers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool

from trading_core.alert_book import Alert, AlertBook
from trading_core.clock import NS, SystemClock, iso, wall_now_ns
from trading_core.control.accounts import NAME, REHEARSAL
from trading_core.control.config import ControlSettings
from trading_core.control.view import TYPES, RunView
from trading_core.errors import ConfigurationError, GreenlightError, StorageError
from trading_core.gate.start_approval import subject_of
from trading_core.heartbeat import Beat, read_beats
from trading_core.overdue import Progress, limit_ns, overdue_of, venue_ns_of
from trading_core.plan import Level
from trading_core.run import RunContext
from trading_core.run_files import RUN
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.event_reader import EventReader

LOOK_EVERY_S = 0.4  # with the store's group commit, an event is on the page within a second
SAY_AT_LEAST_EVERY_S = 2.0  # so that a page knows a quiet run from a dead server
VIEWERS_MAX = 120
QUEUE_MAX = 4  # messages that wait for a slow viewer; each is the whole view, so the oldest may go
WATCHES_MAX = 8  # runs whose views are kept

_stopwatch_ns = SystemClock().stopwatch_ns


class RunWatch:
    """One run's view, read from its events as they come. Used by any thread, one at a time."""

    def __init__(self, settings: ControlSettings, run_dir: Path) -> None:
        self.context = context_of(run_dir)
        self.view = RunView(self.context)
        self._run_dir = run_dir
        self._root = settings.event_store_root
        self._reader: EventReader | None = None
        self._lock = threading.Lock()
        self._moved_ns = 0  # machine time at which something new was last seen

    def look(self) -> dict[str, Any]:
        """Read what is new and return what is shown; problems are shown, too, and never raised."""
        with self._lock:
            problem = ""
            try:
                self._read()
            except GreenlightError as e:
                problem = str(e)
            shown = self.view.shown()
            beat = self.beat()
            shown["checkpoints"]["overdue_s"] = self._overdue_s(beat)
            shown["alerts"], alert_problem = self._alerts(beat)
            shown["problem"] = problem or alert_problem
            shown["beat"] = None if beat is None else {
                "age_s": round(max(beat.silent_s(wall_now_ns()), 0.0), 1), "lost_after_s": beat.lost_after_s,
                "has_ended": beat.has_ended, "account": beat.account,
            }
            shown["data_age_s"] = round((wall_now_ns() - self._moved_ns) / 1e9, 1) if self._moved_ns else None
            return shown

    def points(self) -> list[Any]:
        """Return the curve so far."""
        with self._lock:
            return list(self.view.points)

    def beat(self) -> Beat | None:
        """Return what the run's session last said of itself."""
        try:
            return next((b for b in read_beats(self._root) if b.run_id == self.context.run_id), None)
        except GreenlightError:
            return None

    def close(self) -> None:
        """Close the reader."""
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _read(self) -> None:
        is_first = self._reader is None
        if self._reader is None:
            self._reader = EventReader(self.context.store, self.context.run_id)
        before = self.view.seq
        for stored in self._reader.events(types=TYPES, after=before):
            self.view.apply(stored)
        if self.view.seq > before:
            # What was there before the first look may be of yesterday: its own time counts, where it is the machine's.
            self._moved_ns = self._first_seen_ns() if is_first else wall_now_ns()

    def _overdue_s(self, beat: Beat | None) -> int | None:
        """Return how late the next checkpoint is by now, whoever is dead; None if not too late, or nobody can tell."""
        if beat is None or beat.has_ended or not self.view.started_ns:
            return None
        try:
            now_ns = venue_ns_of(beat, wall_now_ns())
        except ValueError:
            return None
        reached = frozenset(int(one["at_h"]) for one in self.view.checkpoints)
        progress = Progress(self.view.started_ns, reached, bool(self.view.ended))
        late = overdue_of(self.context.plan, progress, now_ns) if now_ns is not None else []
        return late[0].late_ns // NS if late and late[0].late_ns > limit_ns(self.context.plan) else None

    def _first_seen_ns(self) -> int:
        return self.view.ts_ns if self.context.venue.value != "simulated" and self.context.speed == 1 else 0

    def _alerts(self, beat: Beat | None) -> tuple[list[dict[str, Any]], str]:
        shown = {seq: dict(alert) for seq, alert in self.view.alerts.items()}
        try:
            account = beat.account if beat is not None else self._account()
            for alert in AlertBook(self._root, account).alerts():
                if alert.run_id == self.context.run_id and (alert.seq in shown or alert.seq < 0):
                    shown.setdefault(alert.seq, _without_event(alert))["answered_by"] = alert.acknowledged_by
        except StorageError as e:
            return list(reversed(shown.values())), str(e)
        return list(reversed(shown.values())), ""

    def _account(self) -> str:
        """Return the account of a run whose session no longer beats; the account's key may be elsewhere."""
        if self.context.level is Level.L0:
            return REHEARSAL + self.context.run_id
        return subject_of(self.context.model_copy(update={"run_dir": self._run_dir})).account_fingerprint


class Hub:
    """Hands the views to viewers. The event loop's thread owns it; reading happens in other threads."""

    def __init__(self, settings: ControlSettings) -> None:
        self.settings = settings
        self._watches: dict[str, RunWatch] = {}
        self._queues: dict[str, set[asyncio.Queue[bytes]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def viewers(self) -> int:
        """Return how many pages are watching now."""
        return sum(len(queues) for queues in self._queues.values())

    async def watch(self, run_id: str) -> RunWatch:
        """Return the watch of a run; empty means the one that trades now, or the last. Raises ConfigurationError."""
        run_dir = await run_in_threadpool(find_run_dir, self.settings, run_id)
        key = run_dir.name
        if key not in self._watches:
            while len(self._watches) >= WATCHES_MAX and (idle := [k for k in self._watches if not self._queues.get(k)]):
                self._watches.pop(idle[0]).close()
            self._watches[key] = await run_in_threadpool(RunWatch, self.settings, run_dir)
        return self._watches[key]

    async def stream(self, watch: RunWatch) -> AsyncIterator[bytes]:
        """Yield server-sent events: the whole view each time, until the viewer leaves."""
        key, queue = watch.context.run_id, asyncio.Queue[bytes](maxsize=QUEUE_MAX)
        self._queues.setdefault(key, set()).add(queue)
        if key not in self._tasks or self._tasks[key].done():
            self._tasks[key] = asyncio.create_task(self._publish(watch))
        try:
            yield b"retry: 2000\n\n"
            yield await run_in_threadpool(lambda: message(watch.look()))
            while True:
                yield await queue.get()
        finally:
            self._queues[key].discard(queue)

    async def _publish(self, watch: RunWatch) -> None:
        key, last_seq, said_ns = watch.context.run_id, -1, 0
        while self._queues.get(key):
            shown = await run_in_threadpool(watch.look)
            if shown["seq"] != last_seq or _stopwatch_ns() - said_ns >= SAY_AT_LEAST_EVERY_S * 1e9:
                last_seq, said_ns = shown["seq"], _stopwatch_ns()
                given = message(shown)
                for queue in self._queues[key]:
                    offer(queue, given)
            await asyncio.sleep(LOOK_EVERY_S)


def _without_event(alert: Alert) -> dict[str, Any]:
    """Return an alert that no event tells of, since no session was there to write it."""
    return {
        "id": alert.alert_id, "at": iso(alert.noted_ns)[11:19], "name": alert.name, "severity": alert.severity.value,
        "detail": alert.detail, "is_cleared": alert.is_cleared,
    }


def offer(queue: asyncio.Queue[bytes], given: bytes) -> None:
    """Put a message into a viewer's queue; a slow viewer loses its oldest one."""
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(given)


def message(shown: dict[str, Any]) -> bytes:
    """Return one server-sent event. JSON has no bare line end, so it is one line."""
    return b"data: " + msgspec.json.encode(shown) + b"\n\n"


def context_of(run_dir: Path) -> RunContext:
    """Return the context of a run from its folder. Raises StorageError."""
    return RunContext.model_validate_json(ArtifactStore(run_dir).read(RUN))


def find_run_dir(settings: ControlSettings, run_id: str = "") -> Path:
    """Return a run's folder; without a name that of the session that trades now, or of the run begun last."""
    if run_id:
        if not NAME.fullmatch(run_id):
            raise ConfigurationError(f"{run_id[:80]!r} cannot be the name of a run: letters, digits, -, _")
        found = sorted(settings.artifacts_root.glob(f"*/{run_id}/run.json"))
    else:
        try:
            live = [b for b in read_beats(settings.event_store_root) if not b.has_ended]
        except GreenlightError:
            live = []
        for beat in sorted(live, key=lambda b: b.beat_ns, reverse=True):
            if (Path(beat.run_dir) / "run.json").is_file():
                return Path(beat.run_dir)
        found = sorted(settings.artifacts_root.glob("*/*/run.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ConfigurationError(f"there is no run {run_id!r} under {settings.artifacts_root}: start one first")
    return found[-1].parent
