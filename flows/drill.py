"""The emergency drill: a rehearsal trades, the ladder takes it over from outside, and the time is measured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.requests import DrillRequest
from tasks.pages import show_table
from trading_core.clock import NS, SystemClock, pause
from trading_core.control.accounts import REHEARSAL, read_account
from trading_core.control.takeover import Takeover, take_over
from trading_core.errors import VenueUnavailable
from trading_core.plan_files import find_plan
from trading_core.settings import Settings, load_settings

TRADES_WITHIN_S = 120.0
ENDS_WITHIN_S = 300.0
LOOK_EVERY_S = 0.2


@flow(name="drill", flow_run_name="drill on {request.plan}", retries=0)
def drill(request: DrillRequest) -> State[None]:
    """Rehearse an emergency: a run trades at our own exchange, and the emergency ladder takes it over from outside.

    DrillPassed: flat within the plan's time. DrillFailed: not flat, or too late; nothing live was touched.
    """
    settings = load_settings(os.environ)
    run_id = f"drill-{str(flow_run.id)[:8]}"
    limit_s = find_plan(request.plan).rollback.close_all_after_min * 60
    taken = _taken_over(settings, run_id, request)
    row = {
        "run": run_id, "reduce-only after": f"{taken.reduce_only_s} s",
        "flat after": "never" if taken.flat_s is None else f"{taken.flat_s} s", "limit": f"{limit_s} s",
        "venue": taken.sentence,
    }
    show_table("drill", [row], "The last emergency drill")
    words = f"reduce-only after {row['reduce-only after']}, flat after {row['flat after']} (limit {limit_s} s)"
    if taken.flat_s is not None and taken.flat_s <= limit_s:
        return Completed(name="DrillPassed", message=words)
    return Failed(name="DrillFailed", message=f"{words}: {taken.sentence}")


def _taken_over(settings: Settings, run_id: str, request: DrillRequest) -> Takeover:
    """Return what became of the take-over of a rehearsal that was started for it."""
    command = [
        sys.executable, "-m", "flows.cli", "run", request.plan, "--venue", "local", "--speed", f"{request.speed:g}",
        "--run-id", run_id,
    ]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait_until_it_trades(process, settings.event_store_root, run_id)
        account = read_account(settings.event_store_root, REHEARSAL + run_id)
        say = get_run_logger().info
        return take_over(settings.event_store_root, account, reason="emergency drill", actor="drill", say=say)
    finally:
        process.terminate()
        try:
            process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_trades(process: subprocess.Popen[bytes], root: Path, run_id: str) -> None:
    clock = SystemClock()
    deadline_ns = clock.stopwatch_ns() + int(TRADES_WITHIN_S * NS)
    while clock.stopwatch_ns() < deadline_ns and process.poll() is None:
        if read_account(root, REHEARSAL + run_id).beat is not None:
            return
        pause(LOOK_EVERY_S)
    raise VenueUnavailable(
        f"the rehearsal {run_id} did not trade within {TRADES_WITHIN_S:g} s: run it by hand and read what it says"
    )
