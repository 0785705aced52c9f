"""Serves work pools of accounts from this machine, one worker for each pool at a time, in one process.

    python -m deployments.worker greenlight-alpha greenlight-beta            # refuses a pool that is served
    python -m deployments.worker --standby greenlight-alpha                  # waits until its worker is gone

PREFECT_API_URL names the server. SIGTERM and SIGINT end it: runs end reduce-only and flat. Rehearsals of a worker that
died are run again; a standby is refused where live orders are armed.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import TypeVar

import anyio
import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Cancelled
from prefect.workers.process import ProcessWorker

from deployments.takeover import last_beat_ns, living_worker, take_over
from flows.answers import STOPPED
from flows.up_flows import RUNS_WITHIN_S, await_runs, flow_run_of, flows_below, stop_flows
from tasks.window import API_AWAY
from trading_core.clock import NS, SystemClock
from trading_core.errors import ConfigurationError
from trading_core.settings import load_settings

BEAT_EVERY_S = 5  # a dead worker is noticed after three of them
LOOK_EVERY_S = 2.0
# After an outage of the API a living worker may be silent for longer than a dead one: it asks again after up to 80 s.
AFTER_OUTAGE_S = 120.0
TELL_WITHIN_S = 5.0
ENDED_WITH_WORKER: State[None] = Cancelled(
    name=STOPPED, message="its worker was stopped: the run ends reduce-only and flat"
)

Answer = TypeVar("Answer")


async def serve(pools: list[str], *, is_standby: bool) -> None:
    """Serve the pools until a signal; each as soon as nobody else does."""
    name = f"{socket.gethostname()}-{os.getpid()}"
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    async with anyio.create_task_group() as group:
        for pool in pools:
            group.start_soon(_serve_one, pool, name, is_standby)


async def _serve_one(pool: str, name: str, is_standby: bool) -> None:
    clock = SystemClock()
    not_before_ns = 0
    while True:
        other, has_been_away = await when_it_answers(partial(_other, pool, name))
        if has_been_away:
            not_before_ns = clock.stopwatch_ns() + int(AFTER_OUTAGE_S * NS)
        if other and not is_standby:
            raise ConfigurationError(f"{pool} is served by {other}: end that worker first, or start a --standby")
        if not other and clock.stopwatch_ns() >= not_before_ns:
            break
        await anyio.sleep(LOOK_EVERY_S)
    await when_it_answers(partial(_settle, pool))
    worker = ProcessWorker(
        name=name, work_pool_name=pool, create_pool_if_not_found=False, heartbeat_interval_seconds=BEAT_EVERY_S
    )
    await worker.start(printer=_say)


async def when_it_answers(ask: Callable[[], Answer], every_s: float = LOOK_EVERY_S) -> tuple[Answer, bool]:
    """Return the answer and whether the API was away meanwhile: a worker that waits outlives its server."""
    has_been_away = False
    while True:
        try:
            return await anyio.to_thread.run_sync(ask), has_been_away
        except httpx.TransportError as e:
            if not has_been_away:
                _say(f"Prefect's API does not answer ({e}): waiting for it")
            has_been_away = True
            await anyio.sleep(every_s)


def _end(_number: int, _frame: FrameType | None) -> None:
    """Have the flows end flat, and end. The loop stands still meanwhile: no run begins, and no flow is killed.

    Prefect's own worker kills its flows when it is asked to end, and their sessions would trade on alone.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    _say_at_once("asked to end: the runs end reduce-only and flat first")
    flows = flows_below(os.getpid())
    runs = [run for flow in flows if (run := flow_run_of(flow)) is not None]
    asked = stop_flows(flows)
    for run in runs:
        with suppress(*API_AWAY), get_client(httpx_settings={"timeout": TELL_WITHIN_S}, sync_client=True) as client:
            client.set_flow_run_state(run, ENDED_WITH_WORKER, force=True)  # before the flow is through: it tells it why
    left = await_runs(asked)
    for one in left:
        _say_at_once(f"{one.name} (process {one.pid}) still runs after {RUNS_WITHIN_S:g} s: look at the venue")
    os._exit(1 if left else 0)


def _other(pool: str, name: str) -> str:
    with get_client(sync_client=True) as client:
        return living_worker(client, pool, SystemClock().now_ns(), except_of=name)


def _settle(pool: str) -> None:
    with get_client(sync_client=True) as client:
        root = load_settings(os.environ).event_store_root
        taken = take_over(client, pool, last_beat_ns(client, pool), root)
    if taken.cancelled:
        _say(f"{pool}: were cancelled while no worker was there, and end flat: {', '.join(taken.cancelled)}")
    if taken.taken_up:
        _say(f"{pool}: still trade on this machine, and are taken up: {', '.join(taken.taken_up)}")
    if taken.crashed:
        _say(f"{pool}: crashed with their worker: {', '.join(taken.crashed)}; run again: {', '.join(taken.again)}")


def _say(words: object, **_: object) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def _say_at_once(words: str) -> None:
    """Say it past the buffer, which a handler may have interrupted; nobody need listen."""
    with suppress(OSError):
        os.write(sys.stdout.fileno(), f"{words}\n".encode())


def main() -> int:
    """Serve the pools of the command line; 0 after a signal, 2 for wrong use."""
    parser = argparse.ArgumentParser(prog="python -m deployments.worker", description="Serve accounts' work pools.")
    parser.add_argument("pools", nargs="+", metavar="POOL")
    parser.add_argument("--standby", action="store_true", help="wait until the pool's worker is gone, then serve it")
    asked = parser.parse_args()
    problems: tuple[BaseException, ...] = ()
    try:
        if not os.environ.get("PREFECT_API_URL"):
            raise ConfigurationError("PREFECT_API_URL is not set: name the server")
        if asked.standby and load_settings(os.environ).arm_live:
            raise ConfigurationError(
                "GREENLIGHT_ARM_LIVE is set beside --standby: a machine that does not answer may still trade; "
                "look at the venue, then start the worker without --standby"
            )
        anyio.run(partial(serve, asked.pools, is_standby=asked.standby))
    except* ConfigurationError as group:
        problems = group.exceptions
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return 2 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
