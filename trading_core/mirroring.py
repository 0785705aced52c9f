"""A run's second place, beside its work: copied at each save and at each stage's end, and never in the way of trading.

Each copy is made by a thread of its own with a time limit. What fails is logged, and the decision says so.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trading_core.errors import GreenlightError
from trading_core.gate.evidence import MirrorState
from trading_core.mirror_location import secret_address
from trading_core.run import RunContext
from trading_core.storage.artifact_store import MANIFEST
from trading_core.storage.mirror import Mirror

COPY_WITHIN_S = 60.0  # a day's artifacts are some tens of megabytes
LOOK_EVERY_S = 1.0
AGAIN_AFTER_S = 30.0  # a place that failed is left alone that long
END_WITHIN_S = 20.0

log = logging.getLogger(__name__)


def mirrored(context: RunContext, *, is_checked: bool = False) -> MirrorState | None:
    """Copy the run's folder to its second place, and return whether that is whole now; None if the run has none.

    With `is_checked` the whole copy is read back, not only what was written now. Never raises for what fails there.
    """
    if not context.artifacts_url:
        return None
    made: list[MirrorState] = []
    thread = threading.Thread(target=lambda: made.append(_copied(context, is_checked)), name="mirror", daemon=True)
    thread.start()
    thread.join(COPY_WITHIN_S)
    if made:
        return made[0]
    return _said(context, _broken(context, f"it did not answer within {COPY_WITHIN_S:g} s"))


@contextmanager
def followed(context: RunContext) -> Iterator[None]:
    """Copy the run's folder after each save while the block runs; its end is waited for a short while only."""
    if not context.artifacts_url:
        yield
        return
    is_over = threading.Event()
    thread = threading.Thread(target=_follow, args=(context, is_over), name="mirror", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(END_WITHIN_S)


def _follow(context: RunContext, is_over: threading.Event) -> None:
    copied_ns, is_last = 0, False
    while not is_last:
        is_last = is_over.is_set()
        saved_ns = _saved_ns(context.run_dir)
        is_whole = saved_ns == copied_ns or _copied(context, is_checked=False).is_whole
        if is_whole:
            copied_ns = saved_ns
        is_over.wait(LOOK_EVERY_S if is_whole else AGAIN_AFTER_S)


def _saved_ns(run_dir: Path) -> int:
    """Return when the manifest was written; a time of the file system, compared with nothing but itself."""
    try:
        return (run_dir / MANIFEST).stat().st_mtime_ns
    except OSError:
        return 0


def _copied(context: RunContext, is_checked: bool) -> MirrorState:
    try:
        mirror = Mirror(secret_address(context.artifacts_url, os.environ))
        count = mirror.put(context.run_dir)
        problems = mirror.problems(context.run_dir) if is_checked else []
    except GreenlightError as e:
        return _said(context, _broken(context, str(e)))
    if problems:
        return _said(context, _broken(context, "; ".join(problems[:3])))
    return MirrorState(is_whole=True, detail=f"whole at {context.artifacts_url}: {count} artifacts read back")


def _broken(context: RunContext, why: str) -> MirrorState:
    return MirrorState(is_whole=False, detail=f"NOT whole at {context.artifacts_url}: {why}")


def _said(context: RunContext, state: MirrorState) -> MirrorState:
    log.error("mirror_not_whole", extra={"run_id": context.run_id, "why": state.detail})
    return state
