"""From what was asked for to a run: ids, directories, subject, and the plan as it is judged later."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from trading_core.bootstrap import account_fingerprint, make_guard, simulated_start_ns
from trading_core.canonical import canonical_json
from trading_core.clock import SystemClock, VirtualClock
from trading_core.errors import ConfigurationError
from trading_core.gate.ladder import restricted
from trading_core.gate.permission import permission_of
from trading_core.gate.publish import GateFiles
from trading_core.gate.subject import Subject
from trading_core.plan import Level, Plan
from trading_core.run import RunContext, VenueName
from trading_core.run_files import PLAN, RUN, SUBJECT, run_dir
from trading_core.stages.files import write_document
from trading_core.trading_state import TradingState

PROJECT = Path(__file__).resolve().parent.parent
LOCK_FILE = PROJECT / "constraints.txt"


def prepare_run(
    *,
    plan: Plan,
    venue: VenueName,
    day: str,
    seed: int,
    speed: float,
    faults: str,
    run_id: str,
    artifacts_root: Path,
    event_store_root: Path,
    event_store_url: str = "", artifacts_url: str = "",
) -> RunContext:
    """Return the run's context; its directory then holds plan and subject. The same run id gives the same run."""
    context, subject = plan_run(
        plan=plan, venue=venue, day=day, seed=seed, speed=speed, faults=faults, run_id=run_id,
        artifacts_root=artifacts_root, event_store_root=event_store_root, event_store_url=event_store_url,
        artifacts_url=artifacts_url,
    )
    start_ns = now_at(context)
    write_document(context, SUBJECT, subject, start_ns=start_ns, end_ns=start_ns)
    write_document(context, PLAN, context.plan, start_ns=start_ns, end_ns=start_ns)
    write_document(context, RUN, context, start_ns=start_ns, end_ns=start_ns)
    _open_account(context, start_ns)
    return context


def plan_run(
    *,
    plan: Plan,
    venue: VenueName,
    day: str,
    seed: int,
    speed: float,
    faults: str,
    run_id: str,
    artifacts_root: Path,
    event_store_root: Path,
    event_store_url: str = "", artifacts_url: str = "",
) -> tuple[RunContext, Subject]:
    """Return what the run would be and what it would promote; nothing is written yet."""
    faults = _faults_of(plan, faults, venue)
    if venue.level is Level.L3:
        plan = _inside_restriction(plan, venue, event_store_root)
    # The plan as its file in the run directory has it, to the last zero of a number: a replay must not differ by that.
    plan = Plan.model_validate_json(canonical_json(plan))
    subject = make_subject(plan, venue, faults)
    context = RunContext(
        run_id=run_id,
        order_prefix=_order_prefix(plan, venue, day, seed, run_id),
        plan=plan,
        venue=venue,
        day=day,
        seed=seed,
        speed=speed if venue is VenueName.LOCAL else 1.0,
        faults=faults,
        run_dir=run_dir(artifacts_root, plan.name, run_id).absolute(),
        event_store_root=event_store_root.absolute(),
        event_store_url=event_store_url, artifacts_url=artifacts_url,
        subject_digest=subject.digest,
    )
    return context, subject


def _open_account(context: RunContext, start_ns: int) -> None:
    """Set the account of a rehearsal active at its first start: it is made for the run. A restart loosens nothing."""
    if context.level is not Level.L0:
        return  # nobody else's account is ours to open
    guard = make_guard(context, VirtualClock(start_ns))
    if guard.is_first_start:
        guard.loosen(TradingState.ACTIVE, reason="rehearsal started", operator="operator of this rehearsal")


def _inside_restriction(plan: Plan, venue: VenueName, event_store_root: Path) -> Plan:
    """Return the plan inside the envelope that a CONDITIONAL of the rung below leaves; preflight judges the rest."""
    files = GateFiles(event_store_root)
    allowed = permission_of(plan, make_subject(plan, venue), files, SystemClock().now_ns())
    return plan if allowed.restricted_to is None else restricted(plan, allowed.restricted_to)


def _faults_of(plan: Plan, asked: str, venue: VenueName) -> str:
    """Return the fault plan's name, the command line's before the plan's; raises ConfigurationError at a real venue."""
    faults = asked or plan.faults
    if faults and venue.level is not Level.L0:
        raise ConfigurationError(f"faults {faults!r} can only be injected at our own exchange, not at venue {venue}")
    return faults


def now_at(context: RunContext) -> int:
    """Return the time at which the run starts at its venue, in nanoseconds."""
    if context.venue is VenueName.SIMULATED:
        return simulated_start_ns(context.day)
    return SystemClock().now_ns()


def make_subject(plan: Plan, venue: VenueName, faults: str = "") -> Subject:
    """Return what this run would promote."""
    commit = _git("rev-parse", "HEAD")
    return Subject(
        git_commit=commit or "unknown",
        is_dirty=commit == "" or _git("status", "--porcelain") != "",
        lock_digest=hashlib.sha256(LOCK_FILE.read_bytes()).hexdigest() if LOCK_FILE.exists() else "none",
        plan_digest=plan.digest,
        strategy=plan.entry.strategy,
        strategy_params=plan.entry.params,
        venue=venue,
        faults=faults,
        account_fingerprint=account_fingerprint(venue),
        products=tuple(p.product_id for p in plan.products),
    )


def _git(*words: str) -> str:
    # Under a unit or in a container the folder belongs to root, and git says nothing about a folder of somebody else's.
    command = ["git", "-c", f"safe.directory={PROJECT}", *words]
    try:
        answer = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def _order_prefix(plan: Plan, venue: VenueName, day: str, seed: int, run_id: str) -> str:
    """Return the head of client order ids: unique per run, but equal for equal runs on the simulated venue."""
    named = f"{plan.digest}/{day}/{seed}" if venue is VenueName.SIMULATED else run_id
    return "gl" + hashlib.sha256(named.encode()).hexdigest()[:16]
