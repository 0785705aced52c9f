"""The ladder in Prefect: where every subject stands, as a table that each run of this flow replaces."""

from __future__ import annotations

import os

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.requests import LadderRequest
from tasks.pages import show_table
from trading_core.clock import SystemClock, iso
from trading_core.gate.ladder import Standing, standings
from trading_core.gate.publish import GateFiles
from trading_core.gate.signing import signing_key
from trading_core.settings import load_settings

KEY = "ladder"


@flow(name="ladder", flow_run_name="level {request.level}")
def ladder(request: LadderRequest) -> State[None]:
    """Show where each bot stands: its last decision on each rung, until when it holds, and what it owes."""
    settings = load_settings(os.environ)
    key = signing_key(settings)
    files = GateFiles(settings.event_store_root)
    records = files.decisions.records(None if key is None else key.public_key())
    now_ns = SystemClock().now_ns()
    found = [s for s in standings(records, now_ns, files.demotions.demotions()) if request.level in ("all", s.level)]
    missed = [s for s in found if s.demoted_by]
    show_table(KEY, [_row(s, now_ns) for s in found], f"{len(found)} standings, {len(missed)} demoted")
    return Completed(message=f"{len(found)} standings, {len(missed)} demoted: see the artifact {KEY}")


def _row(standing: Standing, now_ns: int) -> dict[str, str]:
    until = standing.valid_until_ns
    return {
        "bot": f"{standing.bot.strategy} at {standing.bot.git_commit[:12]}, {standing.bot.account_fingerprint}",
        "rung": standing.rung, "level": standing.level, "verdict": standing.verdict,
        "attempts": str(standing.attempts), "valid until": "" if until is None else iso(until),
        "owes": "; ".join(f"{o.name} by {iso(o.due_ns)}: {o.state}" for o in standing.obligations),
        "carries the next rung": standing.problem(now_ns) or "yes", "run": standing.run_id,
    }
