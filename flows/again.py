"""Going on with a run that failed or was lost: the same run where that is honest, else a further attempt by name.

What is decided here is read from files of the run; Prefect's own memory of it may be gone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from trading_core.clock import SystemClock, pause
from trading_core.errors import ConfigurationError, GreenlightError
from trading_core.gate.outcomes import Verdict
from trading_core.gate.record import record_from_bytes
from trading_core.heartbeat import read_beats
from trading_core.plan import Stage
from trading_core.run import RunContext, VenueName
from trading_core.run_files import DECISION, RUN, stage_result
from trading_core.session_supervisor import is_alive, is_started_with
from trading_core.stages.files import read_stage
from trading_core.stages.live_micro_test import STOPPED
from trading_core.stages.passed import JUDGED, has_begun, passed_stages, record_passed
from trading_core.stages.result import StageResult
from trading_core.storage.artifact_store import ArtifactStore

ATTEMPT = re.compile(r"^(?P<base>.*)-a(?P<number>[0-9]{1,3})$")
SESSION_ENDS_WITHIN_S = 240.0  # as long as a supervisor waits for a session that it stopped
LOOK_EVERY_S = 0.5


class AlreadyDecided(GreenlightError):
    """The run has a verdict that stands: it is not begun again, nor retried if it is GO."""


class NotTakenUp(GreenlightError):
    """The session that was to be taken up has ended: whether there is a further attempt is for people to say."""


class Again(NamedTuple):
    """Under which run id to go on; `words` say why it is another one, empty if it is the same."""

    run_id: str
    words: str = ""


def latest_attempt(context: RunContext) -> str:
    """Return the newest attempt of the run that `context` names: its own id, or the last that was made from it."""
    base = _base(context.run_id)
    found = [p.name for p in context.run_dir.parent.glob(f"{base}-a*") if ATTEMPT.match(p.name)]
    numbered = sorted(found, key=_number)
    return numbered[-1] if numbered else base


def require_undecided(context: RunContext) -> None:
    """Raise AlreadyDecided for a run that has a verdict: a new start under its id would overwrite it."""
    if DECISION in ArtifactStore(context.run_dir).manifest().artifacts:
        raise AlreadyDecided(
            f"run {context.run_id} was decided: go on with greenlight retry {context.run_id}, or take another run id"
        )


def go_on(context: RunContext, forced: Stage | None) -> Again:
    """Return how to go on with the run as it would be today; raises AlreadyDecided for one that was decided GO.

    A live stage whose session lives is taken up, one that was cut off is resumed, one whose session ended by itself is
    judged as it is: all under the run's id. One that was stopped, that is to be done over, or whose subject or
    artifacts have changed, is a further attempt: what was traded stays what it was.
    """
    store = ArtifactStore(context.run_dir)
    entries = store.manifest().artifacts
    if DECISION in entries and record_from_bytes(store.read(DECISION)).verdict is Verdict.GO:
        raise AlreadyDecided(f"run {context.run_id} is GO: there is nothing to retry; start a new run")
    if RUN not in entries or not has_begun(context):
        return Again(context.run_id)
    traded = Stage.LIVE_MICRO_TEST
    is_forced = forced is not None and JUDGED.index(forced) <= JUDGED.index(traded)
    if is_alive(context) and not is_forced:
        return Again(context.run_id)
    await_session(context)
    if not is_forced and (left := ended_alone(context)) is not None:
        record_passed(context, left, SystemClock().now_ns())
        return Again(context.run_id)
    if traded in passed_stages(context, SystemClock().now_ns()) and not is_forced:
        return Again(context.run_id)
    if is_forced:
        return _further(context, f"{forced} is asked for again, and its trading has begun")
    if context.venue is VenueName.SIMULATED:
        return _further(context, "its simulated exchange ended with it")
    if stage_result(traded) in store.manifest().artifacts:
        return _further(context, "its live micro test has ended, or code, plan or artifacts have changed since")
    return Again(context.run_id)


def require_to_take_up(context: RunContext) -> None:
    """Raise NotTakenUp unless the run's session lives, or came to a result that nobody has judged."""
    if not is_alive(context):
        await_session(context)
        if ended_alone(context) is None:
            raise NotTakenUp(
                f"the session of run {context.run_id} ended before its run came back: look at what it left, then "
                f"greenlight retry {context.run_id}"
            )


def kept_stages(context: RunContext, forced: Stage | None) -> dict[Stage, StageResult]:
    """Return the stages that are not executed again, with their results."""
    held = passed_stages(context, SystemClock().now_ns())
    limit = len(JUDGED) if forced is None or forced not in JUDGED else JUDGED.index(forced)
    kept = {stage: result for stage, result in held.items() if JUDGED.index(stage) < limit}
    if (left := ended_alone(context)) is not None and JUDGED.index(left.stage) < limit:
        kept[left.stage] = left
    return kept


def ended_alone(context: RunContext) -> StageResult | None:
    """Return the live stage's result if its session ended by itself after its run was lost, and nobody has judged it.

    It stands, also one that failed: a further attempt must not make it disappear. One that was stopped shows nothing.
    """
    store = ArtifactStore(context.run_dir)
    if DECISION in store.manifest().artifacts or not is_started_with(context):
        return None
    result = read_stage(context, Stage.LIVE_MICRO_TEST)
    is_stopped = result is not None and any(check.name == STOPPED for check in result.checks)
    return None if is_stopped else result


def await_session(context: RunContext) -> None:
    """Wait for a session of the run that lost its supervisor to end flat: two sessions must never trade one run."""
    clock = SystemClock()
    deadline_ns = clock.stopwatch_ns() + int(SESSION_ENDS_WITHIN_S * 1e9)
    while _is_trading(context, clock.now_ns()):
        if clock.stopwatch_ns() >= deadline_ns:
            raise ConfigurationError(
                f"a session of run {context.run_id} still trades after {SESSION_ENDS_WITHIN_S:g} s: stop it first "
                "(greenlight emergency reduce-only), then retry"
            )
        pause(LOOK_EVERY_S)


def _is_trading(context: RunContext, now_ns: int) -> bool:
    beats = (b for b in read_beats(context.event_store_root) if b.run_id == context.run_id)
    # A second without a beat is one that was missed; the session's lock is what finally keeps a second one out.
    return any(not b.has_ended and b.silent_s(now_ns) < min(5, b.lost_after_s) for b in beats)


def _further(context: RunContext, why: str) -> Again:
    base = _base(context.run_id)
    number = max(1, _number(latest_attempt(context))) + 1
    run_id = f"{base}-a{number}"
    return Again(run_id, f"run {context.run_id} cannot go on ({why}): this is a further attempt, run {run_id}")


def _base(run_id: str) -> str:
    return found["base"] if (found := ATTEMPT.match(run_id)) else run_id


def _number(run_id: str) -> int:
    return int(found["number"]) if (found := ATTEMPT.match(run_id)) else 1
