"""A healthy phase 2 rehearsal from the command line: what it leaves, that it verifies, and that it repeats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.command import Done, Home, finish, one_line
from trading_core.artifacts import FIVE
from trading_core.gate.outcomes import Outcome, Verdict
from trading_core.plan import Stage
from trading_core.run_files import DECISION, REPORT_HTML, REPORT_JSON, REPORT_MARKDOWN
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.event_reader import EventReader

RUN = "healthy"


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory, prefect_api_url: str) -> tuple[Home, Done]:
    """The shipped phase 2 on the simulated venue, run once for the tests of this module."""
    home = Home(tmp_path_factory.mktemp("healthy"), prefect_api_url)
    return home, home.run("run", "phase2", "--venue", "simulated", "--seed", 1, "--run-id", RUN)


def test_a_healthy_rehearsal_ends_go_with_all_six_stages_passed(healthy: tuple[Home, Done]) -> None:
    home, done = healthy
    assert done.code == 0, done.err
    assert home.decision(RUN).verdict is Verdict.GO
    assert home.stage_status(RUN) == {stage.value: "PASSED" for stage in Stage}
    assert "authorises no live rung" in one_line(done.out)


def test_a_rehearsal_leaves_five_artifacts_a_decision_and_three_reports(healthy: tuple[Home, Done]) -> None:
    home, done = healthy
    store = ArtifactStore(home.run_dir(RUN))
    names = (*FIVE, DECISION, REPORT_HTML, REPORT_MARKDOWN, REPORT_JSON)
    entries = store.manifest().artifacts
    assert [name for name in names if not store.path_of(name).is_file()] == []
    assert [name for name in FIVE if entries[name].rows == 0] == []
    assert store.verify() == []
    report = one_line(done.out).partition("report ")[2].split()[0]
    assert (home.root / report).resolve() == store.path_of(REPORT_HTML)


def test_a_rehearsal_speaks_on_standard_output_only(healthy: tuple[Home, Done]) -> None:
    assert healthy[1].err == ""


def test_prefect_shows_go_as_the_state_six_named_tasks_and_both_artifacts(healthy: tuple[Home, Done]) -> None:
    home, _ = healthy
    run = home.flow_run(RUN)
    assert (run["state_name"], run["state_type"]) == ("GO", "COMPLETED")
    only_this = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    tasks = home.ask_prefect("task_runs", **only_this)
    assert {task["name"]: task["state_type"] for task in tasks} == dict.fromkeys(
        (
            "preflight", "capability probe", "dry-run pulse", "live micro test", "artifact analysis", "go/no-go",
        ),
        "COMPLETED",
    )
    found = {a["key"]: a for a in home.ask_prefect("artifacts", **only_this)}
    verdict, criteria = found[f"verdict-{RUN}"], found[f"criteria-{RUN}"]
    assert (verdict["type"], criteria["type"]) == ("markdown", "table")
    assert home.decision(RUN).headline.partition(": ")[2] in verdict["data"].replace("\\", "")
    assert len(json.loads(criteria["data"])) == len(home.decision(RUN).criteria)


def test_a_decision_verifies_until_one_digit_of_an_artifact_is_changed(healthy: tuple[Home, Done]) -> None:
    home, _ = healthy
    assert home.run("verify", RUN).code == 0
    path = ArtifactStore(home.run_dir(RUN)).path_of("margin_snapshots")
    whole = path.read_bytes()
    place = next(i for i, byte in enumerate(whole) if i > len(whole) // 2 and byte in b"12345678")
    path.write_bytes(whole[:place] + bytes([whole[place] + 1]) + whole[place + 1 :])
    try:
        changed = home.run("verify", RUN)
    finally:
        path.write_bytes(whole)
    assert changed.code == 4
    assert "margin_snapshots" in changed.out
    assert "NOT verified" in changed.out
    assert home.run("verify", RUN).code == 0


def test_a_criterion_is_explained_with_its_figures(healthy: tuple[Home, Done]) -> None:
    home, _ = healthy
    done = home.run("gate", "explain", RUN, "order_rejected_share")
    found = home.decision(RUN).criterion("order_rejected_share")
    assert found is not None
    assert found.outcome is Outcome.PASS
    assert done.code == 0
    assert found.detail in one_line(done.out)
    assert str(found.n) in done.out


def test_an_unknown_criterion_or_run_is_refused_with_what_there_is(healthy: tuple[Home, Done]) -> None:
    home, _ = healthy
    criterion = home.run("gate", "explain", RUN, "no_such_criterion")
    run = home.run("verify", "no-such-run")
    assert (criterion.code, run.code) == (2, 2)
    assert "no_such_criterion" in criterion.err
    assert "order_rejected_share" in criterion.err
    assert "no-such-run" in run.err
    assert str(home.artifacts) in one_line(run.err)


def test_the_same_seed_repeats_every_event_and_another_seed_does_not(
    healthy: tuple[Home, Done], tmp_path: Path, prefect_api_url: str
) -> None:
    home, _ = healthy
    elsewhere = Home(tmp_path, prefect_api_url)
    started = {
        seed: elsewhere.start("run", "phase2", "--venue", "simulated", "--seed", seed, "--run-id", f"seed-{seed}")
        for seed in (1, 2)
    }
    codes = {seed: finish(process).code for seed, process in started.items()}
    assert codes[1] == 0
    assert codes[2] in {0, 3, 4}  # another market: its verdict is its own
    first = digest(home.events, RUN)
    assert digest(elsewhere.events, "seed-1") == first
    assert digest(elsewhere.events, "seed-2") != first


def digest(events: Path, run_id: str) -> str:
    with EventReader(events, run_id) as reader:
        return reader.digest()
