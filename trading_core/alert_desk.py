"""The alert desk: follows a run's events, tells people within five seconds, and asks again until somebody answers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from trading_core.alert_book import Alert, AlertBook
from trading_core.alerts import Severity
from trading_core.clock import MINUTE_NS, wall_now_ns
from trading_core.errors import GreenlightError
from trading_core.events import AlertCleared, AlertRaised, AnyEvent, CheckpointReached
from trading_core.money import plain
from trading_core.storage.event_reader import EventReader, StoredEvent
from trading_core.storage.lock import exclusive
from trading_core.store_location import StoreLocation

LOOK_EVERY_S = 1.0  # with the store's group commit, an alert is out within two seconds
# How long a person has to acknowledge before the alert is sent again; the lower severities ask for nothing.
ACKNOWLEDGE_WITHIN_NS = {Severity.CRITICAL: 5 * MINUTE_NS, Severity.ERROR: 15 * MINUTE_NS}
ESCALATIONS_MAX = 12  # an hour of CRITICAL; by then whoever is to come has been told
SENDS_MAX = 5  # attempts at a sink that fails; the event store and the dashboard have the alert all the same
STOP_WITHIN_S = 10.0
ONE_DESK_WAIT_S = 0.01

# What is written to the log as it happens, beside what is told: each order's way, with its id.
TOLD = ("AlertRaised", "AlertCleared", "CheckpointReached")
LOGGED = (
    "OrderSubmitted", "OrderAccepted", "OrderRejected", "OrderLost", "SubmitWithheld", "OrderDenied", "StateChanged",
    "GuardrailTripped", "VenueFailed", "EditRequested", "EditAnswered", "EditLost",
)
LOGGED_FIELDS = ("client_order_id", "order_id", "signal_id", "reason", "cause", "state", "name", "kind", "detail")

log = logging.getLogger(__name__)


class Message(NamedTuple):
    """What a sink is given. `alert_id` is empty where there is nothing to acknowledge."""

    kind: str  # raised, escalated, cleared, checkpoint, test
    severity: Severity
    title: str
    body: str
    run_id: str
    name: str
    alert_id: str = ""


class Sink(Protocol):
    """A way to reach people."""

    name: str

    def send(self, message: Message) -> None:
        """Send, or raise a GreenlightError that says why not. Returns within a few seconds."""
        ...


class Looker(Protocol):
    """Something that looks again and again; see AlertFollower."""

    def look(self) -> None:
        """Do all that is due now. Raises GreenlightError; the next look tries again."""
        ...

    def close(self) -> None:
        """Let go of what is open. May be called twice."""
        ...


class Teller:
    """Sends messages to every sink; one that fails is tried again and never stops the rest."""

    def __init__(self, book: AlertBook, sinks: Sequence[Sink], now_ns: Callable[[], int]) -> None:
        self._book = book
        self._sinks = sinks
        self._now_ns = now_ns
        self._told: dict[tuple[str, int], set[str]] = {}  # what each sink took, by kind and event
        self._tries: dict[tuple[str, int], int] = {}
        self._pending: list[tuple[int, Message, Alert | None]] = []

    def add(self, seq: int, message: Message, alert: Alert | None) -> None:
        """Take a message to be told."""
        self._pending.append((seq, message, alert))

    def tell(self, run_id: str) -> None:
        """Send what waits, and ask again where nobody answered an alert of the run in time."""
        self._pending = [one for one in self._pending if not self._tell(*one)]
        self._escalate(run_id)

    def _tell(self, seq: int, message: Message, alert: Alert | None) -> bool:
        """Send to each sink that has not taken it; return whether it is done with."""
        key = (message.kind, seq)
        told = self._told.setdefault(key, set())
        took = [s.name for s in self._sinks if s.name not in told and _sends(s, message)]
        told.update(took)
        if alert is not None and took:
            self._book.sent(alert, took, self._now_ns())
        self._tries[key] = self._tries.get(key, 0) + 1
        return len(told) == len(self._sinks) or self._tries[key] >= SENDS_MAX

    def _escalate(self, run_id: str) -> None:
        for alert in self._book.alerts():
            within_ns = ACKNOWLEDGE_WITHIN_NS.get(alert.severity)
            if within_ns is None or not alert.is_open or alert.run_id != run_id:
                continue
            due_ns = alert.noted_ns + (alert.escalated + 1) * within_ns
            if self._now_ns() >= due_ns and alert.escalated < ESCALATIONS_MAX:
                message = _escalation(alert, within_ns)
                self._book.sent(alert, [s.name for s in self._sinks if _sends(s, message)], self._now_ns(),
                                is_escalation=True)


class AlertDesk:
    """Follows one run. `look` does all that is due now."""

    def __init__(
        self, store: StoreLocation | Path, run_id: str, book: AlertBook, sinks: Sequence[Sink],
        now_ns: Callable[[], int] = wall_now_ns,
    ) -> None:
        self._store = store
        self._run_id = run_id
        self._book = book
        self._teller = Teller(book, sinks, now_ns)
        self._now_ns = now_ns
        self._reader: EventReader | None = None
        self._seen = 0

    def look(self) -> None:
        """Read what is new, tell everybody, and ask again where nobody answered. Raises GreenlightError."""
        if events := self._new_events():
            self._book.take(self._run_id, events, self._now_ns())
            known = {a.seq: a for a in self._book.alerts() if a.run_id == self._run_id}
            for stored in events:
                _log_event(self._run_id, stored)
                if (message := _message(self._run_id, stored)) is not None:
                    self._teller.add(stored.seq, message, known.get(stored.seq))
        self._teller.tell(self._run_id)

    def close(self) -> None:
        """Close the reader. May be called twice."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _new_events(self) -> list[StoredEvent]:
        if self._reader is None:
            self._reader = EventReader(self._store, self._run_id)
            # What another desk told before this one began is not told again.
            self._seen = max((a.seq for a in self._book.alerts() if a.run_id == self._run_id and a.sent_to), default=0)
        found = list(self._reader.events(types=(*TOLD, *LOGGED), after=self._seen))
        self._seen = found[-1].seq if found else self._seen
        return found


