"""The dead-man's switch: a process that takes over the account of a session that has gone silent. Trusts no session."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from trading_core.alert_desk import Message, Sink
from trading_core.alert_sinks import LogSink, apprise_sinks
from trading_core.alerts import Severity
from trading_core.clock import NS, SystemClock, wall_now_ns
from trading_core.control.accounts import Account, account_guard, list_accounts
from trading_core.control.takeover import Takeover, take_over
from trading_core.errors import ConfigurationError, GreenlightError
from trading_core.heartbeat import Beat
from trading_core.overdue import CheckpointPatrol
from trading_core.settings import Settings, load_settings
from trading_core.trading_state import TradingState

ACTOR = "watchdog"
HANDLED_FILE = "watchdog.json"
LOOK_EVERY_S = 1.0  # machine seconds; a beat is written as often
TAKEOVERS_AT_ONCE = 8  # accounts whose ladders are climbed side by side
TRY_AGAIN_S = 60  # after a ladder that ended without the venue flat
UNREADABLE_LOOKS = 3  # looks in a row before a beat that cannot be read counts as damaged
ENDS_WITHIN_S = 240.0  # as long as a supervisor waits for a session that it stopped
ALERT_AGAIN_LOOKS = 60  # halting is tried again at each look; people hear of it once a minute

_stopwatch_ns = SystemClock().stopwatch_ns


class Handled(msgspec.Struct, frozen=True, kw_only=True):
    """Which session of an account was taken over last, and whether that ended flat: it is not done twice."""

    run_id: str
    started_ns: int
    is_flat: bool
    at_ns: int


class Failing(NamedTuple):
    """A takeover that broke unforeseen, again and again."""

    times: int
    words: str
    at_ns: int  # of the watchdog's own stopwatch

    @property
    def pause_ns(self) -> int:
        """Return how long to leave it: from a second on, twice as long each time."""
        return min(1 << (self.times - 1), TRY_AGAIN_S) * NS


class Watchdog:
    """Looks at every beat, again and again. `alert` hears what a person must know, at once, `say` how it goes on.

    A session is silent for as long as its beat is old by the machine's time, or has not changed by the watchdog's own
    stopwatch, whichever is longer: a clock that is set back must not make a dead session look alive.
    """

    def __init__(
        self, root: Path, alert: Callable[[str], None], say: Callable[[str], None],
        now_ns: Callable[[], int] = wall_now_ns, stopwatch_ns: Callable[[], int] = _stopwatch_ns,
    ) -> None:
        self._root = root
        self._now_ns = now_ns
        self._stopwatch_ns = stopwatch_ns
        self._changed: dict[str, tuple[Beat, int]] = {}  # by account: its beat, and since when it is that one
        self._failing: dict[str, Failing] = {}
        self._alert = alert
        self._say = say
        self._unreadable: dict[str, int] = {}
        self._halted: set[str] = set()  # for a beat that cannot be read, since it could be
        self._trading: set[str] = set()  # accounts whose session had not ended at the last look
        self._told_alone: dict[str, int] = {}  # by account: since when, of the last that people heard of
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(TAKEOVERS_AT_ONCE, thread_name_prefix="takeover")

    def look(self) -> None:
        """Start what has to be started; does not wait for it. Raises nothing that it foresees."""
        now_ns = self._now_ns()
        try:
            accounts = list_accounts(self._root)
        except OSError as e:
            self._alert(f"the accounts of {self._root} cannot be listed ({e}): no session is watched")
            return
        found = {account.name: account for account in accounts}
        for name in sorted(self._trading):
            if name not in found or (found[name].beat is None and not found[name].beat_problem):
                found[name] = Account(name=name, beat_problem=f"the heartbeat of account {name} is gone")
        for account in found.values():
            self._look_at(account, now_ns)

    def run(self, is_over: threading.Event) -> None:
        """Look until told otherwise; then wait for the ladders that are being climbed."""
        while not is_over.wait(LOOK_EVERY_S):
            self.look()
        self.close()

    def close(self) -> None:
        """Wait for what was started."""
        self._pool.shutdown(wait=True)

    def _look_at(self, account: Account, now_ns: int) -> None:
        if account.beat_problem:
            self._note_unreadable(account)
            return
        self._unreadable.pop(account.name, None)
        self._halted.discard(account.name)
        if account.has_open_session:
            self._trading.add(account.name)
        else:
            self._trading.discard(account.name)
        self._tell_if_alone(account)
        why = why_to_take_over(account, self._silent_s(account, now_ns))
        if why and not self._is_handled(account, now_ns):
            self._begin(account, why)

    def _silent_s(self, account: Account, now_ns: int) -> float:
        beat, stopwatch_ns = account.beat, self._stopwatch_ns()
        if beat is None:
            return 0.0
        if account.name not in self._changed or self._changed[account.name][0] != beat:
            self._changed[account.name] = (beat, stopwatch_ns)
        return max(beat.silent_s(now_ns), (stopwatch_ns - self._changed[account.name][1]) / NS)

    def _begin(self, account: Account, why: str) -> None:
        with self._lock:
            failing = self._failing.get(account.name)
            is_left = failing is not None and self._stopwatch_ns() - failing.at_ns < failing.pause_ns
            if is_left or account.name in self._running:
                return
            self._running.add(account.name)
        if failing is None:
            self._alert(f"account {account.name}: {why}; taking over")
        self._pool.submit(self._take_over, account, why)

    def _tell_if_alone(self, account: Account) -> None:
        beat = account.beat
        if beat is None or beat.has_ended or not beat.orphaned_ns:
            return
        if self._told_alone.get(account.name) != beat.orphaned_ns:
            self._told_alone[account.name] = beat.orphaned_ns
            self._alert(
                f"account {account.name}: session {beat.run_id} has lost its supervisor, trades on for "
                f"{beat.grace_s:g} s and then ends flat: greenlight retry {beat.run_id} takes it up"
            )

    def _note_unreadable(self, account: Account) -> None:
        """Halt an account whose session cannot be seen: one that trades unseen is worse than one that stops."""
        looks = self._unreadable[account.name] = self._unreadable.get(account.name, 0) + 1
        if looks < UNREADABLE_LOOKS or account.name in self._halted:
            return  # it was just being replaced, or the account is halted already
        guard = account_guard(self._root, account.name)
        guard.tighten(TradingState.HALTED, reason=account.beat_problem[:300], actor=ACTOR)
        words = f"{account.beat_problem}; look at the venue by hand"
        if not guard.unsaved_because:
            self._halted.add(account.name)
            self._alert(f"account {account.name} is HALTED: {words}")
        elif (looks - UNREADABLE_LOOKS) % ALERT_AGAIN_LOOKS == 0:
            self._alert(f"account {account.name} could NOT be halted ({guard.unsaved_because}): {words}")

    def _take_over(self, account: Account, why: str) -> None:
        try:
            taken = take_over(self._root, account, reason=why, actor=ACTOR, say=self._say)
            self._handled(account, taken)
            self._failing.pop(account.name, None)
            self._alert(f"account {account.name} was taken over: {taken.sentence}; trading state {taken.state}")
        except Exception as e:  # the watchdog outlives whatever one account throws at it; it tries again
            self._note_failing(account, f"{type(e).__name__}: {e}")
        finally:
            with self._lock:
                self._running.discard(account.name)

    def _note_failing(self, account: Account, words: str) -> None:
        """Leave the account HALTED and try later; people hear of it when it begins, and when it is another failure."""
        account_guard(self._root, account.name).tighten(
            TradingState.HALTED, reason=f"taking over failed: {words}"[:300], actor=ACTOR
        )
        before = self._failing.get(account.name)
        times = before.times + 1 if before is not None else 1
        self._failing[account.name] = Failing(times, words, self._stopwatch_ns())
        if before is None or before.words != words:
            self._alert(f"account {account.name}: taking over failed ({words}); look at the venue by hand, it is "
                        f"tried again, at last every {TRY_AGAIN_S} s")

    def _is_handled(self, account: Account, now_ns: int) -> bool:
        beat = account.beat
        try:
            handled = msgspec.json.decode(self._handled_path(account.name).read_bytes(), type=Handled)
        except (OSError, msgspec.DecodeError):
            return False
        if beat is None or (handled.run_id, handled.started_ns) != (beat.run_id, beat.started_ns):
            return False
        # A moment that is yet to come was written before the clock was set back: it holds nothing up.
        return handled.is_flat or 0 <= now_ns - handled.at_ns < TRY_AGAIN_S * NS

    def _handled(self, account: Account, taken: Takeover) -> None:
        beat = account.beat
        if beat is None:
            return
        handled = Handled(
            run_id=beat.run_id, started_ns=beat.started_ns, is_flat=taken.is_flat, at_ns=self._now_ns()
        )
        path = self._handled_path(account.name)
        beside = path.with_name(f"{HANDLED_FILE}.{os.getpid()}")
        try:
            beside.write_bytes(msgspec.json.encode(handled))
            beside.replace(path)
        except OSError as e:
            self._alert(f"{path} cannot be written ({e.strerror}): the takeover may be done again")

    def _handled_path(self, name: str) -> Path:
        return self._root / "accounts" / name / HANDLED_FILE


def why_to_take_over(account: Account, silent_s: float) -> str:
    """Return why the account's session needs a successor; empty if it lives, or ended flat."""
    beat = account.beat
    if beat is None:
        return ""
    if not beat.has_ended and silent_s > beat.lost_after_s:
        return f"session {beat.run_id} is silent for {silent_s:.0f} s (limit {beat.lost_after_s} s)"
    if not beat.has_ended and beat.alone_s > beat.grace_s + ENDS_WITHIN_S:
        return f"session {beat.run_id} is without a supervisor for {beat.alone_s:.0f} s and does not end"
    if beat.has_ended and beat.is_flat is not True:
        said = "did not know whether it was flat" if beat.is_flat is None else "was not flat"
        return f"session {beat.run_id} has ended and {said}"
    return ""


