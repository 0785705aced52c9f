"""A day of Stage 3 under a worker: server, API and worker come and go, and the run is what it would have been."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from flows.cancelled_runs import TOLD_LATE
from tests.e2e.command import Home, children, is_running, short_phase2, wait_for
from tests.e2e.long_rig import ENDED_WITHIN_S, POOL, LongRig, long_rig
from trading_core.artifacts import FIVE
from trading_core.control.accounts import account_guard
from trading_core.errors import StorageError
from trading_core.events import OrderSubmitted, SessionResumed, SessionStarted
from trading_core.gate.outcomes import Verdict
from trading_core.plan import Stage
from trading_core.run_files import stage_result
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.event_reader import EventReader
from trading_core.store_location import StoreLocation
from trading_core.trading_state import TradingState
from trading_core.watchdog import Watchdog

pytestmark = [pytest.mark.soak, pytest.mark.timeout(2 * ENDED_WITHIN_S)]

RUN = "day"
DAY = {"plan": "stage3", "venue": "simulated", "seed": 1, "run_id": RUN}
LOG_ROWS_MAX = 60  # of a day: what stages and states say, nothing of what is traded
ALONE_WITHIN_S = 30.0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, prefect_api_url: str) -> Home:
    """The same day by the same seed, from the command line, in peace."""
    home = Home(tmp_path_factory.mktemp("peace"), prefect_api_url)
    done = home.run("run", "stage3", "--venue", "simulated", "--seed", 1, "--run-id", RUN, within_s=ENDED_WITHIN_S)
    assert done.code in (0, 3, 4), done.text
    return home


@pytest.mark.parametrize("with_flow", [False, True], ids=["worker alone", "worker and flow"])
def test_a_day_is_the_same_though_server_and_worker_were_killed(
    tmp_path: Path, undisturbed: Home, with_flow: bool
) -> None:
    with long_rig(tmp_path) as rig:
        flow_run = rig.start_run(DAY)
        assert wait_for(lambda: events_of(rig.home) > 100, ENDED_WITHIN_S), rig.said("worker")
        outlive_the_server(rig)
        rig.kill("worker", with_children=with_flow)
        if with_flow:
            assert wait_for(lambda: (beat := rig.beat()) is not None and beat.orphaned_ns > 0, ALONE_WITHIN_S)
        rig.start("worker", "deployments.worker", "--standby", POOL)
        if with_flow:
            assert wait_for(lambda: (beat := rig.beat()) is not None and not beat.orphaned_ns), rig.said("worker")
        outlive_the_server(rig)
        state = rig.ended(flow_run)
        assert ("Crashed" in rig.states(flow_run)) is with_flow
        assert rig.log_rows(flow_run) <= LOG_ROWS_MAX
        assert_same_day(rig.home, undisturbed, str(state["name"]))


def outlive_the_server(rig: LongRig) -> None:
    """Kill the server, let the session trade on without an API, and start it again."""
    rig.kill("server", with_children=True)
    before = events_of(rig.home)
    beat = rig.beat()
    assert beat is not None
    assert wait_for(lambda: events_of(rig.home) > before + 200 or not is_running(beat.pid), ENDED_WITHIN_S)
    rig.serve()


def assert_same_day(home: Home, undisturbed: Home, state: str) -> None:
    mine, theirs = home.decision(RUN, "stage3"), undisturbed.decision(RUN, "stage3")
    assert mine.subject_digest == theirs.subject_digest, "the working tree was changed while the test ran"
    assert (mine.verdict, mine.chain_head) == (theirs.verdict, theirs.chain_head)
    assert state == {Verdict.GO: "GO", Verdict.CONDITIONAL: "CONDITIONAL", Verdict.NO_GO: "NoGo"}[mine.verdict]
    ours, known = (ArtifactStore(h.run_dir(RUN, "stage3")) for h in (home, undisturbed))
    assert {name: ours.read(name) for name in FIVE} == {name: known.read(name) for name in FIVE}
    with EventReader(StoreLocation(root=home.events), RUN) as reader:
        assert reader.verify().hash == mine.chain_head
        sent = [row.event.client_order_id for row in reader.events(types=(OrderSubmitted.__name__,))
                if isinstance(row.event, OrderSubmitted)]
        begun = [row for row in reader.events(types=(SessionStarted.__name__, SessionResumed.__name__))]
    assert [name for name, times in Counter(sent).items() if times > 1] == []
    assert (len(sent) > 100, len(begun)) == (True, 1)


def test_cancelling_ends_reduce_only_flat_and_with_artifacts(tmp_path: Path) -> None:
    with long_rig(tmp_path) as rig:
        flow_run = rig.start_run(short_local(tmp_path))
        assert wait_for(lambda: events_of(rig.home) > 100, ENDED_WITHIN_S), rig.said("worker")
        asked = {"state": {"type": "CANCELLING"}}
        rig.ask("POST", f"flow_runs/{flow_run}/set_state", asked)
        assert_ends_flat(rig)
        assert rig.ended(flow_run)["type"] == "CANCELLED"


@pytest.mark.parametrize("with_flow", [False, True], ids=["worker alone", "worker and flow"])
def test_a_cancel_after_the_workers_death_ends_the_session(tmp_path: Path, with_flow: bool) -> None:
    """A flow that lives sees it by itself; a session that lost its flow, too, is ended by the next worker."""
    with long_rig(tmp_path) as rig:
        flow_run = rig.start_run(short_local(tmp_path))
        assert wait_for(lambda: events_of(rig.home) > 100, ENDED_WITHIN_S), rig.said("worker")
        rig.kill("worker", with_children=with_flow)
        rig.ask("POST", f"flow_runs/{flow_run}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
        if with_flow:
            assert rig.state(flow_run)["type"] == "CANCELLING"
            rig.start("worker", "deployments.worker", "--standby", POOL)
        assert_ends_flat(rig)
        state = rig.ended(flow_run)
        # Prefect's server says Cancelled by itself after 300 s: these are ours.
        words = TOLD_LATE if with_flow else rig.home.decision(RUN).headline
        assert (state["name"], state["message"]) == ("Cancelled", words)
        result = ArtifactStore(rig.home.run_dir(RUN)).read(stage_result(Stage.LIVE_MICRO_TEST)).decode()
        assert "stopped by SIGTERM" in result
        assert "AwaitingRetry" not in rig.states(flow_run)


def test_a_session_that_nobody_takes_up_ends_flat_is_noted_and_its_run_is_marked_crashed(tmp_path: Path) -> None:
    heard: list[str] = []
    with long_rig(tmp_path, GREENLIGHT_SESSION_GRACE_S="10") as rig:
        flow_run = rig.start_run(short_local(tmp_path))
        assert wait_for(lambda: events_of(rig.home) > 100, ENDED_WITHIN_S), rig.said("worker")
        watchdog = Watchdog(rig.home.events, heard.append, heard.append)
        rig.kill("worker", with_children=True)

        def has_heard() -> bool:
            watchdog.look()
            return any("has lost its supervisor" in words for words in heard)

        assert wait_for(has_heard, ALONE_WITHIN_S)
        watchdog.close()
        assert_ends_flat(rig)
        rig.start("worker", "deployments.worker", "--standby", POOL)
        assert wait_for(lambda: rig.state(flow_run)["name"] == "Crashed"), rig.said("worker")


def test_a_flow_that_is_killed_under_a_worker_is_taken_up_by_the_same_run(tmp_path: Path) -> None:
    with long_rig(tmp_path) as rig:
        flow_run = rig.start_run(short_local(tmp_path))
        assert wait_for(lambda: events_of(rig.home) > 100, ENDED_WITHIN_S), rig.said("worker")
        (flow,) = children(rig.parts["worker"].pid, "prefect.engine")
        os.kill(flow, signal.SIGKILL)
        assert wait_for(lambda: "AwaitingRetry" in rig.states(flow_run)), rig.said("worker")
        assert wait_for(lambda: rig.state(flow_run)["type"] == "COMPLETED"), (rig.state(flow_run), rig.said("worker"))
        assert rig.state(flow_run)["name"] == "GO"
        assert rig.home.decision(RUN).run_id == RUN


def short_local(folder: Path) -> dict[str, object]:
    return {"plan": "phase2", "plan_file": str(short_phase2(folder)), "venue": "local", "speed": 10, "run_id": RUN}


def assert_ends_flat(rig: LongRig) -> None:
    assert wait_for(lambda: (beat := rig.beat()) is not None and beat.has_ended)
    beat = rig.beat()
    assert beat is not None
    assert beat.is_flat is True
    assert account_guard(rig.home.events, beat.account).state is TradingState.REDUCE_ONLY
    artifacts = ArtifactStore(rig.home.run_dir(RUN)).manifest().artifacts
    assert [name for name in FIVE if name not in artifacts] == []


def events_of(home: Home) -> int:
    """Return how many events the run has stored."""
    try:
        with EventReader(StoreLocation(root=home.events), RUN) as reader:
            return reader.head().seq
    except StorageError:
        return 0
