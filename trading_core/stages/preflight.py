"""Preflight: everything that must be right before a run touches a market."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from trading_core.advanced_trade.credentials import Credentials
from trading_core.advanced_trade.wire_orders import configuration_of
from trading_core.alert_book import AlertBook, hold_words
from trading_core.bootstrap import account_name
from trading_core.clock import Clock
from trading_core.errors import ConfigurationError, IntegrityError, VenueUnavailable
from trading_core.gate.lint import Severity, lint_plan
from trading_core.gate.permission import permission_of
from trading_core.gate.publish import GateFiles
from trading_core.gate.subject import Subject
from trading_core.money import plain
from trading_core.orders import OrderIntent, Purpose, Side, TimeInForce
from trading_core.plan import Level, Plan, Stage
from trading_core.ports import KeyPermissions, Venue
from trading_core.protocol import check_steps
from trading_core.run import Endpoint, RunContext
from trading_core.run_files import SUBJECT
from trading_core.stages.checklist import CheckSpec, Seen, failed, holds, passed, run_checks, unanswered
from trading_core.stages.result import CheckStatus, StageResult, StageStatus
from trading_core.storage.artifact_store import ArtifactStore
from trading_core.storage.folder_check import is_network_file_system
from trading_core.trading_state import TradingGuard, TradingState

DISK_FREE_MIN_BYTES = 1 << 30  # a day of four symbols takes some 200 MB; the rest is room for everybody else
CONNECT_TIMEOUT_S = 3.0
CLOCK_PASS_S, CLOCK_FAIL_S = Decimal(2), Decimal(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightInput:
    """What preflight looks at. `credentials` is the error where they could not be read."""

    context: RunContext
    endpoint: Endpoint
    venue: Venue
    clock: Clock
    guard: TradingGuard
    credentials: Credentials | ConfigurationError | None
    disk_free_min_bytes: int = DISK_FREE_MIN_BYTES
    decision_key: Ed25519PublicKey | None = None  # decisions that it did not sign carry no rung


def run(given: PreflightInput) -> StageResult:
    """Return the stage's result; nothing is placed, and only probe files are written."""
    started_ns = given.clock.now_ns()
    result = run_checks(_specs(given), given.clock.now_ns)
    return StageResult(
        stage=Stage.PREFLIGHT,
        status=StageStatus.PASSED if result.has_passed else StageStatus.FAILED,
        started_ns=started_ns,
        ended_ns=given.clock.now_ns(),
        summary=result.summary,
        checks=result.checks,
        observations=result.observations,
    )


def _specs(given: PreflightInput) -> list[CheckSpec]:
    return [*_venue_specs(given), *_machine_specs(given), *_rule_specs(given)]


def _venue_specs(given: PreflightInput) -> list[CheckSpec]:
    return [
        CheckSpec(
            name="connectivity", needed="DNS, TCP and TLS to the venue",
            remedy="check the network and the address, or start the exchange", look=lambda: _connect(given.endpoint),
        ),
        CheckSpec(
            name="clock_offset_s", needed="within 2 s of the venue's clock (no-go above 5 s)",
            remedy="sync NTP and run again", after=("connectivity",),
            look=lambda: _clock_offset(given.venue, given.clock),
        ),
        CheckSpec(
            name="credentials", needed="a key name and a private key that parse",
            remedy="set COINBASE_CDP_API_KEY and COINBASE_CDP_PRIVATE_KEY, or name a key file",
            look=lambda: _credentials(given.credentials),
        ),
        CheckSpec(
            name="key_scope_view_trade", needed="the key may view and trade",
            remedy="make a key with the view and trade permissions, and no other",
            after=("connectivity", "clock_offset_s", "credentials"),
            look=lambda: judge_scope(given.venue.key_permissions()),
        ),
        CheckSpec(
            name="key_no_transfer", needed="the key may not transfer",
            remedy="make a key without the transfer permission: a stolen one must not move money out",
            after=("key_scope_view_trade",),
            look=lambda: holds(not given.venue.key_permissions().can_transfer, _transfer_words(given.venue)),
        ),
    ]


