"""Shows Prefect what a run is doing, from beside it: progress, signs of life and the chain head; obeys its Cancel.

Nothing here can hold trading up: it runs in a thread of its own, each call has a time limit, and an API that is away is
tried again at the next turn.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.objects import State, StateType
from prefect.events import emit_event
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run

from checks.charts_scale import span_text
from tasks.artifact_key import artifact_key
from trading_core.clock import NS, SystemClock
from trading_core.errors import GreenlightError
from trading_core.run import RunContext, VenueName
from trading_core.session_supervisor import stop_session
from trading_core.storage.event_reader import EventReader

TURN_S = 5.0  # progress is for people
HEAD_EVERY_S = 300.0  # the chain head leaves the machine that often: a later forgery would have to match it
CALL_WITHIN_S = 5.0
END_WITHIN_S = 2.0  # how long a finished stage waits for its last word; past it the thread is left to itself
ALIVE = "greenlight.run.alive"
ALIVE_EVERY_S = 60.0
CANCELLED = ((StateType.CANCELLING, "Cancelling"), (StateType.CANCELLED, "Cancelled"))
API_AWAY = (httpx.HTTPError, PrefectException, OSError, RuntimeError)

log = logging.getLogger(__name__)


@contextmanager
def watched(context: RunContext) -> Iterator[None]:
    """Show the progress of the live stage while the block runs; does nothing outside of a Prefect run."""
    if flow_run.id is None:
        yield
        return
    window = _Window(context, UUID(flow_run.id))
    thread = threading.Thread(target=window.run, name="prefect window", daemon=True)
    thread.start()
    try:
        yield
    finally:
        window.is_over.set()
        thread.join(END_WITHIN_S)


class _Window:
    """The thread's own state; only `is_over` is shared."""

    def __init__(self, context: RunContext, flow_run_id: UUID) -> None:
        self.is_over = threading.Event()
        self._context = context
        self._flow_run_id = flow_run_id
        self._clock = SystemClock()
        self._started_ns = self._clock.stopwatch_ns()
        self._progress_id: UUID | None = None
        self._due = {ALIVE: 0.0, "head": HEAD_EVERY_S}

    def run(self) -> None:
        """Look and tell until the stage is over."""
        with get_client(sync_client=True, httpx_settings={"timeout": CALL_WITHIN_S}) as client:
            while not self.is_over.wait(TURN_S if self._progress_id else 0.1):
                _attempt(lambda: self._tell(client))
            _attempt(lambda: self._show_progress(client, 100.0))
            _attempt(lambda: self._anchor(client))

    def _tell(self, client: SyncPrefectClient) -> None:
        self._obey(client)
        elapsed_s = (self._clock.stopwatch_ns() - self._started_ns) / NS
        self._show_progress(client, min(99.0, 100 * elapsed_s * self._speed / self._context.plan.protocol.window_s))
        if elapsed_s >= self._due[ALIVE]:
            self._due[ALIVE] = elapsed_s + ALIVE_EVERY_S
            emit_alive(self._context, self._flow_run_id)
        if elapsed_s >= self._due["head"]:
            self._due["head"] = elapsed_s + HEAD_EVERY_S
            self._anchor(client)

    def _obey(self, client: SyncPrefectClient) -> None:
        """Stop the session of a run that was cancelled: once its worker was killed, nobody else tells it."""
        if is_cancelled(client.read_flow_run(self._flow_run_id).state):
            stop_session(self._context)

    @property
    def _speed(self) -> float:
        return self._context.speed if self._context.venue is VenueName.LOCAL else 1.0

    def _show_progress(self, client: SyncPrefectClient, percent: float) -> None:
        if self._progress_id is not None:
            client.update_artifact(self._progress_id, ArtifactUpdate(data=percent))
            return
        window = span_text(self._context.plan.protocol.window_s)
        made = client.create_artifact(
            ArtifactCreate(
                key=f"progress-{artifact_key(self._context.run_id)}", type="progress", data=percent,
                description=f"Per cent of the window of {window} in which {self._context.run_id} trades",
                flow_run_id=self._flow_run_id,
            )
        )
        self._progress_id = made.id

    def _anchor(self, client: SyncPrefectClient) -> None:
        """Put the chain head where whoever changes the event store later does not reach."""
        with EventReader(self._context.store, self._context.run_id) as reader:
            head = reader.head()
        client.create_artifact(
            ArtifactCreate(
                key=f"chain-{artifact_key(self._context.run_id)}", type="markdown",
                data=f"Event {head.seq} of run `{self._context.run_id}`\n\n`{head.hash}`",
                description="Chain head: the events up to here can no longer be changed unnoticed",
                flow_run_id=self._flow_run_id,
            )
        )


def is_cancelled(state: State | None) -> bool:
    """Tell whether people cancelled a run, whoever was told; an answer like Refused is of the same type."""
    return state is not None and (state.type, state.name) in CANCELLED


def emit_alive(context: RunContext, flow_run_id: UUID) -> None:
    """Say that the run is alive: an automation waits for the next such event."""
    emit_event(
        event=ALIVE,
        resource={
            "prefect.resource.id": f"prefect.flow-run.{flow_run_id}",
            "prefect.resource.name": context.run_id,
            "greenlight.plan": str(context.plan.name),
            "greenlight.venue": str(context.venue),
        },
    )


def within(seconds: float, call: Callable[[], Any], what: str) -> None:
    """Make a call to Prefect's API that may fail or hang: after the time limit the caller goes on without it."""
    thread = threading.Thread(target=_attempt, args=(call,), name=what, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        log.warning("Prefect was not told in time", extra={"what": what, "limit_s": seconds})


def _attempt(call: Callable[[], Any]) -> None:
    try:
        call()
    except (*API_AWAY, GreenlightError) as e:
        log.warning("Prefect was not told", extra={"error": f"{type(e).__name__}: {e}"[:300]})
