"""Checkpoints that nobody reached: told from the plan and the run's start, by whoever is still alive.

The engine tells of a checkpoint that it reached late. A session that died, or stands, tells of nothing: this does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from trading_core.alert_book import AlertBook
from trading_core.alert_desk import ONE_DESK_WAIT_S, Sink, Teller, lock_of, raised_message
from trading_core.alerts import HOUR_S, AlertRule, rules_of
from trading_core.clock import NS, SystemClock, iso, wall_now_ns
from trading_core.control.accounts import Account, list_accounts, read_account
from trading_core.errors import GreenlightError, IntegrityError
from trading_core.events import CheckpointReached, RunEnding
from trading_core.heartbeat import Beat
from trading_core.money import plain
from trading_core.plan import Plan
from trading_core.run import Endpoint, RunContext, VenueName
from trading_core.run_files import RUN
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.event_reader import EventReader
from trading_core.storage.lock import exclusive

LATE_S = 60  # where the plan has no threshold: a checkpoint comes with the next tick, and the events a second later
LOOK_EVERY_S = 1.0  # machine seconds; an alert has to be out within five
STOP_WITHIN_S = 10.0

log = logging.getLogger(__name__)


class Overdue(NamedTuple):
    """A checkpoint whose hour has passed without it. Times are the venue's."""

    at_h: int
    due_ns: int
    late_ns: int


class Progress(NamedTuple):
    """What the events say of a run: when it began, which checkpoints it reached, and whether it was ending."""

    began_ns: int
    reached_h: frozenset[int] = frozenset()
    is_over: bool = False


def overdue_of(plan: Plan, progress: Progress, now_ns: int) -> list[Overdue]:
    """Return the checkpoints that were due and not reached, earliest first; none once the run was ending."""
    if progress.is_over:
        return []
    due = [(h, progress.began_ns + h * HOUR_S * NS) for h in sorted(set(plan.protocol.checkpoints_h))]
    return [Overdue(h, due_ns, now_ns - due_ns) for h, due_ns in due if due_ns < now_ns and h not in progress.reached_h]


def limit_ns(plan: Plan) -> int:
    """Return how late a checkpoint may be before anybody speaks of it."""
    rule = rule_for(plan)
    return int((rule.limit if rule is not None else Decimal(LATE_S)) * NS)


def rule_for(plan: Plan) -> AlertRule | None:
    """Return the plan's threshold for late checkpoints, which says how grave it is; None if it has none."""
    return next((rule for rule in rules_of(plan) if rule.metric == "checkpoint_overdue_s"), None)


def venue_ns_of(beat: Beat, wall_ns: int) -> int | None:
    """Return venue time at a moment of the machine; None where only the session's own process knows it."""
    if beat.venue == VenueName.SIMULATED:
        return None
    endpoint = Endpoint.model_validate_json(beat.endpoint)
    return SystemClock(endpoint.speed, endpoint.clock_anchor_ns or None).at(wall_ns)


