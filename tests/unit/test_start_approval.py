"""Approval before a rung trades: other persons than the requester, just this subject, and not for ever."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.unit.gate_fixtures import make_input
from tests.unit.test_prepare import prepare
from trading_core.errors import ConfigurationError
from trading_core.gate.decide import HOUR_NS, decide
from trading_core.gate.overlays import Approval
from trading_core.gate.publish import GateFiles
from trading_core.gate.start_approval import (
    StartAnswer,
    StartRequest,
    file_answer,
    start_answer,
    start_request,
    start_standing,
    subject_of,
)
from trading_core.plan import Approvals, Level
from trading_core.plan_files import find_plan

NOW_NS = 10**18


def asked_of(folder: Path, **changes: Any) -> tuple[StartRequest, GateFiles]:
    context = prepare(folder, **changes)
    files = GateFiles(context.event_store_root)
    return start_request(context, subject_of(context), "Rita", files), files


def said(asked: StartRequest, approver: str = "Ada", **changes: str) -> StartAnswer:
    fields = {"approver": approver, "answer": "approve", "reason": "seen", "subject": asked.subject_digest[:8]}
    return start_answer({**fields, **changes})


def answer(asked: StartRequest, files: GateFiles, approver: str, **changes: str) -> Approval:
    return file_answer(asked, said(asked, approver, **changes), files, NOW_NS)


def start_problem(asked: StartRequest, files: GateFiles, now_ns: int) -> str:
    return start_standing(asked, files, now_ns).problem


def test_nobody_approved_is_no_and_a_yes_holds_until_it_expires(tmp_path: Path) -> None:
    asked, files = asked_of(tmp_path)
    assert "0 of 1" in start_problem(asked, files, NOW_NS)
    answer(asked, files, "Ada")
    assert start_problem(asked, files, NOW_NS) == ""
    assert "expired" in start_problem(asked, files, NOW_NS + int(asked.expires_h * HOUR_NS))


def test_requester_may_not_approve_and_the_subject_must_be_typed(tmp_path: Path) -> None:
    asked, files = asked_of(tmp_path)
    with pytest.raises(ConfigurationError, match="may not approve"):
        answer(asked, files, " rita ")
    with pytest.raises(ConfigurationError, match="type "):
        answer(asked, files, "Ada", subject="00000000")
    other = asked.model_copy(update={"requester": "Somebody"})
    answer(other, files, "RITA")  # filed past the check: it still does not count
    assert "0 of 1" in start_problem(asked, files, NOW_NS)


def test_one_no_outweighs_a_yes_and_another_subject_needs_its_own(tmp_path: Path) -> None:
    asked, files = asked_of(tmp_path)
    answer(asked, files, "Ada")
    changed = asked.model_copy(update={"subject_digest": "0" * 64})
    assert "another subject" in start_problem(changed, files, NOW_NS)
    assert "another subject" in start_problem(asked.model_copy(update={"evidence_digest": "1"}), files, NOW_NS)
    answer(asked, files, "Bob", answer="reject", reason="not today")
    standing = start_standing(asked, files, NOW_NS)
    assert (standing.rejection, standing.approvers) == ("Bob rejected it: not today", ("ada",))
    assert "bob rejected it" in standing.problem


def test_the_same_answer_is_filed_once_until_it_expires(tmp_path: Path) -> None:
    asked, files = asked_of(tmp_path)
    first = answer(asked, files, "Ada")
    assert file_answer(asked, said(asked), files, NOW_NS + 1) == first
    assert file_answer(asked, said(asked, reason="seen twice"), files, NOW_NS + 1) != first
    file_answer(asked, said(asked), files, first.expires_ns)
    assert len(files.people.approvals(asked.gate, NOW_NS)) == 3


@pytest.mark.parametrize(
    ("name", "value"), [("approver", " "), ("answer", "perhaps"), ("reason", " ok "), ("subject", "1234"), ("x", "y")]
)
def test_an_answer_that_is_not_whole_is_refused_by_field(name: str, value: str, tmp_path: Path) -> None:
    asked, _ = asked_of(tmp_path)
    with pytest.raises(ConfigurationError, match=name):
        said(asked, **{name: value})


def test_an_answer_expires_after_a_part_of_an_hour_where_the_plan_says_so(tmp_path: Path) -> None:
    plan = find_plan("phase2").model_copy(update={"approvals": Approvals(expires_h=Decimal("0.5"))})
    asked, files = asked_of(tmp_path, plan=plan)
    assert answer(asked, files, "Ada").expires_ns == NOW_NS + HOUR_NS // 2


def test_two_persons_where_the_plan_says_so_and_nobody_may_ask_unnamed(tmp_path: Path) -> None:
    asked, files = asked_of(tmp_path, plan=find_plan("stage4"))
    answer(asked, files, "Ada")
    answer(asked, files, "ada")
    assert "1 of 2" in start_problem(asked, files, NOW_NS)
    answer(asked, files, "Bob")
    assert start_problem(asked, files, NOW_NS) == ""
    with pytest.raises(ConfigurationError, match="--requester"):
        start_request(context := prepare(tmp_path), subject_of(context), " ", files)


def test_what_another_bot_or_a_rehearsal_showed_below_is_no_evidence_for_this_start(tmp_path: Path) -> None:
    context = prepare(tmp_path, plan=find_plan("stage3"))
    files = GateFiles(context.event_store_root)
    subject = subject_of(context)
    shown = decide(make_input()).model_copy(update={"level": context.level})
    own = shown.model_copy(update={"subject": subject, "subject_digest": subject.digest})
    empty = start_request(context, subject, "Rita", files)
    files.decisions.append(shown)
    files.decisions.append(own.model_copy(update={"level": Level.L3}))
    assert start_request(context, subject, "Rita", files) == empty
    files.decisions.append(own)
    assert start_request(context, subject, "Rita", files).below.startswith("phase2 GO")