def _machine_specs(given: PreflightInput) -> list[CheckSpec]:
    folders = (given.context.event_store_root, given.context.run_dir)
    return [
        CheckSpec(
            name="storage_writable", needed="event store and artifact folder take a durable write",
            remedy="make the folders writable, on a local disk", look=lambda: _writable(folders),
        ),
        CheckSpec(
            name="disk_free", needed=f"at least {given.disk_free_min_bytes >> 20} MiB free",
            remedy="free some space or set EVENT_STORE_ROOT elsewhere", after=("storage_writable",),
            look=lambda: _disk_free(folders, given.disk_free_min_bytes),
        ),
    ]


def _rule_specs(given: PreflightInput) -> list[CheckSpec]:
    plan = given.context.plan
    return [
        CheckSpec(
            name="trading_state", needed="a readable trading state that may start",
            remedy="an operator must look why it was tightened, then resume", look=lambda: _state(given.guard),
        ),
        CheckSpec(
            name="alerts_acknowledged", needed="every CRITICAL alert of this account was acknowledged by a person",
            remedy="see greenlight alerts list, find the cause, then greenlight alerts ack",
            look=lambda: _alerts(given.context),
        ),
        CheckSpec(
            name="limits_consistent", needed="limits that can bind and do not contradict at today's prices",
            remedy="run greenlight plan check and settle each finding in the plan",
            after=("key_scope_view_trade",), look=lambda: _limits(plan, given.venue),
        ),
        CheckSpec(
            name="gtd_gated", needed="GTD refused by plan, policy and codec",
            remedy="remove GTD from the plan's times in force", look=lambda: _gtd(plan),
        ),
        CheckSpec(
            name="no_gtd_at_venue", needed="no open order of the account is good till a date, whoever placed it",
            remedy="cancel it at the venue, and find out who placed it", after=("key_scope_view_trade",),
            look=lambda: _gtd_at(given.venue, given.context.level),
        ),
        CheckSpec(
            name="rung_below", needed="live: a valid GO of the rung below, for this bot, at L3, not expired",
            remedy="see greenlight ladder, and run the rung below first", look=lambda: _rung_below(given),
        ),
    ]


def _connect(endpoint: Endpoint) -> Seen:
    if not endpoint.rest_host:
        return passed("in process: no network between")
    host, _, port = endpoint.rest_host.partition(":")
    try:
        with socket.create_connection((host, int(port or 443)), timeout=CONNECT_TIMEOUT_S) as connection:
            if endpoint.is_loopback:
                return passed(f"connected to {endpoint.rest_host} (loopback, no TLS)")
            with ssl.create_default_context().wrap_socket(connection, server_hostname=host) as secure:
                return passed(f"connected to {host} with {secure.version()}")
    except OSError as e:
        return unanswered(f"{endpoint.rest_host}: {e}")