class CheckpointDesk:
    """Watches the session of one account. `look` raises one alert for the latest checkpoint that is overdue."""

    def __init__(
        self, root: Path, account: str, sinks: Sequence[Sink], now_ns: Callable[[], int] = wall_now_ns
    ) -> None:
        self._root = root
        self._account = account
        self._now_ns = now_ns
        self._book = AlertBook(root, account)
        self._teller = Teller(self._book, sinks, now_ns)
        self._context: RunContext | None = None
        self._progress: Progress | None = None
        self._noted_h: int | None = None

    def look(self) -> None:
        """Note and tell what is overdue, and ask again where nobody answered. Raises GreenlightError."""
        account = read_account(self._root, self._account)
        if account.beat is None or account.beat.has_ended:
            return
        try:
            context = self._context_of(account.beat)
            venue_ns = venue_ns_of(account.beat, self._now_ns())
        except ValueError as e:
            raise IntegrityError(f"what account {account.name} trades cannot be read: {e}") from e
        if (rule := rule_for(context.plan)) is not None and venue_ns is not None:
            self._check(context, rule, account, venue_ns)
        self._teller.tell(context.run_id)

    def close(self) -> None:
        """Nothing is kept open between two looks."""

    def _context_of(self, beat: Beat) -> RunContext:
        if self._context is None or self._context.run_id != beat.run_id:
            self._context = RunContext.model_validate_json(ArtifactStore(Path(beat.run_dir)).read(RUN))
            self._progress = self._noted_h = None
        return self._context

    def _check(self, context: RunContext, rule: AlertRule, account: Account, venue_ns: int) -> None:
        def over_limit(progress: Progress) -> list[Overdue]:
            return [one for one in overdue_of(context.plan, progress, venue_ns) if one.late_ns > limit_ns(context.plan)]

        self._progress = self._progress or self._read(context, account)
        found = over_limit(self._progress)
        if not found or found[-1].at_h == self._noted_h:
            return
        self._progress = self._read(context, account)  # it may have been reached since the events were asked
        if found := over_limit(self._progress):
            self._noted_h = found[-1].at_h
            detail = _words(found, rule, account, self._now_ns())
            alert = self._book.note_overdue(context.run_id, self._noted_h, rule, detail, self._now_ns())
            if alert is not None:
                self._teller.add(alert.seq, raised_message(alert), alert)

    def _read(self, context: RunContext, account: Account) -> Progress:
        beat = account.beat
        if beat is None:
            raise IntegrityError(f"account {account.name} has no session")
        began_ns = venue_ns_of(beat, beat.started_ns) or 0
        try:
            with EventReader(context.store, context.run_id) as reader:
                first = next(reader.events(), None)
                told = [stored.event for stored in reader.events(types=("CheckpointReached", "RunEnding"))]
        except GreenlightError:
            # A store that is locked for a moment is asked again. One that is lost with its session excuses nothing.
            if account.is_silent(self._now_ns()):
                return Progress(began_ns)
            raise
        return Progress(
            began_ns if first is None else first.ts_ns,
            frozenset(event.at_h for event in told if isinstance(event, CheckpointReached)),
            any(isinstance(event, RunEnding) for event in told),
        )


class CheckpointPatrol:
    """Looks after every session of a machine in a thread of its own: `with CheckpointPatrol(…):`. It stops nothing."""

    def __init__(self, root: Path, make_sinks: Callable[[], Sequence[Sink]]) -> None:
        self._root = root
        self._make_sinks = make_sinks  # called in the thread: a way to reach people may take seconds to import
        self._desks: dict[str, CheckpointDesk] = {}
        self._problems: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._patrol, name="checkpoints", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(STOP_WITHIN_S)

    def _patrol(self) -> None:
        sinks = self._make_sinks()
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                names = [account.name for account in list_accounts(self._root) if account.has_open_session]
            except OSError as e:
                self._tell_once("", str(e))
                continue
            for name in names:
                self._look_after(name, sinks)

    def _look_after(self, name: str, sinks: Sequence[Sink]) -> None:
        desk = self._desks.setdefault(name, CheckpointDesk(self._root, name, sinks))
        try:
            with exclusive(lock_of(AlertBook(self._root, name)), ONE_DESK_WAIT_S):
                desk.look()
            self._problems.pop(name, None)
        except GreenlightError as e:
            self._tell_once(name, f"{type(e).__name__}: {e}")

    def _tell_once(self, name: str, words: str) -> None:
        if self._problems.get(name) != words:
            self._problems[name] = words
            log.warning("checkpoints_not_watched", extra={"account": name, "reason": words[:300]})


def _words(found: Sequence[Overdue], rule: AlertRule, account: Account, now_ns: int) -> str:
    last, beat = found[-1], account.beat
    others = "".join(f", nor was T+{one.at_h}h" for one in found[:-1])
    silent = f"; its session said {beat.silent_s(now_ns):.0f} s ago that it lives" if beat is not None else ""
    return (
        f"T+{last.at_h}h was due at {iso(last.due_ns)[:19]}Z and was not reached within {last.late_ns // NS} s "
        f"(limit {plain(rule.limit)}){others}{silent}"
    )
