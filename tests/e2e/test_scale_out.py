"""Many accounts on several machines: PostgreSQL, Redis, two replicas of the API, two workers, one of them killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from flows.processes import descendants_of
from tests.e2e.command import Home, left_behind, one_line, short_phase2, wait_for
from tests.e2e.scale_rig import READY_WITHIN_S, Cluster, cluster
from trading_core.errors import StorageError
from trading_core.gate.outcomes import Verdict
from trading_core.gate.record import record_from_bytes
from trading_core.plan import Stage
from trading_core.run_files import DECISION, run_dir, stage_result
from trading_core.stages.result import CheckStatus, StageResult
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.event_reader import EventReader, list_runs
from trading_core.storage.mirror import Mirror
from trading_core.store_location import StoreLocation

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.soak]

SPEED = 5
# The order of the accounts: the first half is served by the worker that is killed.
FAULTS = {
    "alpha": "", "beta": "", "gamma": "", "delta": "", "epsilon": "", "zeta": "reject_all", "eta": "",
    "theta": "stale_feed",
}
ACCOUNTS = list(FAULTS)
FIRST, SECOND = ACCOUNTS[:4], ACCOUNTS[4:]
TRADING_WITHIN_S = 600.0
ENDED_WITHIN_S = 1800.0
FINAL = frozenset({"GO", "CONDITIONAL", "NoGo", "Crashed", "Failed", "Cancelled", "Refused", "Skipped"})


def machine(made: Cluster, name: str, replica: int) -> dict[str, str]:
    """Return the environment of a machine: its own disk, the shared event store, the shared mirror."""
    return {
        "PREFECT_API_URL": made.apis[replica],
        "PREFECT_HOME": str(made.root / name / "prefect"),
        "EVENT_STORE_ROOT": str(made.root / name / "events"),
        "EVENT_STORE_URL": made.events_url,
        "ARTIFACTS_ROOT": str(made.root / name / "artifacts"),
        "ARTIFACTS_URL": f"file://{made.root}/mirror",
    }


def pools(accounts: list[str]) -> list[str]:
    return [f"greenlight-{account}" for account in accounts]


def test_eight_accounts_on_two_workers_end_with_their_verdicts_though_one_worker_is_killed(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        made.once("deploy", "deployments.deploy", PREFECT_API_URL=made.apis[0], GREENLIGHT_ACCOUNTS=" ".join(ACCOUNTS))
        first = made.start("worker-1", "deployments.worker", *pools(FIRST), **machine(made, "one", 0))
        made.start("worker-2", "deployments.worker", *pools(SECOND), **machine(made, "two", 1))
        is_served = wait_for(lambda: made.log("worker-1").count("started!") == len(FIRST), READY_WITHIN_S)
        assert is_served, made.log("worker-1")
        made.start("worker-3", "deployments.worker", "--standby", *pools(FIRST), **machine(made, "two", 1))
        plan = short_phase2(tmp_path)
        for number, account in enumerate(ACCOUNTS):
            request = {
                "plan": "phase2", "plan_file": str(plan), "venue": "local", "speed": SPEED, "run_id": account,
                "faults": FAULTS[account], "seed": number + 1,
            }
            made.start_run(f"rollout/phase2-{account}", request, replica=number % 2)
        assert wait_for(lambda: all_trade(made, FIRST), TRADING_WITHIN_S), made.states()

        kill_worker(first.pid)

        expected = {f"{account}-again2" for account in FIRST} | set(SECOND)
        ended = wait_for(lambda: all(made.states().get(run) in FINAL for run in expected), ENDED_WITHIN_S)
        assert ended, (made.states(), made.log("worker-3"))
        states = made.states()
        assert {account: states[account] for account in FIRST} == dict.fromkeys(FIRST, "Crashed")
        assert [account for account in FIRST if not ended_flat(made, account)] == []
        wanted = {run: "NoGo" if FAULTS[run.removesuffix("-again2")] else "GO" for run in expected}
        assert {run: states[run] for run in expected} == wanted
        for run in expected:
            holds_everywhere(made, run, wanted[run])
    machines = [Home(tmp_path / name, "") for name in ("one", "two")]
    assert wait_for(lambda: not any(map(left_behind, machines)), 60), [left_behind(home) for home in machines]


def kill_worker(pid: int) -> None:
    """Kill a worker and its flows at once; the sessions of these are in process sessions of their own."""
    flows = [below.pid for below in descendants_of(pid) if "trading_core" not in below.name]
    for each in (pid, *flows):
        os.kill(each, signal.SIGKILL)


def ended_flat(made: Cluster, run_id: str) -> bool:
    """Tell whether the session that outlived its worker left its exchange flat, and its artifacts say so."""
    path = run_dir(made.root / "one" / "artifacts", "phase2", run_id)
    try:
        result = StageResult.model_validate_json(ArtifactStore(path).read(stage_result(Stage.LIVE_MICRO_TEST)))
    except StorageError:
        return False
    return any(check.name == "flat_at_end" and check.status is CheckStatus.PASSED for check in result.checks)


def all_trade(made: Cluster, accounts: list[str]) -> bool:
    """Tell whether the run of each account has orders in the shared event store, or ended before it got so far."""
    return all(made.states().get(account) in FINAL or has_orders(made, account) for account in accounts)


def has_orders(made: Cluster, run_id: str) -> bool:
    store = StoreLocation(root=made.root, url=made.events_url)
    try:
        if not any(head.run_id == run_id for head in list_runs(store)):
            return False
        with EventReader(store, run_id) as reader:
            return next(reader.events(types=("OrderSubmitted",)), None) is not None
    except StorageError:
        return False  # no run has made the tables yet


def holds_everywhere(made: Cluster, run_id: str, state: str) -> None:
    """The verdict on the machine's disk, at the mirror and in the shared event store are of one run, and whole."""
    folder = run_dir(made.root / "two" / "artifacts", "phase2", run_id)
    record = record_from_bytes(ArtifactStore(folder).read(DECISION))
    assert record.verdict is (Verdict.GO if state == "GO" else Verdict.NO_GO), one_line(record.headline)
    assert record.mirror is not None
    assert record.mirror.is_whole, record.mirror.detail
    mirror = Mirror(f"file://{made.root}/mirror")
    assert mirror.problems(folder) == []
    fetched = mirror.fetch(run_id, made.root / "three")
    assert fetched is not None
    assert (fetched / "decision.json").read_bytes() == (folder / "decision.json").read_bytes()
    assert bool(record.chain_head) is (FAULTS[run_id.removesuffix("-again2")] != "stale_feed")  # that one never traded
    if not record.chain_head:
        return
    with EventReader(StoreLocation(root=made.root, url=made.events_url), run_id) as reader:
        assert reader.verify().hash == record.chain_head