def _clock_offset(venue: Venue, clock: Clock) -> Seen:
    before_ns = clock.now_ns()
    server_ns = venue.server_time_ns()
    after_ns = clock.now_ns()
    return judge_clock(server_ns - (before_ns + after_ns) // 2)


def judge_clock(offset_ns: int) -> Seen:
    """Return what an offset of the venue's clock from ours comes to: ready below 2 s, a no-go above 5 s."""
    offset_s = Decimal(offset_ns // 1_000_000) / 1000
    size = abs(offset_s)
    status = CheckStatus.PASSED if size < CLOCK_PASS_S else CheckStatus.WARNED
    if size > CLOCK_FAIL_S:
        status = CheckStatus.FAILED
    return Seen(status, f"the venue's clock is {offset_s:+} s from ours", value=offset_s, unit="s")


def _credentials(credentials: Credentials | ConfigurationError | None) -> Seen:
    match credentials:
        case Credentials():
            return passed(f"key {credentials.key_name[-12:]}, {credentials.algorithm}")
        case ConfigurationError():
            return failed(str(credentials))
        case None:
            return passed("in process: the venue knows us")


def judge_scope(permissions: KeyPermissions) -> Seen:
    """Return whether the key may view and trade."""
    return holds(
        permissions.can_view and permissions.can_trade,
        f"view {_yes(permissions.can_view)}, trade {_yes(permissions.can_trade)}",
    )


def _transfer_words(venue: Venue) -> str:
    return f"transfer {_yes(venue.key_permissions().can_transfer)}"


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def _writable(folders: tuple[Path, ...]) -> Seen:
    for folder in folders:
        probe = folder / f".greenlight-probe.{os.getpid()}"  # two runs of one machine look at the same time
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with probe.open("wb") as file:
                file.write(b"probe")
                file.flush()
                os.fsync(file.fileno())
            probe.unlink()
        except OSError as e:
            return failed(f"{folder}: {e.strerror}")
        if is_network_file_system(folder):
            return failed(f"{folder} is on a network file system, where SQLite's locks do not hold")
    return passed("written and removed in " + ", ".join(str(folder) for folder in folders))


def _disk_free(folders: tuple[Path, ...], min_bytes: int) -> Seen:
    free = min(shutil.disk_usage(folder).free for folder in folders)
    return holds(free >= min_bytes, f"{free >> 20} MiB free")


def _state(guard: TradingGuard) -> Seen:
    state = guard.state
    history = guard.history()
    why = f" since: {history[-1].reason}" if history else ""
    return holds(state is TradingState.ACTIVE, f"state is {state}{why}")


def _alerts(context: RunContext) -> Seen:
    problem = hold_words(AlertBook(context.event_store_root, account_name(context)).unanswered())
    return failed(problem) if problem else passed("no CRITICAL alert waits for an answer")


def _limits(plan: Plan, venue: Venue) -> Seen:
    check_steps(plan.protocol.steps)
    products = {p.product_id: p for p in venue.products()}
    prices = {}
    for limits in plan.products:
        book = venue.book(limits.product_id, 1)
        if not book.bids or not book.asks:
            raise VenueUnavailable(f"the book of {limits.product_id} is empty: its limits cannot be compared")
        increment = products[limits.product_id].price_increment
        prices[limits.product_id] = (book.bids[0][0] + book.asks[0][0]) * increment / 2
    refusals = [f for f in lint_plan(plan, prices, products) if f.severity is Severity.REFUSE]
    if refusals:
        return failed("; ".join(f"{f.key}: {f.sentence}" for f in refusals))
    shown = ", ".join(f"{p} at {plain(price)}" for p, price in prices.items())
    return passed(f"{len(prices)} products checked: {shown}")


def _rung_below(given: PreflightInput) -> Seen:
    context = given.context
    if context.plan.needs_rung is None:
        return passed(f"{context.plan.name} is the lowest rung")
    if context.level is not Level.L3:
        # docs/adr/0018: it authorises nothing, so it may rehearse any rung at any time.
        return passed(f"a rehearsal at {context.level} needs no rung below: it authorises none above")
    try:
        subject = Subject.model_validate_json(ArtifactStore(context.run_dir).read(SUBJECT))
        files = GateFiles(context.event_store_root)
        allowed = permission_of(context.plan, subject, files, given.clock.now_ns(), key=given.decision_key)
    except IntegrityError as e:
        given.guard.tighten(TradingState.HALTED, reason=str(e), actor="preflight")
        raise
    return failed(allowed.problem) if allowed.problem else passed(allowed.words)


def _gtd_at(venue: Venue, level: Level) -> Seen:
    if level is Level.L1:
        return passed("the sandbox has no account: its orders are canned")
    orders = venue.open_orders()
    if dated := [o for o in orders if o.time_in_force == TimeInForce.GTD]:
        return failed(f"{len(dated)} of {len(orders)} open orders are GTD, first {dated[0].order_id}")
    return passed(f"{len(orders)} open orders, none good till a date")


def _gtd(plan: Plan) -> Seen:
    if TimeInForce.GTD in plan.policy.time_in_force:
        return failed("the plan's times in force name GTD")
    intent = OrderIntent(
        product_id=plan.products[0].product_id, side=Side.BUY, size=Decimal(1), limit_price=Decimal(1),
        purpose=Purpose.ENTRY, time_in_force=TimeInForce.GTD,
    )
    try:
        configuration_of(intent)
    except ConfigurationError:
        return passed("plan and codec refuse GTD; the probe asks the rest")
    return failed("the codec encoded a GTD order")

