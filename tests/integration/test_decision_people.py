"""Waivers, approvals, golden run and signature through the real go/no-go stage, from the files that people write."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from flows.cli_parity import compare_runs
from flows.finished_run import decide_again_at
from tests.finished_runs import PHASE2, finish, good_events
from trading_core import events as ev
from trading_core.clock import NS
from trading_core.errors import ConfigurationError, IntegrityError
from trading_core.gate.baselines import baselines
from trading_core.gate.decide import DecisionRecord
from trading_core.gate.outcomes import Disposition, Outcome, Verdict
from trading_core.gate.overlays import Approval, Waiver
from trading_core.gate.people import (
    APPROVALS_FILE,
    WAIVERS_FILE,
    GoldenRun,
    PeopleFiles,
    make_approval,
    make_waiver,
)
from trading_core.gate.publish import GateFiles
from trading_core.gate.signing import load_public_key, load_signing_key
from trading_core.gate.start_approval import START_REQUEST, start_request, subject_of
from trading_core.gate.verify import verify_run
from trading_core.plan import Level
from trading_core.plan_files import find_plan
from trading_core.run import RunContext, VenueName
from trading_core.stages import go_no_go
from trading_core.stages.result import StageResult
from trading_core.storage.event_store import EventStore

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
HOUR_NS = 3600 * NS
GATE = "phase2/go_no_go"
Left = tuple[RunContext, list[StageResult]]


@pytest.fixture(scope="module")
def finished_live(tmp_path_factory: pytest.TempPathFactory) -> Left:
    return finish(tmp_path_factory.mktemp("live"), venue=VenueName.LIVE)


@pytest.fixture(scope="module")
def finished_slow(tmp_path_factory: pytest.TempPathFactory) -> Left:
    events = good_events()
    late = [i for i, (_, e) in enumerate(events) if isinstance(e, ev.OrderAccepted)][20:26]
    for i in late:
        seq, accepted = events[i]
        events[i] = (seq, msgspec.structs.replace(accepted, latency_ms=Decimal(600)))
    return finish(tmp_path_factory.mktemp("slow"), events)


@pytest.fixture
def live(finished_live: Left, tmp_path: Path) -> Left:
    """A good run of live evidence: all that a live rung needs, save a person."""
    return copied(finished_live, tmp_path / "run")


@pytest.fixture
def slow(finished_slow: Left, tmp_path: Path) -> Left:
    """A good run but for six slow orders: one must is open, and it may be waived."""
    return copied(finished_slow, tmp_path / "run")


def copied(left: Left, folder: Path) -> Left:
    """Return the run in a directory of its own, so that each test decides it for the first time."""
    shutil.copytree(left[0].run_dir, folder)
    moved = {"run_dir": folder, "event_store_root": folder / left[0].event_store_root.name}
    return left[0].model_copy(update=moved), left[1]


def decide(left: Left, at_ns: int = 0, key: Ed25519PrivateKey | None = None) -> DecisionRecord:
    return go_no_go.run(*left, now_ns=at_ns, key=key)


def people(left: Left) -> PeopleFiles:
    return GateFiles(left[0].event_store_root).people


def end_of(left: Left) -> int:
    return max(stage.ended_ns for stage in left[1])


def answer(record: DecisionRecord, now_ns: int, **changes: object) -> Approval:
    made = make_approval(
        record, approver="Ada", is_approved=True, typed=record.subject_digest[:8], reason="", hours=24, now_ns=now_ns
    )
    return made.model_copy(update=changes)


def test_a_live_run_without_approval_is_on_hold(live: Left) -> None:
    record = decide(live)
    assert (record.verdict, record.disposition) == (Verdict.NO_GO, Disposition.HOLD), record.headline
    assert record.headline == "NO-GO (HOLD): 0 of 1 approvals"


def add_run(context: RunContext, run_id: str, subject_digest: str, *, is_sent: bool) -> None:
    """Put an interrupted run into the event store: it began, and perhaps sent an order, and nobody decided it."""
    sent = next(e for _, e in good_events() if isinstance(e, ev.OrderSubmitted))
    started = ev.SessionStarted(
        ts_ns=sent.ts_ns, plan_digest="p", subject_digest=subject_digest, exchange_ns=0, products=()
    )
    with EventStore.open(context.store, run_id, run_id, is_durable=False) as store:
        store.append(started, "input")
        if is_sent:
            store.append(sent, "record")


@pytest.mark.parametrize(
    ("subject", "is_sent", "is_held"), [("", True, True), ("", False, False), ("cd" * 32, True, False)]
)
def test_a_live_attempt_that_traded_and_was_never_decided_stands_in_the_way(
    live: Left, subject: str, is_sent: bool, is_held: bool
) -> None:
    add_run(live[0], "killed", subject or live[0].subject_digest, is_sent=is_sent)
    record = decide(live)
    assert (record.disposition is Disposition.REPAIR) is is_held, record.headline
    assert ("run killed of this subject traded and was never decided" in record.headline) is is_held


def test_an_approval_that_was_filed_since_turns_the_hold_into_a_go(live: Left) -> None:
    held = decide(live)
    people(live).file_approval(answer(held, end_of(live)))
    record = decide(live, end_of(live) + NS)
    assert record.verdict is Verdict.GO, record.headline
    assert record.authorises is not None
    assert verify_run(live[0].run_dir, GateFiles(live[0].event_store_root)).problems == ()


@pytest.mark.parametrize(
    ("changes", "after_ns", "words"),
    [
        ({"subject_digest": "ab" * 32}, NS, "one is for another subject"),
        ({"evidence_digest": "ab" * 32}, NS, "other evidence"),
        ({}, 24 * HOUR_NS, "one has expired"),
        ({"decision": "reject"}, NS, "ada rejected it"),
    ],
)
def test_an_approval_that_is_not_for_this_now_holds_the_run(
    live: Left, changes: dict[str, object], after_ns: int, words: str
) -> None:
    held = decide(live)
    people(live).file_approval(answer(held, end_of(live), **changes))
    record = decide(live, end_of(live) + after_ns)
    assert (record.verdict, record.disposition) == (Verdict.NO_GO, Disposition.HOLD), record.headline
    assert words in record.headline


def test_the_yes_of_who_asked_for_the_run_does_not_count(live: Left) -> None:
    asked = start_request(live[0], subject_of(live[0]), "Rita", GateFiles(live[0].event_store_root))
    (live[0].run_dir / START_REQUEST).write_text(asked.model_dump_json(), "utf-8")
    held = decide(live)
    people(live).file_approval(answer(held, end_of(live), approver=" rita"))
    assert decide(live, end_of(live) + NS).headline == "NO-GO (HOLD): 0 of 1 approvals"
    people(live).file_approval(answer(held, end_of(live)))
    assert decide(live, end_of(live) + NS).verdict is Verdict.GO


def test_a_live_go_is_not_decided_again_and_nor_is_a_run_that_another_one_followed(live: Left) -> None:
    context, files = live[0], GateFiles(live[0].event_store_root)
    held = decide(live)
    assert decide_again_at(context) > end_of(live)  # what people filed since then counts
    files.decisions.append(held.model_copy(update={"attempt_id": "later", "run_id": "later"}))
    with pytest.raises(ConfigurationError, match="followed by run later"):
        decide_again_at(context)
    files.decisions.append(held.model_copy(update={"verdict": Verdict.GO}))
    with pytest.raises(ConfigurationError, match="nothing to decide again"):
        decide_again_at(context)


def test_a_run_that_another_plan_of_the_same_rung_followed_is_not_decided_again(live: Left) -> None:
    """Another plan is another subject, but the bot stands on the rung by its newest decision."""
    context, files = live[0], GateFiles(live[0].event_store_root)
    held = decide(live)
    other = held.subject.model_copy(update={"plan_digest": "ab" * 32})
    changes = {"attempt_id": "later", "run_id": "later", "subject": other, "subject_digest": other.digest}
    files.decisions.append(held.model_copy(update=changes))
    with pytest.raises(ConfigurationError, match="followed by run later"):
        decide_again_at(context)


def test_a_run_that_another_bot_followed_may_be_decided_again(live: Left) -> None:
    held = decide(live)
    other = held.subject.model_copy(update={"git_commit": "ab" * 20})
    changes = {"attempt_id": "later", "run_id": "later", "subject": other, "subject_digest": other.digest}
    GateFiles(live[0].event_store_root).decisions.append(held.model_copy(update=changes))
    assert decide_again_at(live[0]) > end_of(live)


def test_an_answer_is_only_taken_with_the_subject_typed(live: Left) -> None:
    held = decide(live)
    with pytest.raises(ConfigurationError, match="type its digest's first 8 letters"):
        make_approval(held, approver="Ada", is_approved=True, typed="yes", reason="", hours=24, now_ns=1)


def waiver_for(record: DecisionRecord, criterion: str, now_ns: int, hours: int = 24) -> Waiver:
    return make_waiver(
        record, PHASE2, criterion, floor=Decimal("0.5"), reason="seen before", requester="Bob", approver="Ada",
        hours=hours, number=1, now_ns=now_ns,
    )


def open_must(record: DecisionRecord) -> str:
    """Return the one must that stands in the way and that may be waived."""
    waivable = {c.name for c in PHASE2.criteria if c.is_waivable}
    names = [c.name for c in record.criteria if c.tier == "must" and c.name in waivable
             and c.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE)]
    assert len(names) == 1, names
    return names[0]


def test_a_waiver_lets_one_criterion_pass_once_with_reservations(slow: Left) -> None:
    first = decide(slow)
    assert first.verdict is Verdict.NO_GO
    people(slow).file_waiver(GATE, waiver_for(first, open_must(first), end_of(slow)))
    record = decide(slow, end_of(slow) + NS)
    assert record.verdict is Verdict.CONDITIONAL, record.headline
    assert record.waivers[0].is_applied
    assert GateFiles(slow[0].event_store_root).decisions.used_waivers() == (record.waivers[0].waiver.waiver_id,)


@pytest.mark.parametrize(
    ("changes", "after_ns", "words"),
    [
        ({}, 24 * HOUR_NS, "was refused: it expired at"),
        ({"subject_digest": "ab" * 32}, NS, "was refused: it is for subject abababab"),
        ({"floor": Decimal("0.999")}, NS, "its floor 0.999 does not hold"),
        ({"approver": "BOB"}, NS, "BOB approved their own request"),
    ],
)
def test_a_waiver_that_does_not_hold_is_said_beside_what_it_was_for(
    slow: Left, changes: dict[str, object], after_ns: int, words: str
) -> None:
    first = decide(slow)
    name = open_must(first)
    waiver = waiver_for(first, name, end_of(slow)).model_copy(update=changes)
    people(slow).file_waiver(GATE, waiver)
    record = decide(slow, end_of(slow) + after_ns)
    assert record.verdict is Verdict.NO_GO
    assert record.headline.startswith(first.headline)
    assert words in record.headline


def test_what_is_never_waivable_cannot_even_be_asked_for(slow: Left) -> None:
    record = decide(slow)
    for name in ("reconciliation", "kill_switch_drill", "gtd_never_sent", "credentials"):
        with pytest.raises(ConfigurationError, match="can never be waived"):
            waiver_for(record, name, end_of(slow))


@pytest.mark.parametrize(("hours", "requester"), [(0, "Bob"), (169, "Bob"), (24, "ada")])
def test_a_waiver_is_refused_for_its_time_and_its_persons(slow: Left, hours: int, requester: str) -> None:
    record = decide(slow)
    with pytest.raises(ConfigurationError, match=r"out of range|their own request"):
        make_waiver(record, PHASE2, open_must(record), floor=Decimal(0), reason="r", requester=requester,
                    approver="Ada", hours=hours, number=1, now_ns=1)


@pytest.mark.parametrize("name", [WAIVERS_FILE, APPROVALS_FILE])
def test_a_file_of_people_that_was_edited_halts_the_account(slow: Left, name: str) -> None:
    first = decide(slow)
    people(slow).file_waiver(GATE, waiver_for(first, open_must(first), end_of(slow)))
    people(slow).file_approval(answer(first, end_of(slow)))
    path = slow[0].event_store_root / name
    path.write_text(path.read_text("utf-8").replace("Ada", "Eve"), "utf-8")
    with pytest.raises(IntegrityError, match="was changed"):
        decide(slow)


def test_the_golden_run_is_of_one_gate_and_one_level(slow: Left) -> None:
    files = GateFiles(slow[0].event_store_root)
    plan = find_plan("stage4")
    record = decide(slow)
    golden = GoldenRun(
        gate="stage4/go_no_go", level=Level.L0, run_id=record.run_id, values={"latency_vs_baseline": Decimal(7)},
        pinned_by="Ada", pinned_ns=1,
    )
    files.people.pin_golden(golden)
    found = baselines(plan, "stage4/go_no_go", Level.L0, record.subject, "me", [record], files.people)
    assert (found["latency_vs_baseline"].golden, found["latency_vs_baseline"].values) == (Decimal(7), ())
    assert baselines(plan, "stage4/go_no_go", Level.L3, record.subject, "me", [record], files.people)[
        "latency_vs_baseline"
    ].golden is None


def test_a_signed_decision_verifies_with_its_key_and_with_no_other(slow: Left, tmp_path: Path) -> None:
    record = decide(slow, key=KEY)
    files = GateFiles(slow[0].event_store_root)
    other = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))).public_key()
    assert verify_run(slow[0].run_dir, files, KEY.public_key()).problems == ()
    assert verify_run(slow[0].run_dir, files, other).problems == ("the signature is not this key's",)
    assert files.decisions.records(KEY.public_key()) == files.decisions.records(other) == [record]  # a NO-GO


def test_an_unsigned_decision_can_be_made_again_and_signed(slow: Left) -> None:
    files = GateFiles(slow[0].event_store_root)
    assert decide(slow) == decide(slow, key=KEY)
    assert verify_run(slow[0].run_dir, files, KEY.public_key()).problems == ()


def test_keys_are_read_from_pem_files_and_anything_else_is_refused(tmp_path: Path) -> None:
    secret, public, rsa = (tmp_path / name for name in ("secret.pem", "public.pem", "rsa.pem"))
    raw = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    secret.write_bytes(KEY.private_bytes(*raw))
    public.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    rsa.write_bytes(generate_private_key(65537, 2048).private_bytes(*raw))
    assert load_signing_key(secret).public_key() == load_public_key(public) == load_public_key(secret)
    for path, words in ((rsa, "is not Ed25519"), (tmp_path / "none", "cannot be read"), (public, "no PEM private")):
        with pytest.raises(ConfigurationError, match=words):
            load_signing_key(path)
    (tmp_path / "text").write_text(json.dumps({"no": "key"}), "utf-8")
    with pytest.raises(ConfigurationError, match="no PEM key"):
        load_public_key(tmp_path / "text")


def test_a_finished_run_is_compared_from_its_folder_and_spoilt_evidence_is_refused(slow: Left) -> None:
    folder = slow[0].run_dir
    found = compare_runs(folder, folder)
    assert found.matched == found.a.signals > 0
    assert {row.delta for row in found.rows} <= {Decimal(0), None}
    (folder / "execution_logs.json").write_bytes(b"{}")
    with pytest.raises(ConfigurationError, match="HASH_MISMATCH"):
        compare_runs(folder, folder)
