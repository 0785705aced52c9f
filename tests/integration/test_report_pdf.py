"""The report as PDF: printed where a Chromium is, else a sentence that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from checks.report_pdf import find_browser, print_pdf
from flows.cli import app
from tests.evidence_runs import write_run
from trading_core.errors import ConfigurationError, StorageError


def test_without_a_chromium_the_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no Chromium is installed"):
        print_pdf(tmp_path / "report.html")


def test_a_browser_that_prints_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="did not print"):
        print_pdf(tmp_path / "report.html", browser="/bin/false")
    with pytest.raises(StorageError, match="did not print"):
        print_pdf(tmp_path / "report.html", browser=str(tmp_path / "none"))


def test_a_page_is_printed_beside_itself_where_a_browser_is(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("<!doctype html><title>t</title><p>GO</p>", "utf-8")
    if (browser := find_browser()) is None:
        with pytest.raises(ConfigurationError, match="install chromium"):
            print_pdf(page)
    else:
        assert print_pdf(page, browser).read_bytes().startswith(b"%PDF-")
        assert (tmp_path / "report.pdf").is_file()


def test_analyze_judges_a_directory_and_ends_like_a_no_go(tmp_path: Path) -> None:
    write_run(tmp_path)
    done = CliRunner().invoke(app, ["analyze", str(tmp_path)])
    assert done.exit_code == 4
    assert done.output.startswith("NOT_PROVEN: the artifacts are consistent")


def test_the_ladder_of_nobody_says_how_to_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENT_STORE_ROOT", str(tmp_path))
    done = CliRunner().invoke(app, ["ladder"])
    assert (done.exit_code, "nothing was decided yet" in done.output) == (0, True)
