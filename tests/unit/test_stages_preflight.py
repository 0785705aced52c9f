"""Preflight: each check fails for its own reason, with its remedy, and what depends on it is not evaluated."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec
import pytest

from tests.desk_builders import make_plan
from tests.exchange_builders import make_order, place, touch
from tests.sim_rig import SimRig
from trading_core.clock import NS
from trading_core.errors import ConfigurationError
from trading_core.local_exchange.faults import FaultPlan
from trading_core.local_exchange.order_config import OrderConfig
from trading_core.plan import Plan
from trading_core.plan_files import find_plan
from trading_core.run import Endpoint, RunContext, VenueName
from trading_core.stages import preflight
from trading_core.stages.preflight import PreflightInput
from trading_core.stages.result import Check, CheckStatus, StageResult, StageStatus
from trading_core.storage.folder_check import is_network_file_system
from trading_core.trading_state import TradingState

ALL = (
    "connectivity", "clock_offset_s", "credentials", "key_scope_view_trade", "key_no_transfer", "storage_writable",
    "disk_free", "trading_state", "limits_consistent", "gtd_gated",
    "no_gtd_at_venue",
)
NO_KEY = ConfigurationError("COINBASE_CDP_API_KEY is not set")


class Ground(SimRig):
    """Everything that preflight looks at, in order; each test breaks one thing."""

    def __init__(self, folder: Path, faults: FaultPlan | None = None, plan: Plan | None = None) -> None:
        super().__init__(folder, faults=faults or FaultPlan(), plan=plan or find_plan("phase2"))
        self.folder = folder
        self.run_dir = folder / "artifacts" / "run"
        self.endpoint = Endpoint()
        self.credentials: ConfigurationError | None = None
        self.disk_free_min_bytes = 1

    def look(self) -> StageResult:
        """Run preflight."""
        context = RunContext(
            run_id="r", order_prefix="p", plan=self.plan, venue=VenueName.SIMULATED, run_dir=self.run_dir,
            event_store_root=self.folder / "events", subject_digest="d",
        )
        return preflight.run(
            PreflightInput(
                context=context, endpoint=self.endpoint, venue=self.broker, clock=self.clock, guard=self.guard,
                credentials=self.credentials, disk_free_min_bytes=self.disk_free_min_bytes,
            )
        )


def check_of(result: StageResult, name: str) -> Check:
    return next(c for c in result.checks if c.name == name)


def assert_fails(result: StageResult, name: str, words: str, blocked: tuple[str, ...] = ()) -> None:
    """Check that only this check failed, with figure and remedy, and that only these were not evaluated."""
    assert result.status is StageStatus.FAILED
    assert [c.name for c in result.failed_checks] == [name]
    check = check_of(result, name)
    assert words in check.observed
    assert check.remedy
    assert {c.name for c in result.checks if c.status is CheckStatus.NOT_EVALUATED} == set(blocked)
    assert result.summary.startswith(f"{name}: {check.observed}")


def test_a_healthy_ground_passes_every_check_and_leaves_no_file(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    result = ground.look()
    assert result.status is StageStatus.PASSED, result.summary
    assert set(ALL) <= {c.name for c in result.checks}
    assert {c.status for c in result.checks} == {CheckStatus.PASSED}
    assert list((tmp_path / "events").iterdir()) == list(ground.run_dir.iterdir()) == []
    assert [o.metric for o in result.observations] == [c.name for c in result.checks]


def test_a_venue_that_cannot_be_reached_is_named_and_nothing_is_asked(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ground.endpoint = Endpoint(rest_host=f"127.0.0.1:{port}")
    assert_fails(
        ground.look(), "connectivity", f"127.0.0.1:{port}",
        ("clock_offset_s", "key_scope_view_trade", "key_no_transfer", "limits_consistent", "no_gtd_at_venue"),
    )


def test_a_venue_that_listens_is_connected_to(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        ground.endpoint = Endpoint(rest_host=f"127.0.0.1:{server.getsockname()[1]}")
        check = check_of(ground.look(), "connectivity")
    assert (check.status, "loopback, no TLS" in check.observed) == (CheckStatus.PASSED, True)


@pytest.mark.parametrize(
    ("offset_ms", "status"),
    [
        (0, CheckStatus.PASSED), (1_900, CheckStatus.PASSED), (1_999, CheckStatus.PASSED),
        (2_000, CheckStatus.WARNED), (2_100, CheckStatus.WARNED), (5_000, CheckStatus.WARNED),
        (5_001, CheckStatus.FAILED), (5_100, CheckStatus.FAILED), (60_000, CheckStatus.FAILED),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_clock_is_ready_below_two_seconds_and_a_no_go_above_five(
    tmp_path: Path, offset_ms: int, status: CheckStatus, sign: int
) -> None:
    ground = Ground(tmp_path)
    seen = preflight.judge_clock(sign * offset_ms * 1_000_000)
    assert seen.status is status
    assert seen.value is not None
    assert (seen.value * 1000, seen.unit) == (sign * offset_ms, "s")
    assert ground.look().status is StageStatus.PASSED


@pytest.mark.parametrize(
    ("offset_ms", "status"),
    [
        (1_800, CheckStatus.PASSED), (2_300, CheckStatus.WARNED), (4_700, CheckStatus.WARNED),
        (5_300, CheckStatus.FAILED),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_venues_clock_is_compared_at_the_middle_of_the_request(
    tmp_path: Path, offset_ms: int, status: CheckStatus, sign: int
) -> None:
    result = Ground(tmp_path, FaultPlan(clock_offset_ms=sign * offset_ms)).look()
    assert check_of(result, "clock_offset_s").status is status
    assert f"{'+' if sign > 0 else '-'}{offset_ms // 1000}." in check_of(result, "clock_offset_s").observed


def test_a_clock_that_is_far_off_blocks_what_needs_a_token(tmp_path: Path) -> None:
    assert_fails(
        Ground(tmp_path, FaultPlan(clock_offset_ms=10_300)).look(), "clock_offset_s", "+10.",
        ("key_scope_view_trade", "key_no_transfer", "limits_consistent", "no_gtd_at_venue"),
    )


def test_missing_credentials_block_what_needs_a_key(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.credentials = NO_KEY
    assert_fails(
        ground.look(), "credentials", "COINBASE_CDP_API_KEY is not set",
        ("key_scope_view_trade", "key_no_transfer", "limits_consistent", "no_gtd_at_venue"),
    )


@pytest.mark.parametrize(("scope", "words"), [("can_view", "view no, trade yes"), ("can_trade", "view yes, trade no")])
def test_a_key_without_a_scope_is_refused(tmp_path: Path, scope: str, words: str) -> None:
    ground = Ground(tmp_path)
    permissions = ground.broker.key_permissions()
    seen = preflight.judge_scope(msgspec.structs.replace(permissions, **{scope: False}))
    assert (seen.status, seen.observed) == (CheckStatus.FAILED, words)
    assert preflight.judge_scope(permissions).status is CheckStatus.PASSED


def test_a_key_that_may_transfer_is_refused(tmp_path: Path) -> None:
    assert_fails(Ground(tmp_path, FaultPlan(can_transfer=True)).look(), "key_no_transfer", "transfer yes")


def test_a_key_that_the_venue_refuses_is_told_with_the_error(tmp_path: Path) -> None:
    result = Ground(tmp_path, FaultPlan(unauthorized_share=1.0)).look()
    assert_fails(
        result, "key_scope_view_trade", "401: Unauthorized", ("key_no_transfer", "limits_consistent", "no_gtd_at_venue")
    )


@pytest.mark.parametrize("which", ["events", "artifacts"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, which: str) -> None:
    ground = Ground(tmp_path)
    (tmp_path / which).write_text("a file where a folder is needed")
    assert_fails(ground.look(), "storage_writable", str(tmp_path / which), ("disk_free",))


def test_a_disk_without_room_is_told_with_its_figure(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.disk_free_min_bytes = 1 << 60
    assert_fails(ground.look(), "disk_free", "MiB free")


@pytest.mark.parametrize("state", [TradingState.REDUCE_ONLY, TradingState.HALTED])
def test_a_tightened_account_does_not_start_and_the_reason_is_shown(tmp_path: Path, state: TradingState) -> None:
    ground = Ground(tmp_path)
    ground.guard.tighten(state, reason="the operator said so", actor="operator")
    assert_fails(ground.look(), "trading_state", f"state is {state} since: the operator said so")


def test_an_unreadable_state_is_a_kill(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.guard_path.write_bytes(b"not json\n")
    assert_fails(ground.look(), "trading_state", "state is HALTED")


def test_limits_that_contradict_are_refused_with_their_key(tmp_path: Path) -> None:
    plan = find_plan("phase2")
    worse = plan.model_copy(
        update={"products": (plan.products[0].model_copy(update={"max_notional": plan.entry.notional_min / 100}),)}
    )
    assert_fails(Ground(tmp_path, plan=worse).look(), "limits_consistent", "max_notional")


def test_a_step_that_nobody_has_written_is_refused(tmp_path: Path) -> None:
    plan = find_plan("phase2")
    worse = plan.model_copy(update={"protocol": plan.protocol.model_copy(update={"steps": ("walk_on_water",)})})
    assert_fails(Ground(tmp_path, plan=worse).look(), "limits_consistent", "unknown steps walk_on_water")


def test_a_plan_that_names_gtd_is_refused(tmp_path: Path) -> None:
    plan = make_plan(policy={"time_in_force": ["GTC", "GTD"]})
    check = check_of(Ground(tmp_path, plan=plan).look(), "gtd_gated")
    assert (check.status, check.observed) == (CheckStatus.FAILED, "the plan's times in force name GTD")


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/x {root}/net nfs4 rw 0 0
server:/y {root}/with\\040space cifs rw 0 0
/dev/sdb1 {root}/net/local ext4 rw 0 0
/dev/sdc1 {root}/covered ext4 rw 0 0
server:/z {root}/covered nfs rw 0 0
short line
"""


