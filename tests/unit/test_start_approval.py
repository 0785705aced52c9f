"""Approval before a rung trades: other persons than the requester, just this subject, and not for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.gate_fixtures import make_input
from tests.unit.test_prepare import prepare
from trading_core.errors import ConfigurationError
from trading_core.gate.decide import HOUR_NS, decide
from trading_core.gate.publish import GateFiles
from trading_core.gate.start_approval import StartRequest, answer_start, start_problem, start_request
from trading_core.gate.subject import Subject
from trading_core.plan import Level
from trading_core.plan_files import find_plan
from trading_core.run_files import SUBJECT
from trading_core.storage.artifact_store import ArtifactStore

NOW_NS = 10**18


def asked_of(folder: Path, **changes: Any) -> tuple[StartRequest, GateFiles]:
    context = prepare(folder, **changes)
    files = GateFiles(context.event_store_root)
    return start_request(context, "Rita", files), files


def answer(asked: StartRequest, files: GateFiles, approver: str, is_approved: bool = True) -> None:
    given = answer_start(
        asked, approver=approver, is_approved=is_approved, typed=asked.subject_digest[:8], reason="", now_ns=NOW_NS
    )
    files.people.file_approval(given)


def test_nobody_approved_is_no_and_a_yes_holds_until_it_expires(tmp_path: Path) -> None:
    asked, files = asked_of(tmp_path)
    assert "0 of 1" in start_problem(asked, files, NOW_NS)
    answer(asked, files, "Ada")
    assert start_problem(asked, files, NOW_NS) == ""
    assert "expired" in start_problem(asked, files, NOW_NS + asked.expires_h * HOUR_NS)


def test_requester_may_not_approve_and_the_subject_must_be_typed(tmp_path: Path) -> None:
    asked, files = asked_of(tmp_path)
    with pytest.raises(ConfigurationError, match="may not approve"):
        answer(asked, files, " rita ")
    with pytest.raises(ConfigurationError, match="type "):
        answer_start(asked, approver="Ada", is_approved=True, typed="1234", reason="", now_ns=NOW_NS)
    other = asked.model_copy(update={"requester": "Somebody"})
    answer(other, files, "RITA")  # filed past the check: it still does not count
    assert "0 of 1" in start_problem(asked, files, NOW_NS)


def test_one_no_outweighs_a_yes_and_another_subject_needs_its_own(tmp_path: Path) -> None:
    asked, files = asked_of(tmp_path)
    answer(asked, files, "Ada")
    changed = asked.model_copy(update={"subject_digest": "0" * 64})
    assert "another subject" in start_problem(changed, files, NOW_NS)
    assert "another subject" in start_problem(asked.model_copy(update={"evidence_digest": "1"}), files, NOW_NS)
    answer(asked, files, "Bob", is_approved=False)
    assert "bob rejected it" in start_problem(asked, files, NOW_NS)


def test_two_persons_where_the_plan_says_so_and_nobody_may_ask_unnamed(tmp_path: Path) -> None:
    asked, files = asked_of(tmp_path, plan=find_plan("stage4"))
    answer(asked, files, "Ada")
    answer(asked, files, "ada")
    assert "1 of 2" in start_problem(asked, files, NOW_NS)
    answer(asked, files, "Bob")
    assert start_problem(asked, files, NOW_NS) == ""
    with pytest.raises(ConfigurationError, match="--requester"):
        start_request(prepare(tmp_path), " ", files)


def test_what_another_bot_or_a_rehearsal_showed_below_is_no_evidence_for_this_start(tmp_path: Path) -> None:
    context = prepare(tmp_path, plan=find_plan("stage3"))
    files = GateFiles(context.event_store_root)
    subject = Subject.model_validate_json(ArtifactStore(context.run_dir).read(SUBJECT))
    shown = decide(make_input()).model_copy(update={"level": context.level})
    own = shown.model_copy(update={"subject": subject, "subject_digest": subject.digest})
    empty = start_request(context, "Rita", files)
    files.decisions.append(shown)
    files.decisions.append(own.model_copy(update={"level": Level.L3}))
    assert start_request(context, "Rita", files) == empty
    files.decisions.append(own)
    assert start_request(context, "Rita", files).below.startswith("phase2 GO")
