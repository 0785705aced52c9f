"""The words and signs of the report: one place, so that page, Markdown and JSON say the same."""

from __future__ import annotations

import re
from decimal import Decimal

from trading_core.gate.outcomes import Disposition, Outcome, Verdict
from trading_core.plan import Level, Stage, Tier
from trading_core.stages.result import CheckStatus, StageStatus

NONE = "no data"
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")

# A sign beside each colour: the page reads the same without any.
OUTCOME_SIGNS = {
    Outcome.PASS: "\N{CHECK MARK}",
    Outcome.WARN: "\N{BLACK UP-POINTING TRIANGLE}",
    Outcome.FAIL: "\N{MULTIPLICATION X}",
    Outcome.INCONCLUSIVE: "\N{CIRCLE WITH LEFT HALF BLACK}",
    Outcome.NO_DATA: "\N{WHITE CIRCLE}",
    Outcome.ERROR: "!",
    Outcome.NOT_APPLICABLE: "\N{EN DASH}",
}
OUTCOME_WORDS = {
    Outcome.PASS: "Pass",
    Outcome.WARN: "Warn",
    Outcome.FAIL: "Fail",
    Outcome.INCONCLUSIVE: "Inconclusive",
    Outcome.NO_DATA: "No data",
    Outcome.ERROR: "Error",
    Outcome.NOT_APPLICABLE: "Not applicable",
}
OUTCOME_CSS = {
    Outcome.PASS: "good",
    Outcome.WARN: "warn",
    Outcome.FAIL: "bad",
    Outcome.INCONCLUSIVE: "warn",
    Outcome.NO_DATA: "bad",
    Outcome.ERROR: "bad",
    Outcome.NOT_APPLICABLE: "mute",
}
VERDICT_SIGNS = {
    Verdict.GO: "\N{CHECK MARK}",
    Verdict.CONDITIONAL: "\N{BLACK UP-POINTING TRIANGLE}",
    Verdict.NO_GO: "\N{MULTIPLICATION X}",
}
VERDICT_CSS = {Verdict.GO: "good", Verdict.CONDITIONAL: "warn", Verdict.NO_GO: "bad"}
STAGE_SIGNS = {
    StageStatus.PASSED: ("\N{CHECK MARK}", "good", "passed"),
    StageStatus.FAILED: ("\N{MULTIPLICATION X}", "bad", "failed"),
    StageStatus.NOT_RUN: ("\N{WHITE CIRCLE}", "mute", "not run"),
}
CHECK_SIGNS = {
    CheckStatus.PASSED: ("\N{CHECK MARK}", "good", "Passed"),
    CheckStatus.WARNED: ("\N{BLACK UP-POINTING TRIANGLE}", "warn", "Warned"),
    CheckStatus.FAILED: ("\N{MULTIPLICATION X}", "bad", "Failed"),
    CheckStatus.NOT_EVALUATED: ("\N{WHITE CIRCLE}", "mute", "Not evaluated"),
}
STAGE_NAMES = {
    Stage.PREFLIGHT: "Preflight",
    Stage.CAPABILITY_PROBE: "Capability probe",
    Stage.DRY_RUN_PULSE: "Dry-run pulse",
    Stage.LIVE_MICRO_TEST: "Live micro test",
    Stage.ARTIFACT_ANALYSIS: "Artifact analysis",
    Stage.GO_NO_GO: "Go/no-go",
}
TIER_WORDS = {
    Tier.MUST: "Must pass: one miss is a no-go",
    Tier.SHOULD: "Should pass: a miss restricts",
    Tier.NICE: "Nice to have: reported, never decides",
}
NEXT_STEPS = {
    Disposition.EXTEND: "Extend: run the same subject again; what was shown so far counts on.",
    Disposition.REPAIR: "Repair what is broken or missing, then run again.",
    Disposition.REJECT: "Reject: a violation was shown. Mend its cause; a changed subject starts with no evidence.",
    Disposition.HOLD: "Hold: nothing is to be run again; what is missing is named above.",
    Disposition.ROLLBACK: "Roll back: stay reduce-only, close all, then find the cause before anything runs again.",
}
LEVEL_WORDS = {
    Level.L0: "rehearsal, L0: authorises no live rung",
    Level.L1: "static sandbox, L1: authorises no live rung",
    Level.L2: "paper, L2: live data, simulated fills; authorises no live rung",
    Level.L3: "live orders, L3",
}


def share(value: Decimal | None, places: int = 2) -> str:
    """Return a share as percent.

    >>> share(Decimal("0.9791776")), share(Decimal("1"))
    ('97.92%', '100%')
    """
    if value is None:
        return NONE
    shown = f"{value * 100:.{places}f}"
    return f"{shown.rstrip('0').rstrip('.') if '.' in shown else shown}%"


def anchor(kind: str, name: str) -> str:
    """Return an id for a link: letters, digits, dashes only, whatever the name is.

    >>> anchor("evidence", "a<b")
    'evidence-a-3cb'
    """
    return f"{kind}-{_UNSAFE.sub(lambda found: f'-{ord(found[0]):x}', name)}"
