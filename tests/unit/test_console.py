"""What the terminal shows: the verdict, its reason and the report's path, on 100 columns and without colour."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from flows.console import NEXT_STEPS, make_console, show_decision, stage_ended, stage_started
from trading_core.clock import NS
from trading_core.gate.decide import DecisionRecord, GateInput, decide
from trading_core.gate.outcomes import Disposition, Verdict
from trading_core.gate.subject import Subject
from trading_core.plan import Stage, load_plan
from trading_core.run import VenueName
from trading_core.stages.result import Check, CheckStatus, StageResult, StageStatus

PHASE2 = load_plan(Path(__file__).parents[2] / "deployments" / "plans" / "phase2.toml")


def paper(width: int = 100) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=width, highlight=False), text


def decision_without_evidence() -> DecisionRecord:
    subject = Subject(
        git_commit="0" * 40, is_dirty=False, lock_digest="l", plan_digest=PHASE2.digest, strategy="s",
        venue=VenueName.SIMULATED, account_fingerprint="f", products=("BTC-USD",),
    )
    return decide(
        GateInput(
            run_id="run-1", attempt_id="1", plan=PHASE2, subject=subject, level=VenueName.SIMULATED.level,
            now_ns=NS, is_chain_verified=True,
        )
    )


def result(*checks: Check) -> StageResult:
    return StageResult(
        stage=Stage.PREFLIGHT, status=StageStatus.FAILED, started_ns=0, ended_ns=2 * NS, summary="1 check failed",
        checks=checks,
    )


def test_a_stage_says_its_number_when_it_starts() -> None:
    console, text = paper()
    stage_started(Stage.DRY_RUN_PULSE, console)
    assert text.getvalue().startswith("[3/6] dry_run_pulse")


def test_a_failed_check_says_what_was_seen_what_was_needed_and_what_to_do() -> None:
    console, text = paper(width=200)
    failed = Check(
        name="clock", status=CheckStatus.FAILED, observed="3.1 s", needed="at most 2 s", remedy="sync NTP and rerun"
    )
    blocked = Check(
        name="tls", status=CheckStatus.NOT_EVALUATED, observed="", needed="a certificate", blocked_by="dns"
    )
    stage_ended(result(failed, blocked), console)
    lines = [line.strip() for line in text.getvalue().splitlines()]
    assert lines[0].split() == ["[1/6]", "preflight", "FAILED", "2.0", "s", "clock"]
    assert lines[1:] == [
        "clock FAILED: was 3.1 s, needed at most 2 s – sync NTP and rerun",
        "tls: not evaluated, because dns failed",
    ]


def test_passed_checks_take_no_line() -> None:
    console, text = paper()
    stage_ended(result(Check(name="disk", status=CheckStatus.PASSED, observed="9 GB", needed="1 GB")), console)
    assert len(text.getvalue().splitlines()) == 1


def test_the_decision_shows_verdict_reason_every_criterion_and_the_report() -> None:
    console, text = paper()
    record = decision_without_evidence()
    report = Path("artifacts/phase2") / ("long" * 30) / "report.html"
    show_decision(record, report, console)
    shown = text.getvalue()
    assert record.verdict is Verdict.NO_GO
    assert " NO-GO " in shown
    assert str(report) in shown
    assert f"not evaluated, and so not passed ({len(record.criteria)})" in shown
    assert all(criterion.title in " ".join(shown.split()) for criterion in record.criteria)
    assert record.disposition is not None
    assert NEXT_STEPS[record.disposition].split(":")[0] in shown


def test_no_line_but_the_path_is_longer_than_the_terminal() -> None:
    console, text = paper()
    show_decision(decision_without_evidence(), Path("report.html"), console)
    assert max(len(line) for line in text.getvalue().splitlines()) <= 100


def test_text_from_outside_is_never_read_as_markup() -> None:
    console, text = paper(width=200)
    hostile = Check(name="dns", status=CheckStatus.FAILED, observed="[bold]x[/nonsense]", needed="[red]y", remedy="z")
    stage_ended(result(hostile), console)
    assert "[bold]x[/nonsense], needed [red]y" in text.getvalue()


def test_a_pipe_gets_no_escape_codes(capsys: pytest.CaptureFixture[str]) -> None:
    show_decision(decision_without_evidence(), Path("report.html"))
    assert "\x1b" not in capsys.readouterr().out


def test_no_color_is_honoured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100)
    show_decision(decision_without_evidence(), Path("report.html"), console)
    colour_codes = [code for code in ("\x1b[31m", "\x1b[1;31m", "\x1b[32m", "\x1b[33m") if code in text.getvalue()]
    assert colour_codes == []


def test_the_width_of_a_file_does_not_depend_on_the_machine() -> None:
    assert make_console().width == 100


def test_every_disposition_says_what_to_do() -> None:
    assert set(NEXT_STEPS) == set(Disposition)