class AlertFollower:
    """Desks of an account in a thread of their own: `with AlertFollower(…):`. It trades nothing and stops nothing."""

    def __init__(self, make_desks: Callable[[], Sequence[Looker]], lock_path: Path) -> None:
        self._make_desks = make_desks
        self._lock_path = lock_path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="alerts", daemon=True)

    def __enter__(self) -> Self:
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(STOP_WITHIN_S)

    def _follow(self) -> None:
        desks, is_over = self._make_desks(), False
        try:
            while not is_over:
                is_over = self._stop.wait(LOOK_EVERY_S)  # one last look after the end
                for desk in desks:
                    self._look(desk)
        finally:
            for desk in desks:
                desk.close()

    def _look(self, desk: Looker) -> None:
        try:
            with exclusive(self._lock_path, ONE_DESK_WAIT_S):  # two desks of one account would tell everything twice
                desk.look()
        except GreenlightError as e:
            log.debug("alerts_not_followed", extra={"reason": str(e)})


def lock_of(book: AlertBook) -> Path:
    """Return the lock that lets one desk of an account work at a time."""
    return book.path.with_name(".alert_desk.lock")


def raised_message(alert: Alert) -> Message:
    """Return what is said of an alert when it is raised."""
    return _raised(alert.run_id, alert.name, alert.severity, alert.detail, alert.alert_id)


def _raised(run_id: str, name: str, severity: Severity, detail: str, alert_id: str) -> Message:
    how = f"\nacknowledge: greenlight alerts ack {alert_id} --by NAME" if severity in ACKNOWLEDGE_WITHIN_NS else ""
    return Message("raised", severity, f"{severity}: {name}", detail + how, run_id, name, alert_id)


def _log_event(run_id: str, stored: StoredEvent) -> None:
    name = type(stored.event).__name__
    if name in LOGGED:
        fields = {key: str(value) for key in LOGGED_FIELDS if (value := getattr(stored.event, key, None))}
        extra = {f"event_{key}" if key == "name" else key: value for key, value in fields.items()}
        log.info(name, extra={"run_id": run_id, "seq": stored.seq, **extra})


def _sends(sink: Sink, message: Message) -> bool:
    try:
        sink.send(message)
    except GreenlightError as e:
        log.warning("alert_not_sent", extra={"sink": sink.name, "alert": message.alert_id, "reason": str(e)})
        return False
    return True


def _message(run_id: str, stored: StoredEvent) -> Message | None:
    event: AnyEvent = stored.event
    match event:
        case AlertRaised():
            severity = Severity(event.severity)
            return _raised(run_id, event.name, severity, event.detail, f"{run_id}:{stored.seq}")
        case AlertCleared():
            return Message("cleared", Severity.INFO, f"cleared: {event.name}", event.detail, run_id, event.name)
        case CheckpointReached():
            name = f"T+{event.at_h}h"
            figures = ", ".join(f"{key} {plain(value)}" for key, value in sorted(event.figures.items()))
            return Message("checkpoint", Severity.INFO, f"checkpoint {name}", figures, run_id, name)
        case _:
            return None


def _escalation(alert: Alert, within_ns: int) -> Message:
    minutes = (alert.escalated + 1) * within_ns // MINUTE_NS
    title = f"{alert.severity}, not acknowledged for {minutes} min: {alert.name}"
    body = f"{alert.detail}\nacknowledge: greenlight alerts ack {alert.alert_id} --by NAME"
    return Message("escalated", alert.severity, title, body, alert.run_id, alert.name, alert.alert_id)
