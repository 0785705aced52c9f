"""The tenure of a running rung: what it stands on is looked at while it trades, and lost at once when that gives way.

A guardrail, a CRITICAL alert that nobody acknowledges, or the permission from below that does not hold any more: the
account goes reduce-only, the session ends flat, and a demotion says why. Nothing here loosens anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from trading_core.alert_book import AlertBook
from trading_core.alerts import Severity
from trading_core.clock import NS, Clock, wall_now_ns
from trading_core.errors import GreenlightError
from trading_core.events import AlertRaised, AnyEvent, GuardrailTripped
from trading_core.gate.demotions import Demotion, DemotionCause
from trading_core.gate.permission import permission_of
from trading_core.gate.publish import GateFiles
from trading_core.gate.subject import Subject, bot_of
from trading_core.lifeline import Lifeline
from trading_core.plan import Level
from trading_core.run import RunContext
from trading_core.trading_state import TradingGuard, TradingState

LOOK_EVERY_NS = 5 * NS  # venue time, like the guardrails

log = logging.getLogger(__name__)


class RungTenure:
    """Watches what one run of a rung stands on."""

    def __init__(
        self, context: RunContext, subject: Subject, account: str, *, clock: Clock, guard: TradingGuard,
        lifeline: Lifeline, key: Ed25519PublicKey | None = None, wall_ns: Callable[[], int] = wall_now_ns,
    ) -> None:
        """Begin now; `key` is the one that decisions must be signed with, if there is one."""
        self._context = context
        self._subject = subject
        self._files = GateFiles(context.event_store_root)
        self._book = AlertBook(context.event_store_root, account)
        self._clock = clock
        self._guard = guard
        self._lifeline = lifeline
        self._key = key
        self._wall_ns = wall_ns
        self._entered_ns = clock.now_ns()
        self._next_ns = 0
        self._critical: dict[int, tuple[str, int]] = {}  # by event: its name, and the machine's time when it was seen

    def note(self, seq: int, record: AnyEvent) -> None:
        """Take a record of the session as it is stored: a guardrail that trips demotes at once."""
        match record:
            case GuardrailTripped():
                words = f"guardrail {record.name}: {record.observed} (limit {record.limit}) {record.detail}".rstrip()
                self._demote(DemotionCause.GUARDRAIL, words)
            case AlertRaised(severity=Severity.CRITICAL):
                self._critical[seq] = (record.name, self._wall_ns())
            case _:
                pass

    def look(self) -> None:
        """Look at what the rung stands on, every few seconds; what cannot be read counts as gone."""
        now_ns = self._clock.now_ns()
        if now_ns < self._next_ns or self._lifeline.stop_reason:
            return
        self._next_ns = now_ns + LOOK_EVERY_NS
        try:
            if problem := self._unanswered():
                self._demote(DemotionCause.ALERT, problem)
            elif problem := self._lost_permission(now_ns):
                self._demote(DemotionCause.PERMISSION, problem)
        except GreenlightError as e:
            self._guard.tighten(TradingState.HALTED, reason=str(e), actor="tenure")
            self._lifeline.stop(f"what the rung stands on cannot be read: {e}")

    def _unanswered(self) -> str:
        limit_s = self._context.plan.tenure.critical_unanswered_s
        late = {s for s, (_, at_ns) in self._critical.items() if self._wall_ns() - at_ns >= limit_s * NS}
        if not late:
            return ""
        answered = {a.seq for a in self._book.alerts() if a.run_id == self._context.run_id and not a.is_open}
        for seq in late & answered:
            del self._critical[seq]
        first = min(late - answered, default=None)
        if first is None:
            return ""
        return f"CRITICAL alert {self._critical[first][0]} was not acknowledged within {limit_s} s"

    def _lost_permission(self, now_ns: int) -> str:
        if self._context.level is not Level.L3:
            return ""  # a rehearsal stands on nothing: docs/adr/0018
        return permission_of(
            self._context.plan, self._subject, self._files, now_ns, key=self._key, entered_ns=self._entered_ns
        ).problem

    def _demote(self, cause: DemotionCause, reason: str) -> None:
        """Tighten first, then say why: a record that cannot be written must not hold the tightening up."""
        rung = self._context.plan.name
        self._guard.tighten(TradingState.REDUCE_ONLY, reason=f"{rung} demoted: {reason}", actor="tenure")
        self._lifeline.stop(f"{rung} demoted: {reason}")
        try:
            demote(self._context, self._subject, cause, reason, self._clock.now_ns())
        except GreenlightError as e:
            log.error("demotion_not_recorded", extra={"reason": reason, "why": str(e)})
            self._guard.tighten(TradingState.HALTED, reason=f"a demotion cannot be recorded: {e}", actor="tenure")


def demote(context: RunContext, subject: Subject, cause: DemotionCause, reason: str, now_ns: int) -> None:
    """Record that the run's bot has lost the run's rung. Raises IntegrityError or StorageError."""
    GateFiles(context.event_store_root).demotions.append(
        Demotion(
            bot=bot_of(subject), rung=context.plan.name, level=context.level, run_id=context.run_id, cause=cause,
            reason=reason, at_ns=now_ns,
        )
    )
