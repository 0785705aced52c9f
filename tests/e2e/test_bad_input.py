"""Wrong use from the command line: one clear sentence on standard error, the right exit code, nothing left running."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.e2e.command import Done, Home, changed_plan, left_behind, one_line, short_phase2
from trading_core.advanced_trade.keys import KeyKind, generate_key
from trading_core.gate.outcomes import Verdict
from trading_core.stages.result import CheckStatus, StageResult
from trading_core.storage.artifact_store import ArtifactStore

RUN = "bad"
ARMED = {"GREENLIGHT_ARM_LIVE": "I-ACCEPT-LIVE-ORDERS phase2"}


def assert_refused(home: Home, done: Done, *words: str, code: int = 2) -> None:
    assert done.code == code, done.text
    assert [word for word in words if word not in one_line(done.err)] == [], done.err
    assert "Traceback" not in done.err + done.out
    assert left_behind(home) == []


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["phase9"], ["no plan 'phase9'", "choose phase2, stage3"]),
        (["missing.toml"], ["missing.toml cannot be read"]),
        (["phase2", "--venue", "mars"], ["'mars'", "'simulated'", "'live'"]),
        (["phase2", "--venue", "simulated", "--day", "monday"], ["--day 'monday'", "'calm', 'typical' or 'volatile'"]),
        (["phase2", "--venue", "simulated", "--faults", "gremlins"], ["'gremlins' does not exist", "reject_all"]),
        (["phase2", "--venue", "local", "--speed", "0"], ["--speed 0.0", "greater than 0"]),
        (["phase2", "--venue", "local", "--speed", "nan"], ["--speed nan", "1440"]),
        (["phase2", "--venue", "simulated", "--seed", "-1"], ["--seed -1", "greater than or equal to 0"]),
        (["phase2", "--venue", "simulated", "--run-id", "../x"], ["--run-id '../x'", "pattern"]),
        (["stage4", "--venue", "simulated", "--windows", "2"], ["--windows 2", "stage4 has one window"]),
        (["stage3", "--venue", "sandbox"], ["the sandbox cannot carry stage3", "--venue local or simulated"]),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, list) else None,
)
def test_a_wrong_argument_is_refused_with_what_is_allowed(
    bare_home: Home, words: list[str], needed: list[str]
) -> None:
    done = bare_home.run("run", *words)
    assert_refused(bare_home, done, *needed)
    assert not bare_home.artifacts.exists()


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({'name = "phase2"\n': 'name = "phase2"\nshould_bugdet = 2\n'}, ["should_bugdet", "not permitted", "'2'"]),
        ({'notional_max = "33"': "notional_max = 33.5"}, ["entry.notional_max", "33.5 is a float", "as a string"]),
        ({'name = "phase2"\n': 'name = \n'}, ["plan.toml cannot be read", "line"]),
        ({'title = "Phase 2 demo"\n': ""}, ["title: Field required"]),
    ],
    ids=["unknown key", "float", "no TOML", "missing key"],
)
def test_a_wrong_plan_file_is_refused_by_the_name_of_its_key(
    bare_home: Home, changes: dict[str, str], needed: list[str]
) -> None:
    plan = changed_plan(bare_home.root / "plan.toml", "phase2", changes)
    assert_refused(bare_home, bare_home.run("run", plan, "--venue", "simulated"), *needed)


def test_limits_that_contradict_end_no_go_before_anything_is_placed(home: Home) -> None:
    plan = changed_plan(home.root / "plan.toml", "phase2", {'max_notional = "200"': 'max_notional = "20"'})
    done = home.run("run", plan, "--venue", "simulated", "--run-id", RUN)
    record = home.decision(RUN)
    assert (done.code, record.verdict) == (4, Verdict.NO_GO)
    assert "Limits agree with each other is FAIL" in record.headline
    assert "$20" in record.headline
    assert home.stage_status(RUN) == {"preflight": "FAILED", "go_no_go": "PASSED"}


@pytest.mark.parametrize(
    ("environ", "needed"),
    [
        ({}, ["COINBASE_CDP_API_KEY and COINBASE_CDP_PRIVATE_KEY not set", "key file"]),
        (ARMED, ["COINBASE_CDP_API_KEY and COINBASE_CDP_PRIVATE_KEY not set", "key file"]),
        (ARMED | {"COINBASE_CDP_API_KEY": "k"}, ["COINBASE_CDP_PRIVATE_KEY is not set"]),
        (ARMED | {"COINBASE_CDP_KEY_FILE": "/no/such/key.json"}, ["/no/such/key.json", "correct the path"]),
        (ARMED | {"COINBASE_SANDBOX": "1"}, ["COINBASE_SANDBOX is 1", "live"]),
        (ARMED | {"MAX_IMPACT_BPS": "500"}, ["MAX_IMPACT_BPS is 500", "limit 10", "only tighten"]),
    ],
    ids=["nothing", "no credentials", "half a key", "no key file", "sandbox", "looser limit"],
)
def test_live_is_refused_before_a_run_is_made(bare_home: Home, environ: dict[str, str], needed: list[str]) -> None:
    home = replace(bare_home, extra=environ)
    assert_refused(home, home.run("run", "phase2", "--venue", "live"), *needed)
    assert not home.artifacts.exists()


@pytest.mark.parametrize(
    ("content", "mode", "needed"),
    [
        ("{}", 0o644, ["mode 0644", "limit 0600", "chmod 600"]),
        ("no json", 0o600, ["is not JSON", "download the CDP key file again"]),
        ('{"name": "k"}', 0o600, ["has the members", "privateKey"]),
        ('{"name": "k", "privateKey": "SECRET-STUFF"}', 0o600, ["key file"]),
    ],
    ids=["open to all", "no JSON", "no key in it", "not a key"],
)
def test_an_unusable_key_file_is_refused_without_showing_it(
    bare_home: Home, content: str, mode: int, needed: list[str]
) -> None:
    path = bare_home.root / "key.json"
    path.write_text(content, "utf-8")
    path.chmod(mode)
    home = replace(bare_home, extra=ARMED | {"COINBASE_CDP_KEY_FILE": str(path)})
    done = home.run("run", "phase2", "--venue", "live")
    assert_refused(home, done, "key.json", *needed)
    assert "SECRET-STUFF" not in done.err + done.out


def test_live_with_a_key_but_not_armed_is_refused_with_the_words_that_arm_it(bare_home: Home) -> None:
    path = bare_home.root / "key.json"
    path.touch(mode=0o600)
    path.write_text(generate_key(KeyKind.ED25519).to_json(), "utf-8")
    home = replace(bare_home, extra={"COINBASE_CDP_KEY_FILE": str(path)})
    done = home.run("run", "phase2", "--venue", "live")
    assert_refused(home, done, "not armed", "GREENLIGHT_ARM_LIVE is not set", "I-ACCEPT-LIVE-ORDERS")
    assert not home.artifacts.exists()


def test_a_busy_port_is_named_with_what_to_do(bare_home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = bare_home.run("exchange", "serve", "--port", port, "--keys", bare_home.root / "keys")
    assert_refused(bare_home, done, f"port {port} on 127.0.0.1 is busy", "choose another one")


def test_the_exchange_refuses_an_unknown_day_and_fault(bare_home: Home) -> None:
    keys = bare_home.root / "keys"
    day = bare_home.run("exchange", "serve", "--port", 0, "--day", "monday", "--keys", keys)
    fault = bare_home.run("exchange", "serve", "--port", 0, "--faults", "gremlins", "--keys", keys)
    assert_refused(bare_home, day, "monday", "typical")
    assert_refused(bare_home, fault, "gremlins", "reject_all")


@pytest.mark.parametrize("name", ["EVENT_STORE_ROOT", "ARTIFACTS_ROOT"])
def test_a_folder_that_is_a_file_is_refused(bare_home: Home, name: str) -> None:
    path = bare_home.root / "occupied"
    path.write_text("a file", "utf-8")
    home = replace(bare_home, extra={name: str(path)})
    assert_refused(home, home.run("run", "phase2", "--venue", "simulated"), f"{name} is {path}", "name a folder")


@pytest.mark.parametrize("name", ["EVENT_STORE_ROOT", "ARTIFACTS_ROOT"])
def test_a_folder_that_cannot_be_made_ends_the_run_with_its_path(home: Home, name: str) -> None:
    # Below a file no folder can be made, by root neither.
    (home.root / "occupied").write_text("a file", "utf-8")
    below = replace(home, extra={name: str(home.root / "occupied" / "below")})
    done = below.run("run", "phase2", "--venue", "simulated")
    assert_refused(below, done, str(home.root / "occupied" / "below"), "Not a directory", code=1)


def limit_files(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_disk_that_fills_up_during_the_micro_test_ends_no_go_and_says_so(home: Home) -> None:
    plan = short_phase2(home.root)
    command = ("run", plan, "--venue", "simulated", "--run-id", RUN)
    done = home.run(*command, before=limit_files(400_000))
    record = home.decision(RUN)
    assert (done.code, record.verdict) == (4, Verdict.NO_GO)
    assert "StorageError" in record.headline
    assert "cannot be written" in record.headline
    result = StageResult.model_validate_json(ArtifactStore(home.run_dir(RUN)).read("stages/live_micro_test"))
    flat = {check.name: check for check in result.checks}["flat_at_end"]
    assert (flat.status, flat.observed.partition(",")[0]) == (CheckStatus.PASSED, "flat at the venue: 0 open orders")
    assert "Traceback" not in done.err + done.out


def test_a_disk_that_is_full_from_the_start_ends_with_the_file_that_could_not_be_written(home: Home) -> None:
    done = home.run("run", "phase2", "--venue", "simulated", "--run-id", RUN, before=limit_files(100))
    assert_refused(home, done, "cannot be written", "File too large", code=1)
