"""The live micro test in a process of its own: `python -m trading_core.session_process CONTEXT.json ENDPOINT.json`.

SIGTERM and SIGINT mean the same: reduce-only, flat, artifacts saved, result written. So does a lost supervisor, past
the grace time. Exit code 0 says that the result is in the run directory.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from trading_core.bootstrap import Connection, account_name, connect, make_guard, venue_of_session
from trading_core.clock import NS, Clock, SystemClock, iso, pause
from trading_core.errors import ConfigurationError, StorageError
from trading_core.gate.attempts import Attempt
from trading_core.gate.publish import GateFiles
from trading_core.gate.signing import signing_key
from trading_core.gate.subject import Subject
from trading_core.heartbeat import BEAT_EVERY_S, Heartbeat, beat_path
from trading_core.lifeline import Lifeline, NoTenure, Tenure
from trading_core.mirroring import followed
from trading_core.plan import Stage
from trading_core.products import Product
from trading_core.run import Endpoint, RunContext, VenueName
from trading_core.run_files import SUBJECT
from trading_core.run_log import RunLog
from trading_core.settings import load_settings
from trading_core.stages import live_micro_test as stage
from trading_core.stages.files import attempt, keep, not_reached
from trading_core.stages.result import CheckStatus, StageResult
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.event_reader import EventReader, StoredEvent
from trading_core.storage.event_store import EventStore
from trading_core.storage.lock import exclusive
from trading_core.strategies.port import load_strategy
from trading_core.tenure import RungTenure
from trading_core.tie import GIVEN_UP, Tie
from trading_core.trading_state import TradingGuard, TradingState

STALLED_AFTER_S = 15.0  # a REST call may hold the loop for its time-out of 10 s; longer, and the session counts as hung
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
LOCK_FILE = "session.lock"
PREDECESSOR_ENDS_WITHIN_S = 240.0  # as long as a supervisor waits for a session that it stopped
LOOK_EVERY_S = 0.5

log = logging.getLogger(__name__)


def run_session(context: RunContext, endpoint: Endpoint, lifeline: Lifeline | None = None) -> StageResult:
    """Run the session of a run, or go on with it after a crash; return its result, artifacts saved.

    Raises ConfigurationError if the run cannot be gone on with, StorageError if it could not even begin.
    """
    lifeline = lifeline or Lifeline()
    result: StageResult | None = None
    try:
        with (
            connect(context, endpoint) as connection,
            EventStore.open(
                context.store, context.run_id, genesis=context.order_prefix,
                is_durable=connection.is_durable,
            ) as store,
        ):
            products = {p.product_id: connection.venue.product(p.product_id) for p in context.plan.products}
            log = RunLog(context, products, store, connection.executor)
            _note_attempt(context, connection.clock.now_ns())
            with stored_events(context, store) as stored:
                result = stage.run(_given(context, endpoint, connection, products, log, stored, lifeline))
            log.finish()
    except StorageError as e:
        if result is None:
            raise
        # Whether the venue is flat was found out: a disk that fills up afterwards must not hide it.
        return stage.not_stored(result, e)
    return result


def _note_attempt(context: RunContext, now_ns: int) -> None:
    """Note the attempt as open before it trades, so that it counts even if nobody comes to decide it."""
    attempt = Attempt(
        attempt_id=context.order_prefix, run_id=context.run_id, subject_digest=context.subject_digest,
        level=context.level, ts_ns=now_ns, tallies={},
    )
    GateFiles(context.event_store_root).attempts.begin(attempt)


@contextmanager
def stored_events(context: RunContext, store: EventStore) -> Iterator[Iterable[StoredEvent]]:
    """Yield what the run has stored. Raises ConfigurationError at `simulated`, whose exchange is gone by then."""
    if store.head().seq == 0:
        yield ()
        return
    if context.venue is VenueName.SIMULATED:
        raise ConfigurationError(f"run {context.run_id} has been run, and its exchange ended with it: start a new run")
    with EventReader(context.store, context.run_id) as reader:
        yield reader.whole()


def _given(
    context: RunContext, endpoint: Endpoint, connection: Connection, products: dict[str, Product], log: RunLog,
    stored: Iterable[StoredEvent], lifeline: Lifeline,
) -> stage.MicroTestInput:
    guard = make_guard(context, connection.clock)
    return stage.MicroTestInput(
        context=context,
        products=products,
        clock=connection.clock,
        feed=connection.feed(),
        broker=connection.require_broker(),
        log=log,
        guard=guard,
        strategy=load_strategy(context.plan.entry, context.seed),
        stored=stored,
        exchange_ns=endpoint.clock_anchor_ns,
        lifeline=lifeline,
        tenure=_tenure(context, connection.clock, guard, lifeline),
    )


def _tenure(context: RunContext, clock: Clock, guard: TradingGuard, lifeline: Lifeline) -> Tenure:
    if context.plan.needs_rung is None:
        return NoTenure()  # the lowest rung has nothing to fall to
    subject = Subject.model_validate_json(ArtifactStore(context.run_dir).read(SUBJECT))
    key = signing_key(load_settings(os.environ))
    return RungTenure(
        context, subject, account_name(context), clock=clock, guard=guard, lifeline=lifeline,
        key=None if key is None else key.public_key(),
    )


class Pulse:
    """A thread that beats while the session's loop moves: a hung loop looks dead to the watchdog, and should.

    It looks at the tie, too: a thread of its own for that could die and nobody would know.
    """

    def __init__(
        self, heartbeat: Heartbeat, lifeline: Lifeline, tie: Tie, stalled_after_s: float = STALLED_AFTER_S
    ) -> None:
        self._stalled_after_ns = int(stalled_after_s * NS)
        self._heartbeat = heartbeat
        self._lifeline = lifeline
        self._tie = tie
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat while the block runs."""
        self._thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            self._thread.join()

    def _run(self) -> None:
        clock = SystemClock()
        seen, moved_ns = -1, clock.stopwatch_ns()
        while True:
            alone = self._tie.look()
            if self._lifeline.moves != seen:
                seen, moved_ns = self._lifeline.moves, clock.stopwatch_ns()
            if clock.stopwatch_ns() - moved_ns <= self._stalled_after_ns:
                try:
                    self._heartbeat.beat(*alone)
                except StorageError as e:
                    log.error("heartbeat_failed", extra={"why": str(e)})  # silence is what the watchdog acts on
            if self._is_over.wait(BEAT_EVERY_S):
                return


