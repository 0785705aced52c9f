"""A worker that is asked to end: as systemd and compose do it, and a person with Ctrl+C."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.e2e.command import left_behind, wait_for
from tests.e2e.long_rig import long_rig

ENDS_WITHIN_S = 120.0


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.soak)])
def test_a_worker_that_is_asked_to_end_ends_its_run_flat_first(tmp_path: Path, number: int) -> None:
    with long_rig(tmp_path) as rig:
        flow_run = rig.start_run({"plan": "phase2", "venue": "local", "speed": 2, "run_id": "ended"})
        assert wait_for(lambda: rig.beat() is not None), rig.said("worker")
        worker = rig.parts["worker"]
        worker.send_signal(number)
        assert wait_for(lambda: worker.poll() is not None, ENDS_WITHIN_S), rig.said("worker")
        assert worker.returncode == 0, rig.said("worker")
        beat = rig.beat()
        assert beat is not None
        # Its flow ended it: it never traded on alone, and nothing of it is left.
        assert (beat.has_ended, beat.is_flat, beat.orphaned_ns) == (True, True, 0)
        assert "the runs end reduce-only and flat first" in rig.said("worker")
        assert rig.state(flow_run)["name"] == "Stopped"
        rig.parts.pop("worker")
        server = [rig.parts["server"].pid]
        assert wait_for(lambda: not set(left_behind(rig.home)) - set(server), 20), left_behind(rig.home)
