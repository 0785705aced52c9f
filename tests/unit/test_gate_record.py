"""The record: signed, chained, and verified by deciding again; nobody edits it unseen."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.unit.gate_fixtures import NOW_NS, START_NS, make_input, make_ref, with_observation
from trading_core.artifacts import ArtifactName
from trading_core.canonical import canonical_json
from trading_core.errors import ConfigurationError, IntegrityError
from trading_core.gate.attempts import Attempt, AttemptLedger, CriterionTally
from trading_core.gate.chained_log import ChainedLog
from trading_core.gate.decide import DecisionRecord, GateInput, decide
from trading_core.gate.evidence import Tally
from trading_core.gate.explain import explain
from trading_core.gate.outcomes import Verdict
from trading_core.gate.publish import GATE_INPUT, GateFiles, evidence_of, publish
from trading_core.gate.record import record_from_bytes, statement_bytes
from trading_core.gate.subject import Subject
from trading_core.gate.verify import verify_run
from trading_core.plan import Level
from trading_core.plan_files import find_plan
from trading_core.run_files import DECISION, OBSERVATIONS
from trading_core.storage.artifact_store import ArtifactMeta, ArtifactStore

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def run_with_decision(run_dir: Path, files: GateFiles, key: Ed25519PrivateKey | None = KEY) -> DecisionRecord:
    """Publish a GO in a run directory that holds one artifact and the observations made of it."""
    store = ArtifactStore(run_dir, lambda: NOW_NS)
    clean = make_input()
    meta = ArtifactMeta(
        rows=3, producer="test", subject_digest=clean.subject.digest, level=Level.L0,
        window_start_ns=START_NS, window_end_ns=NOW_NS,
    )
    entry = store.write(ArtifactName.EXECUTION_LOGS, {"rows": [1, 2, 3]}, meta)
    ref = make_ref(clean.subject.digest, artifact=ArtifactName.EXECUTION_LOGS, sha256=entry.sha256)
    observations = tuple(o.model_copy(update={"refs": (ref,)}) for o in clean.observations)
    store.write(OBSERVATIONS, {"observations": observations}, meta)
    given = clean.model_copy(update={"observations": observations, "evidence": evidence_of(store)})
    return publish(given, store, files, key)


@pytest.fixture
def files(tmp_path: Path) -> GateFiles:
    return GateFiles(tmp_path / "store")


@pytest.fixture
def run_dir(tmp_path: Path, files: GateFiles) -> Path:
    record = run_with_decision(tmp_path / "run", files)
    assert record.verdict is Verdict.GO
    return tmp_path / "run"


# ── the document ────────────────────────────────────────────────────────────────────────────────
def test_the_statement_is_in_toto_and_names_the_subject() -> None:
    record = decide(make_input())
    statement = json.loads(statement_bytes(record))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"][0]["digest"]["sha256"] == record.subject_digest
    assert set(statement) == {"_type", "subject", "predicateType", "predicate"}


def test_a_record_survives_the_way_through_its_bytes() -> None:
    data = statement_bytes(decide(make_input()))
    assert statement_bytes(record_from_bytes(data)) == data


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"not json", b'{"_type":"x","predicateType":"y"}'])
def test_bytes_that_are_no_decision_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        record_from_bytes(data)


def test_no_number_of_the_record_is_a_float() -> None:
    def floats(value: object) -> list[object]:
        if isinstance(value, dict):
            return [f for item in value.values() for f in floats(item)]
        if isinstance(value, list):
            return [f for item in value for f in floats(item)]
        return [value] if isinstance(value, float) else []

    assert floats(json.loads(statement_bytes(decide(make_input(find_plan("stage3")))))) == []


# ── verify ──────────────────────────────────────────────────────────────────────────────────────
def test_an_untouched_run_verifies_byte_for_byte(run_dir: Path, files: GateFiles) -> None:
    verification = verify_run(run_dir, files, KEY.public_key())
    assert verification.problems == ()
    assert verification.is_verified


@pytest.mark.parametrize("name", [ArtifactName.EXECUTION_LOGS, OBSERVATIONS, GATE_INPUT, DECISION])
def test_one_changed_digit_is_found(run_dir: Path, files: GateFiles, name: str) -> None:
    path = run_dir / f"{name}.json"
    data = path.read_bytes()
    at = next(i for i, byte in enumerate(data) if byte in b"12345678")
    path.write_bytes(data[:at] + bytes([data[at] + 1]) + data[at + 1 :])
    assert not verify_run(run_dir, files).is_verified


@pytest.mark.parametrize("name", [ArtifactName.EXECUTION_LOGS, OBSERVATIONS, GATE_INPUT, DECISION])
def test_a_missing_artifact_is_found(run_dir: Path, files: GateFiles, name: str) -> None:
    (run_dir / f"{name}.json").unlink()
    assert not verify_run(run_dir, files).is_verified


def test_a_verdict_edited_with_its_digest_is_found(run_dir: Path, files: GateFiles) -> None:
    store = ArtifactStore(run_dir, lambda: NOW_NS)
    data = store.read(DECISION).replace(b'"rule":9', b'"rule":8')
    entry = store.manifest().artifacts[DECISION]
    store.write(DECISION, data, ArtifactMeta(**{n: getattr(entry, n) for n in ArtifactMeta.model_fields}))
    problems = verify_run(run_dir, files).problems
    assert any("deciding again" in problem for problem in problems)
    assert any("decision log" in problem for problem in problems)


def test_an_artifact_replaced_with_its_digest_is_found(run_dir: Path, files: GateFiles) -> None:
    store = ArtifactStore(run_dir, lambda: NOW_NS)
    entry = store.manifest().artifacts[ArtifactName.EXECUTION_LOGS]
    meta = ArtifactMeta(**{n: getattr(entry, n) for n in ArtifactMeta.model_fields})
    store.write(ArtifactName.EXECUTION_LOGS, {"rows": [1, 2, 4]}, meta)
    assert any("the decision was made on" in problem for problem in verify_run(run_dir, files).problems)


def test_another_key_did_not_sign_it(run_dir: Path, files: GateFiles) -> None:
    assert verify_run(run_dir, files, OTHER_KEY.public_key()).problems == ("the signature is not this key's",)


def test_a_go_counts_signed_only_and_a_no_go_always(run_dir: Path, files: GateFiles) -> None:
    record = record_from_bytes((ArtifactStore(run_dir).path_of(DECISION)).read_bytes())
    files.decisions.append(record)
    files.decisions.append(record.model_copy(update={"verdict": Verdict.NO_GO}))
    counted = files.decisions.records(KEY.public_key())
    assert [r.verdict for r in counted] == [Verdict.GO, Verdict.NO_GO]
    assert [r.verdict for r in files.decisions.records(OTHER_KEY.public_key())] == [Verdict.NO_GO]


def test_an_unsigned_decision_is_told(tmp_path: Path, files: GateFiles) -> None:
    run_with_decision(tmp_path / "unsigned", files, None)
    assert verify_run(tmp_path / "unsigned", files, KEY.public_key()).problems == ("the decision is not signed",)


def test_an_empty_directory_is_not_verified(tmp_path: Path) -> None:
    verification = verify_run(tmp_path)
    assert verification.decision is None
    assert not verification.is_verified


# ── the chained log ─────────────────────────────────────────────────────────────────────────────
def log_of(path: Path, lines: int) -> ChainedLog:
    log = ChainedLog(path, "test")
    for number in range(lines):
        log.append({"number": number})
    return log


def test_a_log_returns_what_was_appended(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log.jsonl", 3)
    assert [entry.payload["number"] for entry in log.read()] == [0, 1, 2]
    assert log.head().seq == 3


def test_a_changed_line_breaks_the_chain(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log.jsonl", 3)
    log.path.write_bytes(log.path.read_bytes().replace(b'"number":1', b'"number":7'))
    with pytest.raises(IntegrityError, match="line 2"):
        log.read()
    with pytest.raises(IntegrityError):
        log.append({"number": 3})


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_cut_log_is_noticed(tmp_path: Path, kept: int) -> None:
    log = log_of(tmp_path / "log.jsonl", 3)
    log.path.write_bytes(b"".join(log.path.read_bytes().splitlines(keepends=True)[:kept]))
    with pytest.raises(IntegrityError, match="its head says 3"):
        log.read()


def test_a_removed_log_is_not_a_fresh_start(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log.jsonl", 1)
    log.path.unlink()
    with pytest.raises(IntegrityError):
        log.append({"number": 1})


def test_an_unreadable_head_is_not_a_fresh_start(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log.jsonl", 1)
    log.path.with_name("log.jsonl.head").write_text("{", "utf-8")
    with pytest.raises(IntegrityError):
        log.read()


def test_a_line_of_another_log_does_not_fit(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log.jsonl", 2)
    other = ChainedLog(tmp_path / "other.jsonl", "other")
    other.path.write_bytes(log.path.read_bytes())
    with pytest.raises(IntegrityError):
        other.read()


def test_a_torn_last_line_was_never_acknowledged_and_is_dropped(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log.jsonl", 2)
    with log.path.open("ab") as file:
        file.write(b'{"hash":"ab')
    log.append({"number": 2})
    assert [entry.payload["number"] for entry in log.read()] == [0, 1, 2]


def test_a_whole_line_that_the_head_missed_counts(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log.jsonl", 2)
    head = log.path.with_name("log.jsonl.head")
    before = head.read_bytes()
    log.append({"number": 2})
    head.write_bytes(before)
    assert log.head().seq == 3


def test_threads_append_one_after_the_other(tmp_path: Path) -> None:
    log = ChainedLog(tmp_path / "log.jsonl", "test")
    threads = [threading.Thread(target=log.append, args=({"number": n},)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.payload["number"] for entry in log.read()) == list(range(12))


# ── attempts ────────────────────────────────────────────────────────────────────────────────────
def attempt(attempt_id: str, successes: int, failures: int, subject: str = "s", level: Level = Level.L0) -> Attempt:
    pooled = Tally(successes=successes, failures=failures)
    tallies = {"m": CriterionTally(pooled=pooled, by_symbol={"BTC-USD": pooled})}
    return Attempt(
        attempt_id=attempt_id, run_id=attempt_id, subject_digest=subject, level=level, ts_ns=1, tallies=tallies
    )


def none_open(attempt: Attempt) -> dict[str, CriterionTally]:
    raise AssertionError(f"attempt {attempt.attempt_id} was decided: its events need not be read")


def test_attempts_add_up_for_one_subject_and_level(tmp_path: Path) -> None:
    ledger = AttemptLedger(tmp_path / "attempts.jsonl")
    of_others = (attempt("c", 9, 9, "other"), attempt("d", 9, 9, "s", Level.L3))
    for entry in (attempt("a", 40, 1), attempt("b", 30, 2), *of_others):
        ledger.record(entry)
    prior = ledger.prior("s", Level.L0, "now", none_open)["m"]
    assert (prior.pooled, prior.attempts) == (Tally(successes=70, failures=3), 2)
    assert prior.by_symbol["BTC-USD"] == prior.pooled


def test_a_resumed_attempt_replaces_its_earlier_entry_and_is_not_its_own_past(tmp_path: Path) -> None:
    ledger = AttemptLedger(tmp_path / "attempts.jsonl")
    for entry in (attempt("a", 10, 0), attempt("a", 40, 1)):
        ledger.record(entry)
    assert ledger.prior("s", Level.L0, "now", none_open)["m"].pooled == Tally(successes=40, failures=1)
    assert ledger.prior("s", Level.L0, "a", none_open) == {}


def test_an_attempt_is_noted_open_once_and_counts_by_its_events_until_it_is_decided(tmp_path: Path) -> None:
    ledger, own = AttemptLedger(tmp_path / "attempts.jsonl"), attempt("a", 40, 1)
    for _ in range(2):  # a session that was killed goes on
        ledger.begin(own)
    assert [(entry.is_open, entry.tallies) for entry in ledger.attempts()] == [(True, {})]
    assert ledger.prior("s", Level.L0, "now", lambda _: own.tallies)["m"].pooled == Tally(successes=40, failures=1)
    ledger.record(attempt("a", 60, 2))
    assert ledger.prior("s", Level.L0, "now", none_open)["m"].pooled == Tally(successes=60, failures=2)
    ledger.begin(own)
    assert len(ledger.attempts()) == 2


def test_noting_a_repeated_attempt_open_takes_nothing_from_what_it_showed(tmp_path: Path) -> None:
    ledger = AttemptLedger(tmp_path / "attempts.jsonl")
    ledger.record(attempt("a", 40, 1))
    ledger.begin(attempt("a", 0, 0))
    assert ledger.prior("s", Level.L0, "now", none_open)["m"].pooled == Tally(successes=40, failures=1)


def test_a_decision_without_tallies_does_not_close_an_attempt_that_traded(tmp_path: Path) -> None:
    ledger, own = AttemptLedger(tmp_path / "attempts.jsonl"), attempt("a", 0, 9)
    ledger.begin(own)
    ledger.record(own.model_copy(update={"tallies": {}}))
    assert ledger.prior("s", Level.L0, "now", lambda _: own.tallies)["m"].pooled == Tally(successes=0, failures=9)


def test_an_attempt_left_open_before_a_decision_is_known_by_it(tmp_path: Path) -> None:
    ledger = AttemptLedger(tmp_path / "attempts.jsonl")
    for name in ("killed", "window"):
        ledger.begin(attempt(name, 1, 0))
    ledger.record(attempt("window", 1, 0))
    ledger.begin(attempt("later", 1, 0))
    assert ledger.open_before("window") == {"killed"}
    assert ledger.open_before("never") == frozenset()


def test_a_decision_leaves_its_tallies_for_the_next_attempt(run_dir: Path, files: GateFiles) -> None:
    prior = files.attempts.prior(make_input().subject.digest, Level.L0, "another", none_open)
    assert prior["place_order_latency_ms"].pooled == Tally(successes=400, failures=0)


def test_failures_of_an_earlier_attempt_stay_until_the_subject_changes() -> None:
    bad = {"order_rejected_share": Tally(successes=10, failures=90)}
    ledger_says = {name: {"pooled": pooled, "attempts": 1} for name, pooled in bad.items()}
    given = GateInput.model_validate({**make_input().model_dump(), "attempts": ledger_says})
    assert decide(with_observation(given, "order_rejected_share", pooled=Tally(successes=40, failures=0))).verdict is (
        Verdict.NO_GO
    )


# ── subject and explain ─────────────────────────────────────────────────────────────────────────
def test_every_part_of_the_subject_changes_its_digest() -> None:
    subject = make_input().subject
    changes = {
        "git_commit": "f", "is_dirty": True, "lock_digest": "f", "plan_digest": "f", "strategy": "f",
        "strategy_params": {"k": 2}, "venue": "live", "faults": "reject_all", "account_fingerprint": "f",
        "products": ("ETH-USD",),
    }
    assert set(changes) == set(Subject.model_fields)
    digests = {subject.model_copy(update={name: value}).digest for name, value in changes.items()}
    assert len(digests | {subject.digest}) == len(changes) + 1


def test_the_order_of_products_does_not_change_the_subject() -> None:
    subject = make_input().subject
    one = subject.model_copy(update={"products": ("A", "B")})
    assert one.digest == subject.model_copy(update={"products": ("B", "A")}).digest


def test_explain_says_what_was_seen_and_what_is_missing() -> None:
    given = with_observation(
        make_input(), "place_order_latency_ms", pooled=Tally(successes=40, failures=0),
        by_symbol={"BTC-USD": Tally(successes=40, failures=0)},
    )
    shown = explain(decide(given), "place_order_latency_ms")
    for words in ("INCONCLUSIVE / INSUFFICIENT_SAMPLE", "32 more orders are needed", "BTC-USD", "execution_logs.json"):
        assert words in shown


def test_explain_of_an_unknown_criterion_names_those_that_exist() -> None:
    with pytest.raises(ConfigurationError, match=r"choose from .*clock_offset_s"):
        explain(decide(make_input()), "nonsense")


def test_canonical_input_digest_stands_in_the_record() -> None:
    given = make_input()
    assert decide(given).input_digest == decide(GateInput.model_validate_json(canonical_json(given))).input_digest