@pytest.mark.parametrize(
    ("folder", "is_network"),
    [
        (".", False), ("net", True), ("net/deep/er", True), ("net/local", False), ("network", False),
        ("with space/x", True), ("covered", True),
    ],
)
def test_a_folder_on_a_network_file_system_is_found_by_its_longest_mount_point(
    tmp_path: Path, folder: str, is_network: bool
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.format(root=tmp_path.resolve()))
    assert is_network_file_system(tmp_path / folder, mounts) is is_network
    assert is_network_file_system(tmp_path / folder, tmp_path / "nothing here") is False


@pytest.mark.parametrize("config", [OrderConfig.LIMIT_GTC, OrderConfig.LIMIT_GTD], ids=str)
def test_an_order_of_anybodys_that_is_good_till_a_date_is_seen_at_the_venue(
    tmp_path: Path, config: OrderConfig
) -> None:
    ground = Ground(tmp_path)
    bid, _ = touch(ground.exchange)
    is_dated = config is OrderConfig.LIMIT_GTD
    end_ns = ground.clock.now_ns() + 3_600 * NS if is_dated else None
    request = make_order(config=config, limit_price=bid - 1_000, end_ns=end_ns)
    order = place(ground.exchange, request, ground.exchange.account_ids()[0])
    result = ground.look()
    if is_dated:
        assert_fails(result, "no_gtd_at_venue", f"1 of 1 open orders are GTD, first {order.order_id}")
    else:
        assert result.status is StageStatus.PASSED, result.summary
