"""Whether a rung may start, or go on, by the files beside the event store and the plans that ship."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from trading_core.gate.ladder import Permission, may_start
from trading_core.gate.publish import GateFiles
from trading_core.gate.subject import Subject
from trading_core.plan import Plan
from trading_core.plan_files import find_plan, plan_below


def permission_of(
    plan: Plan, subject: Subject, files: GateFiles, now_ns: int, *,
    key: Ed25519PublicKey | None = None, entered_ns: int | None = None,
) -> Permission:
    """Return whether the subject may start the rung live, or, with `entered_ns`, go on with what it began then.

    With `key` only decisions that it signed count. Raises IntegrityError if a file cannot be read.
    """
    return may_start(
        plan, plan_below(plan), subject, files.decisions.records(key), now_ns,
        own=find_plan(plan.name), demotions=files.demotions.demotions(), entered_ns=entered_ns,
    )