def main() -> int:
    """Watch until SIGTERM or SIGINT; returns the exit code."""
    try:
        settings = load_settings(os.environ)
        watch(settings, print_line)
    except ConfigurationError as e:
        sys.stderr.write(f"watchdog: {e}\n")
        return 2
    return 0


def watch(
    settings: Settings, say: Callable[[str], None], checkpoint_sinks: Callable[[], Sequence[Sink]] | None = None
) -> None:
    """Watch the sessions of an event store until SIGTERM or SIGINT. Raises ConfigurationError before it begins.

    Overdue checkpoints go to `checkpoint_sinks`; to the same people as a takeover if none are given.
    """
    is_over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: is_over.set())
    people = People(settings, say)
    say(f"watchdog: watching {settings.event_store_root} every {LOOK_EVERY_S:.0f} s")
    with CheckpointPatrol(settings.event_store_root, checkpoint_sinks or (lambda: people.sinks)):
        Watchdog(settings.event_store_root, people.alert, lambda words: say(f"watchdog: {words}")).run(is_over)
    people.close()


class People:
    """Tells people, in the background: an address that does not answer must not hold up the watchdog."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        urls = settings.alert_urls.get_secret_value().split() if settings.alert_urls else []
        self.sinks: list[Sink] = [LogSink(), *apprise_sinks(tuple(urls))]
        self._say = say
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="alerts")

    def alert(self, sentence: str) -> None:
        """Say it here at once, and send it."""
        self._say(f"watchdog: CRITICAL {sentence}")
        message = Message("raised", Severity.CRITICAL, "CRITICAL watchdog", sentence, run_id="", name=ACTOR)
        self._pool.submit(self._send, message)

    def close(self) -> None:
        """Wait until everything was sent, or could not be."""
        self._pool.shutdown(wait=True)

    def _send(self, message: Message) -> None:
        for sink in self.sinks:
            try:
                sink.send(message)
            except GreenlightError as e:
                self._say(f"watchdog: {sink.name}: {e}")


def print_line(text: str) -> None:
    """Write one line to standard output, at once. If nobody reads it any more, the watchdog watches on."""
    with suppress(OSError, ValueError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
