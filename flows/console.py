"""What a person at a terminal sees of a run: six lines of progress, then the verdict, why, and what to do."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from trading_core.alert_desk import Message
from trading_core.alerts import Severity
from trading_core.clock import NS
from trading_core.gate.decide import DecisionRecord
from trading_core.gate.outcomes import Disposition, Outcome, Reason, Verdict
from trading_core.gate.result import CriterionResult
from trading_core.plan import Stage, Tier
from trading_core.stages.result import Check, CheckStatus, StageResult, StageStatus

WIDTH_MAX = 120  # a wider terminal does not make a sentence easier to read
WIDTH_IN_A_FILE = 100
STAGE_WIDTH = max(len(stage) for stage in Stage)

VERDICT_STYLES = {Verdict.GO: "bold green", Verdict.CONDITIONAL: "bold yellow", Verdict.NO_GO: "bold red"}
STATUS_STYLES = {StageStatus.PASSED: "green", StageStatus.FAILED: "bold red", StageStatus.NOT_RUN: "yellow"}
OUTCOME_STYLES = {
    Outcome.PASS: "green",
    Outcome.WARN: "yellow",
    Outcome.FAIL: "bold red",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.NO_DATA: "red",
    Outcome.ERROR: "bold red",
    Outcome.NOT_APPLICABLE: "dim",
}
# Reading order of the table: what stops the run stands first.
OUTCOME_ORDER = (
    Outcome.FAIL, Outcome.ERROR, Outcome.NO_DATA, Outcome.INCONCLUSIVE, Outcome.WARN, Outcome.PASS,
    Outcome.NOT_APPLICABLE,
)
NEXT_STEPS = {
    Disposition.EXTEND: "Extend: nothing was refuted, but the evidence is too thin. Run the same subject again.",
    Disposition.REPAIR: "Repair: evidence is missing or unusable. Mend what is named first, then run again.",
    Disposition.REJECT: "Reject: a violation was shown. Change the bot or the plan: that is a new subject.",
    Disposition.HOLD: "Hold: a person must decide. See what is asked for above.",
    Disposition.ROLLBACK: "Roll back: a guardrail latched, trading stopped. Read docs/runbook.md before any new run.",
}


def make_console() -> Console:
    """Return a console on standard output; NO_COLOR and a pipe turn colours off."""
    console = Console(highlight=False, soft_wrap=False)
    console.width = min(console.width, WIDTH_MAX) if console.is_terminal else WIDTH_IN_A_FILE
    return console


def alert_told(message: Message, console: Console | None = None) -> None:
    """Say in one line that an alert was raised, or asks again for an answer."""
    style = "bold red" if message.severity is Severity.CRITICAL else "red"
    line = Text.assemble((f"  {message.severity}", style), f"  {message.name}: {message.body}")
    (console or make_console()).print(line)


def stage_started(stage: Stage, console: Console | None = None) -> None:
    """Say which stage begins."""
    line = Text(f"{_number(stage)} {stage:<{STAGE_WIDTH}}  …", style="dim")
    (console or make_console()).print(line)


def stage_ended(result: StageResult, console: Console | None = None) -> None:
    """Say how a stage ended, and of each check that did not pass, what to do."""
    out = console or make_console()
    line = Text(f"{_number(result.stage)} {result.stage:<{STAGE_WIDTH}}  ")
    line.append(f"{result.status:<7}", style=STATUS_STYLES[result.status])
    # A failed stage's checks say it in full below: the line itself names only the first.
    words = result.summary if not result.failed_checks else result.failed_checks[0].name
    line.append(f"  {_seconds(result):>8}  {words}")
    out.print(line)
    for check in result.checks:
        if check.status is not CheckStatus.PASSED:
            out.print(Padding(_check_text(check), (0, 0, 0, 6)))


def show_decision(record: DecisionRecord, report_path: Path, console: Console | None = None) -> None:
    """Print the criteria table, the verdict with its reason, and where the report lies."""
    out = console or make_console()
    out.print()
    out.print(_criteria_table(record))
    if not_evaluated := [c for c in record.criteria if c.reason is Reason.NOT_EVALUATED]:
        out.print(_not_evaluated(not_evaluated))
    out.print(_banner(record))
    out.print(Text(f"subject {record.subject_digest[:12]}   level {record.level}   run {record.run_id}", style="dim"))
    # A path is for copying: never cut, never wrapped.
    out.print(Text(f"report  {report_path}"), soft_wrap=True)


def _number(stage: Stage) -> str:
    stages = list(Stage)
    return f"[{stages.index(stage) + 1}/{len(stages)}]"


def _seconds(result: StageResult) -> str:
    # Analysis and decision take no venue time.
    elapsed_ns = result.ended_ns - result.started_ns
    return f"{elapsed_ns / NS:.1f} s" if elapsed_ns else ""


def _check_text(check: Check) -> Text:
    match check.status:
        case CheckStatus.NOT_EVALUATED:
            return Text(f"{check.name}: not evaluated, because {check.blocked_by or 'an earlier check'} failed", "dim")
        case CheckStatus.WARNED:
            style = "yellow"
        case _:
            style = "red"
    remedy = f" – {check.remedy}" if check.remedy else ""
    return Text(f"{check.name} {check.status}: was {check.observed}, needed {check.needed}{remedy}", style)


def _criteria_table(record: DecisionRecord) -> Table:
    table = Table(title=f"{record.gate}: {len(record.criteria)} criteria", title_justify="left", expand=True)
    table.add_column("tier", width=6)
    table.add_column("criterion", ratio=5)
    table.add_column("outcome", width=14)
    table.add_column("observed, needed", ratio=8)
    waived = {use.waiver.criterion for use in record.waivers if use.is_applied}
    shown = (c for c in record.criteria if c.reason is not Reason.NOT_EVALUATED)
    for result in sorted(shown, key=_reading_order):
        table.add_row(
            Text(result.tier),
            Text(result.title),
            Text(result.outcome + (", WAIVED" if result.name in waived else ""), style=OUTCOME_STYLES[result.outcome]),
            _reason_text(result),
        )
    return table


def _not_evaluated(results: list[CriterionResult]) -> Text:
    """Return one paragraph for all criteria that no stage came to: no data, and so no pass."""
    names = ", ".join(c.title for c in sorted(results, key=_reading_order))
    return Text(f"not evaluated, and so not passed ({len(results)}): {names}", style="red")


def _reading_order(result: CriterionResult) -> tuple[int, int, int, str]:
    tier = list(Tier).index(result.tier)
    return tier, OUTCOME_ORDER.index(result.outcome), result.precedence, result.name


def _reason_text(result: CriterionResult) -> Text:
    text = Text(result.detail)
    if result.outcome is not Outcome.PASS:
        text.append(f" {result.reason}", style="dim")
    if result.shortfall is not None:
        text.append(f"; {result.shortfall.sentence}")
    return text


def _banner(record: DecisionRecord) -> Panel:
    style = VERDICT_STYLES[record.verdict]
    body = Text(record.headline)
    for guardrail in record.guardrails:
        if guardrail.is_latched:
            body.append(f"\nguardrail {guardrail.name} latched: {guardrail.detail}".rstrip(), style="red")
    if record.approval_problem:
        body.append(f"\napprovals: {record.approval_problem}")
    if record.authorises is not None:
        body.append(f"\nauthorises {record.authorises.rung} until {record.authorises.valid_until}")
    if record.disposition is not None:
        body.append(f"\n{NEXT_STEPS[record.disposition]}")
    return Panel(body, title=Text(f" {record.verdict} ", style=style), title_align="left", border_style=style)
