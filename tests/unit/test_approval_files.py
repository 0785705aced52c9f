"""An approval from a file: its owner's only, for just this, young, and once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from flows.asked_here import ask_here, use_file
from tests.unit.test_prepare import prepare
from trading_core.clock import NS, SystemClock
from trading_core.errors import ConfigurationError
from trading_core.gate.decide import HOUR_NS
from trading_core.gate.publish import GateFiles
from trading_core.gate.start_approval import StartRequest, start_request, start_standing, subject_of
from trading_core.plan_files import find_plan
from trading_core.run import RunContext


def make_asked(context: RunContext) -> tuple[StartRequest, GateFiles]:
    files = GateFiles(context.event_store_root)
    return start_request(context, subject_of(context), "Rita", files), files


def write(folder: Path, asked: StartRequest, approver: str = "Ada", **changes: str) -> Path:
    said = {"approver": approver, "answer": "approve", "reason": "seen", "subject": asked.subject_digest[:8]}
    path = folder / f"{approver}.json"
    path.write_text(json.dumps({**said, **changes}), "utf-8")
    path.chmod(0o600)
    return path


def standing(asked: StartRequest, files: GateFiles) -> tuple[tuple[str, ...], bool]:
    found = start_standing(asked, files, SystemClock().now_ns())
    return found.approvers, found.problem == ""


def test_a_file_counts_once_and_is_gone(tmp_path: Path) -> None:
    asked, files = make_asked(prepare(tmp_path))
    path = write(tmp_path, asked)
    use_file(path, asked, files)
    assert (path.exists(), standing(asked, files)) == (False, (("ada",), True))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        use_file(path, asked, files)


def test_two_files_are_two_persons_where_the_plan_wants_two(tmp_path: Path) -> None:
    context = prepare(tmp_path, plan=find_plan("stage4"))
    asked, files = make_asked(context)
    paths = [write(tmp_path, asked, name) for name in ("Ada", "Bob", "Cem")]
    ask_here(context, subject_of(context), "Rita", paths)
    assert standing(asked, files) == (("ada", "bob"), True)
    assert [path.exists() for path in paths] == [False, False, True]  # the third was not needed


def test_without_a_terminal_and_without_a_file_nobody_is_asked(tmp_path: Path) -> None:
    context = prepare(tmp_path)
    ask_here(context, subject_of(context), "Rita", [])
    assert standing(*make_asked(context)) == ((), False)


@pytest.mark.parametrize(
    ("approver", "changes", "words"),
    [
        ("Ada", {"subject": "00000000"}, "is not the subject"),
        ("rita", {}, "may not approve"),
        ("Ada", {"reason": "ok"}, "reason of the answer"),
        ("Ada", {"evidence": "1"}, "evidence of the answer"),
    ],
)
def test_an_answer_that_does_not_count_stays_and_changes_nothing(
    tmp_path: Path, approver: str, changes: dict[str, Any], words: str
) -> None:
    asked, files = make_asked(prepare(tmp_path))
    path = write(tmp_path, asked, approver, **changes)
    with pytest.raises(ConfigurationError, match=words):
        use_file(path, asked, files)
    assert (path.exists(), standing(asked, files)) == (True, ((), False))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    asked, files = make_asked(prepare(tmp_path))
    path = write(tmp_path, asked)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"mode {mode:04o}"):
        use_file(path, asked, files)


def test_what_is_no_plain_file_or_no_json_is_refused(tmp_path: Path) -> None:
    asked, files = make_asked(prepare(tmp_path))
    link, pipe, text = tmp_path / "link", tmp_path / "pipe", tmp_path / "text"
    link.symlink_to(write(tmp_path, asked))
    os.mkfifo(pipe, 0o600)
    text.write_text("yes", "utf-8")
    text.chmod(0o600)
    for path, words in ((link, "cannot be read"), (pipe, "plain file"), (text, "no JSON object")):
        with pytest.raises(ConfigurationError, match=words):
            use_file(path, asked, files)


@pytest.mark.parametrize("away_ns", [25 * HOUR_NS, -NS * 60])
def test_a_file_of_yesterday_or_of_tomorrow_is_refused(tmp_path: Path, away_ns: int) -> None:
    asked, files = make_asked(prepare(tmp_path))
    path, written_ns = write(tmp_path, asked), SystemClock().now_ns() - away_ns
    os.utime(path, ns=(written_ns, written_ns))
    with pytest.raises(ConfigurationError, match="write it anew"):
        use_file(path, asked, files)


def test_a_file_written_before_the_rung_below_was_decided_is_refused(tmp_path: Path) -> None:
    asked, files = make_asked(prepare(tmp_path))
    path = write(tmp_path, asked)
    later = asked.model_copy(update={"below_ns": SystemClock().now_ns() + NS})
    with pytest.raises(ConfigurationError, match="before the rung below was decided"):
        use_file(path, later, files)