def stop_on_signals(lifeline: Lifeline, guard: TradingGuard) -> None:
    """Stop the session at SIGTERM and SIGINT, and tighten at once. The guard is for this alone."""

    def stop(number: int, _: object) -> None:
        lifeline.stop(f"stopped by {signal.Signals(number).name}")
        guard.tighten(TradingState.REDUCE_ONLY, reason=lifeline.stop_reason, actor="signal")

    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    # Whoever started us blocked them: one that came before now comes now.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


@contextmanager
def only_session(folder: Path, lifeline: Lifeline, within_s: float = PREDECESSOR_ENDS_WITHIN_S) -> Iterator[None]:
    """Keep other sessions of this machine from the account while the block runs; one that is ending is waited for.

    The slot of the account is its run's, and free once that was killed: the session of the run then still closes what
    is open. Raises ConfigurationError if it trades for all that time, or if we are stopped meanwhile.
    """
    clock = SystemClock()
    deadline_ns = clock.stopwatch_ns() + int(within_s * NS)
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(exclusive(folder / LOCK_FILE, 0))
                break
            except StorageError as e:
                if lifeline.stop_reason or clock.stopwatch_ns() >= deadline_ns:
                    raise ConfigurationError(
                        f"another session trades account {folder.name} and did not end within {within_s:g} s "
                        f"({lifeline.stop_reason or 'nobody stopped us'}): wait for its end, then start again"
                    ) from e
                pause(LOOK_EVERY_S)
        yield


def _serve(context: RunContext, endpoint: Endpoint) -> StageResult:
    lifeline = Lifeline()
    clock = SystemClock(endpoint.speed, endpoint.clock_anchor_ns or None)
    stop_on_signals(lifeline, make_guard(context, clock))
    account = account_name(context)
    folder = beat_path(context.event_store_root, account).parent
    grace_s = load_settings(os.environ).session_grace_s
    tie = Tie(folder, context.run_id, lifeline, make_guard(context, clock), grace_s)
    with ExitStack() as held:
        try:
            held.enter_context(only_session(folder, lifeline))
        except ConfigurationError as e:  # the beat is of the one that trades: no word of ours
            return keep(context, not_reached(context, Stage.LIVE_MICRO_TEST, e))
        return _traded(context, endpoint, lifeline, Heartbeat(context, endpoint, account), tie)


def _traded(
    context: RunContext, endpoint: Endpoint, lifeline: Lifeline, heartbeat: Heartbeat, tie: Tie
) -> StageResult:
    def trade() -> StageResult:
        return _with_losses(run_session(context, endpoint, lifeline), tie)

    with Pulse(heartbeat, lifeline, tie).beating(), followed(context), venue_of_session(context, endpoint):
        result = attempt(context, Stage.LIVE_MICRO_TEST, trade)
    flat = next((check for check in result.checks if check.name == "flat_at_end"), None)
    heartbeat.end(None if flat is None else flat.status is CheckStatus.PASSED)
    return result


def _with_losses(result: StageResult, tie: Tie) -> StageResult:
    """Return the result with a check that says when the session was alone; unchanged if it never was."""
    if not tie.losses:
        return result
    words = "; ".join(
        f"alone from {iso(loss.lost_ns)} to {iso(loss.until_ns) if loss.until_ns else 'its end'} {loss.ended}".rstrip()
        for loss in tie.losses
    )
    is_good = all(loss.ended != GIVEN_UP for loss in tie.losses)
    check = stage.made_check(
        "supervised", is_good, words, "somebody takes a lost supervisor's place in time", "retry within the grace time"
    )
    return result.model_copy(update={"checks": (*result.checks, check)})


def main(arguments: list[str]) -> int:
    """Run the session that the two files describe; returns the exit code."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m trading_core.session_process CONTEXT.json ENDPOINT.json\n")
        return 2
    context = RunContext.model_validate_json(Path(arguments[0]).read_text("utf-8"))
    endpoint = Endpoint.model_validate_json(Path(arguments[1]).read_text("utf-8"))
    _serve(context, endpoint)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
