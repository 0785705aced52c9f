"""What became of each alert of an account: noted, sent, acknowledged, escalated, cleared. Append-only and chained."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from trading_core.alerts import AlertRule, Severity
from trading_core.clock import wall_now_ns
from trading_core.errors import ConfigurationError, IntegrityError
from trading_core.events import AlertCleared, AlertRaised, CheckpointReached
from trading_core.gate.chained_log import ChainedLog
from trading_core.plan import PlanModel
from trading_core.storage.event_reader import EventReader, StoredEvent

FILE_NAME = "alerts.jsonl"
TAKEN = ("AlertRaised", "AlertCleared", "CheckpointReached")  # the types of events that change the book
DETAIL_MAX = 300  # characters of an alert's words that its line keeps; the event store has them all


class AlertLine(PlanModel):
    """One line of the file: something happened to the alert that event `seq` of the run raised.

    Below zero for an overdue checkpoint: no event of the run tells of it.
    """

    what: Literal["raised", "sent", "escalated", "acknowledged", "cleared"]
    run_id: str
    seq: int
    at_ns: int  # the machine's clock: deadlines are for people
    name: str = ""
    severity: Severity = Severity.INFO
    detail: str = ""
    by: str = ""  # who acknowledged, or which sinks took it


class Alert(PlanModel):
    """One alert with all that became of it."""

    run_id: str
    seq: int
    name: str
    severity: Severity
    detail: str
    noted_ns: int
    sent_to: tuple[str, ...] = ()
    escalated: int = 0
    acknowledged_by: str = ""
    note: str = ""
    is_cleared: bool = False

    @property
    def alert_id(self) -> str:
        """Return what a person names it by."""
        return f"{self.run_id}:{self.seq}"

    @property
    def is_open(self) -> bool:
        """Tell whether nobody has acknowledged it."""
        return not self.acknowledged_by


class AlertBook:
    """The alerts of one account. Every reader verifies the chain first and raises IntegrityError."""

    def __init__(self, event_store_root: Path, account: str) -> None:
        self.path = event_store_root / "accounts" / account / FILE_NAME
        self._log = ChainedLog(self.path, "alert")

    def alerts(self) -> list[Alert]:
        """Return every alert of the account, oldest first."""
        found: dict[tuple[str, int], Alert] = {}
        for line in self._lines():
            key = (line.run_id, line.seq)
            if line.what == "raised":
                found.setdefault(key, Alert(run_id=line.run_id, seq=line.seq, name=line.name, severity=line.severity,
                                            detail=line.detail, noted_ns=line.at_ns))
            elif key in found:
                found[key] = _after(found[key], line)
        return list(found.values())

    def take(self, run_id: str, events: Iterable[StoredEvent], now_ns: int) -> list[Alert]:
        """Note the alerts that these events raise and clear; return those that are new. Nothing is noted twice."""
        known = {(a.run_id, a.seq): a for a in self.alerts()}
        new = []
        for stored in events:
            match stored.event:
                case AlertRaised(name=name, severity=severity, detail=detail) if (run_id, stored.seq) not in known:
                    line = AlertLine(what="raised", run_id=run_id, seq=stored.seq, at_ns=now_ns, name=name,
                                     severity=Severity(severity), detail=detail[:DETAIL_MAX])
                    self._log.append(line)
                    known[run_id, stored.seq] = Alert(
                        run_id=run_id, seq=stored.seq, name=name, severity=line.severity, detail=line.detail,
                        noted_ns=now_ns,
                    )
                    new.append(known[run_id, stored.seq])
                case AlertCleared(name=name):
                    for (run, seq), alert in list(known.items()):
                        if (run, alert.name, alert.is_cleared) == (run_id, name, False) and seq < stored.seq:
                            self._log.append(AlertLine(what="cleared", run_id=run_id, seq=seq, at_ns=now_ns))
                            known[run, seq] = alert.model_copy(update={"is_cleared": True})
                case CheckpointReached(at_h=at_h) if (late := known.get((run_id, overdue_seq(at_h)))) is not None:
                    if not late.is_cleared:
                        self._log.append(AlertLine(what="cleared", run_id=run_id, seq=late.seq, at_ns=now_ns))
                        known[run_id, late.seq] = late.model_copy(update={"is_cleared": True})
                case _:
                    pass
        return new

    def note_overdue(self, run_id: str, at_h: int, rule: AlertRule, detail: str, now_ns: int) -> Alert | None:
        """Note that a checkpoint is overdue, where no session is there to raise it; None if that is noted already."""
        seq = overdue_seq(at_h)
        if any((a.run_id, a.seq) == (run_id, seq) for a in self.alerts()):
            return None
        line = AlertLine(what="raised", run_id=run_id, seq=seq, at_ns=now_ns, name=rule.name, severity=rule.severity,
                         detail=detail[:DETAIL_MAX])
        self._log.append(line)
        return Alert(run_id=run_id, seq=seq, name=line.name, severity=line.severity, detail=line.detail,
                     noted_ns=now_ns)

    def take_run(self, reader: EventReader, now_ns: int) -> None:
        """Note every alert of a run, whether or not anybody followed it: what was raised must be answered."""
        self.take(reader.run_id, reader.events(types=TAKEN), now_ns)

    def sent(self, alert: Alert, sinks: Iterable[str], now_ns: int, *, is_escalation: bool = False) -> None:
        """Note which sinks took the alert."""
        what: Literal["sent", "escalated"] = "escalated" if is_escalation else "sent"
        self._log.append(
            AlertLine(what=what, run_id=alert.run_id, seq=alert.seq, at_ns=now_ns, by=", ".join(sinks))
        )

    def acknowledge(self, alert_id: str, *, by: str, note: str, now_ns: int) -> Alert:
        """Note that a person has seen it. Raises ConfigurationError for an alert that is not there, or no name."""
        alert = next((a for a in self.alerts() if a.alert_id == alert_id), None)
        if alert is None:
            raise ConfigurationError(f"there is no alert {alert_id!r}: greenlight alerts list shows them")
        if not by.strip():
            raise ConfigurationError(f"alert {alert_id} needs the name of the person who acknowledges it")
        line = AlertLine(what="acknowledged", run_id=alert.run_id, seq=alert.seq, at_ns=now_ns, by=by.strip(),
                         detail=note[:DETAIL_MAX])
        if alert.is_open:
            self._log.append(line)
            alert = _after(alert, line)
        return alert

    def unanswered(self, run_id: str = "") -> list[Alert]:
        """Return each CRITICAL that nobody acknowledged, of one run or of all."""
        return [
            a for a in self.alerts()
            if a.severity is Severity.CRITICAL and a.is_open and run_id in ("", a.run_id)
        ]

    def _lines(self) -> list[AlertLine]:
        try:
            return [AlertLine.model_validate(entry.payload) for entry in self._log.read()]
        except ValidationError as e:
            raise IntegrityError(f"{self.path} holds a line that is no alert's: {e.errors()[0]['msg']}") from e


def books(event_store_root: Path) -> list[AlertBook]:
    """Return the book of each account that ever had an alert, by account."""
    found = sorted(event_store_root.glob(f"accounts/*/{FILE_NAME}"))
    return [AlertBook(event_store_root, path.parent.name) for path in found]


def acknowledge(event_store_root: Path, alert_id: str, *, by: str, note: str) -> Alert:
    """Acknowledge an alert in the book of whichever account has it. Raises ConfigurationError if none has."""
    for book in books(event_store_root):
        if any(a.alert_id == alert_id for a in book.alerts()):
            return book.acknowledge(alert_id, by=by, note=note, now_ns=wall_now_ns())
    raise ConfigurationError(f"there is no alert {alert_id!r}: greenlight alerts list --all shows them")


def overdue_seq(at_h: int) -> int:
    """Return what stands for the event that nobody wrote: that a checkpoint is overdue."""
    return -1 - at_h


def hold_words(alerts: Iterable[Alert]) -> str:
    """Return why these alerts hold a promotion; empty if there are none."""
    found = list(alerts)
    if not found:
        return ""
    first, more = found[0], f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"CRITICAL alert {first.name} of run {first.run_id} was not acknowledged: {first.detail}{more}"


def _after(alert: Alert, line: AlertLine) -> Alert:
    match line.what:
        case "sent":
            changes: dict[str, object] = {"sent_to": (*alert.sent_to, *filter(None, line.by.split(", ")))}
        case "escalated":
            changes = {"escalated": alert.escalated + 1}
        case "acknowledged":
            changes = {"acknowledged_by": line.by, "note": line.detail}
        case "cleared":
            changes = {"is_cleared": True}
        case "raised":
            changes = {}
    return alert.model_copy(update=changes)
