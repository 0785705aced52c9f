"""Going on after a crash, on the simulated venue: what the venue knows, what the store knows, and which one wins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from tests.chaos.draws import Kill, Script
from tests.chaos.simulate import given_of
from tests.chaos.world import Killed, World
from trading_core.bootstrap import simulated_start_ns
from trading_core.emergency import flatten
from trading_core.errors import ConfigurationError
from trading_core.events import (
    AccountRead,
    AnyEvent,
    OrderNotFound,
    OrderSubmitted,
    SessionReconciled,
    SessionResumed,
    SessionStarted,
    StateChanged,
    StrayOrderFound,
)
from trading_core.local_exchange.faults import FaultPlan
from trading_core.order_manager import ASKS_APART_NS, ASKS_UNTIL_ABSENT
from trading_core.orders import OrderIntent, Purpose, Side
from trading_core.plan import Plan
from trading_core.plan_files import find_plan
from trading_core.products import Product
from trading_core.resume import replay
from trading_core.risk import ApprovedOrder, approve_emergency
from trading_core.stages import live_micro_test as stage
from trading_core.stages.result import CheckStatus, StageResult
from trading_core.storage.event_reader import StoredEvent
from trading_core.strategies.port import load_strategy
from trading_core.trading_state import TradingGuard, TradingState


def short_plan() -> Plan:
    plan = find_plan("phase2")
    protocol = plan.protocol.model_copy(update={"window_s": 60, "steps": ("post_only_entry", "auto_cancel")})
    return plan.model_copy(update={"protocol": protocol})


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[..., World]:
    def make(*kills: Kill, gaps_s: tuple[int, ...] = (5, 5, 5)) -> World:
        return World(short_script(kills, gaps_s), tmp_path)
    return make


def short_script(kills: tuple[Kill, ...], gaps_s: tuple[int, ...], coins: str = "0") -> Script:
    return Script(
        family="phase2", day="typical", seed=1, start_ns=simulated_start_ns("typical"), faults=FaultPlan(),
        plan=short_plan(), balances={"USD": Decimal(10_000), "BTC": Decimal(coins)}, kills=list(kills),
        gaps_s=list(gaps_s),
    )


def run_and_die(world: World) -> None:
    with pytest.raises(Killed):
        stage.run(given_of(world))
    world.revive()


def events(world: World, kind: type) -> list[object]:
    return [row.event for row in world.log.stored() if isinstance(row.event, kind)]


def status_of(result: StageResult, name: str) -> CheckStatus:
    return next(check.status for check in result.checks if check.name == name)


def at_venue(world: World) -> list[str]:
    return [order.request.client_order_id for order in world.exchange.orders(world.account_id)]


def test_an_order_that_was_stored_and_never_sent_is_asked_for_and_not_sent(make_world: Callable[..., World]) -> None:
    world = make_world(Kill("send", 1))
    run_and_die(world)
    (unsent,) = [e.client_order_id for e in events(world, OrderSubmitted) if isinstance(e, OrderSubmitted)]
    assert at_venue(world) == []
    result = stage.run(given_of(world))
    assert unsent not in at_venue(world)
    denied = [e.ts_ns for e in events(world, OrderNotFound) if isinstance(e, OrderNotFound)]
    assert len(denied) >= ASKS_UNTIL_ABSENT
    assert denied[-1] - denied[0] >= (ASKS_UNTIL_ABSENT - 1) * ASKS_APART_NS
    assert len(at_venue(world)) >= 3
    assert status_of(result, "session") is CheckStatus.PASSED
    assert status_of(result, "auto_cancel") is CheckStatus.PASSED


def test_an_order_whose_answer_was_never_heard_is_found_and_not_sent_again(make_world: Callable[..., World]) -> None:
    world = make_world(Kill("sent", 1))
    run_and_die(world)
    (sent,) = at_venue(world)
    result = stage.run(given_of(world))
    assert at_venue(world).count(sent) == 1
    assert events(world, OrderNotFound) == []
    assert status_of(result, "flat_at_end") is CheckStatus.PASSED


def test_nothing_is_placed_before_the_venue_has_answered(make_world: Callable[..., World]) -> None:
    world = make_world(Kill("sent", 3))
    run_and_die(world)
    stage.run(given_of(world))
    names = [type(row.event) for row in world.log.stored()]
    between = names[names.index(SessionResumed):names.index(SessionReconciled)]
    assert OrderSubmitted not in between
    assert AccountRead in between


def test_the_window_counts_from_the_first_start_and_the_gap_is_in_it(make_world: Callable[..., World]) -> None:
    world = make_world(Kill("sent", 2), gaps_s=(40,))
    run_and_die(world)
    stage.run(given_of(world))
    (began,) = events(world, SessionStarted)
    (resumed,) = events(world, SessionResumed)
    assert isinstance(began, SessionStarted)
    assert isinstance(resumed, SessionResumed)
    assert resumed.ts_ns - resumed.last_ns >= 40 * 10**9
    entries = [e for e in events(world, OrderSubmitted) if isinstance(e, OrderSubmitted) and e.intent.side is Side.BUY]
    assert entries[-1].ts_ns < began.ts_ns + (60 + 45) * 10**9


def test_an_open_order_that_the_store_does_not_know_is_cancelled_and_an_incident(
    make_world: Callable[..., World],
) -> None:
    world = make_world(Kill("sent", 1))
    run_and_die(world)
    _place_stray(world)
    result = stage.run(given_of(world))
    (stray,) = events(world, StrayOrderFound)
    assert isinstance(stray, StrayOrderFound)
    assert stray.order.client_order_id == "sim-09999"
    assert world.exchange.open_orders(world.account_id) == []
    assert world.state() is TradingState.REDUCE_ONLY
    assert status_of(result, "flat_at_end") is CheckStatus.PASSED


def _place_stray(world: World) -> None:
    feed, broker, _ = world.connect()
    price = world.products["BTC-USD"].round_price(world.exchange.last_price("BTC-USD") * Decimal("0.9"), Side.BUY)
    intent = OrderIntent(
        product_id="BTC-USD", side=Side.BUY, size=Decimal("0.0005"), limit_price=price, purpose=Purpose.EMERGENCY
    )
    reducing = approve_emergency(intent, Decimal("-1"), "sim-09999")
    assert isinstance(reducing, ApprovedOrder)
    broker.submit(reducing)
    feed.close()


@pytest.mark.parametrize("damage", [b"{", b"nonsense\n"])
def test_an_unreadable_state_file_latches_and_only_the_ladder_trades(
    make_world: Callable[..., World], damage: bytes
) -> None:
    world = make_world(Kill("sent", 4))
    run_and_die(world)
    with world.state_path.open("ab") as file:
        file.write(damage)
    before = len(events(world, OrderSubmitted))
    result = stage.run(given_of(world))
    assert len(events(world, OrderSubmitted)) == before
    assert world.state() is TradingState.HALTED
    assert status_of(result, "flat_at_end") is CheckStatus.PASSED


def test_a_tightening_that_never_reached_the_file_holds_after_the_crash(make_world: Callable[..., World]) -> None:
    world = make_world(Kill("sent", 2))
    run_and_die(world)
    guard = TradingGuard(world.state_path, world.clock.now_ns)
    row = StateChanged(ts_ns=world.clock.now_ns(), state=TradingState.REDUCE_ONLY, reason="test", actor="engine")
    world.log.append(row, "input", durable=True)
    assert guard.state is TradingState.ACTIVE
    stage.run(given_of(world))
    assert guard.state is TradingState.REDUCE_ONLY


def test_a_run_that_ended_is_not_traded_again(make_world: Callable[..., World]) -> None:
    world = make_world()
    stage.run(given_of(world))
    TradingGuard(world.state_path, world.clock.now_ns).loosen(TradingState.ACTIVE, reason="again", operator="test")
    world.rules.tightest = TradingState.ACTIVE
    before = at_venue(world)
    result = stage.run(given_of(world))
    assert at_venue(world) == before
    assert status_of(result, "flat_at_end") is CheckStatus.PASSED


def test_a_store_that_decided_otherwise_is_left_by_the_ladder(make_world: Callable[..., World]) -> None:
    world = make_world(Kill("sent", 4))
    run_and_die(world)
    rows = list(world.log.stored())
    cut = next(i for i, row in enumerate(rows) if isinstance(row.event, OrderSubmitted))
    given = given_of(world)
    changed = stage.MicroTestInput(**{name: getattr(given, name) for name in given.__slots__}
                                   | {"stored": rows[:cut] + rows[cut + 1:]})
    result = stage.run(changed)
    session = next(check for check in result.checks if check.name == "session")
    assert session.observed.startswith("Unreconciled: the stored events do not rebuild the session")
    assert status_of(result, "flat_at_end") is CheckStatus.PASSED
    assert world.exchange.open_orders(world.account_id) == []


def test_a_store_that_decided_otherwise_before_the_books_were_open_is_not_called_flat(tmp_path: Path) -> None:
    """Then nothing says which positions are ours: the watchdog has to close them, and must hear of it."""
    world = _killed_while_holding(tmp_path, coins="0")
    rows = list(world.log.stored())
    opened = next(i for i, row in enumerate(rows) if isinstance(row.event, AccountRead))
    record = next(row for row in rows if isinstance(row.event, OrderSubmitted))
    given = given_of(world)
    changed = stage.MicroTestInput(**{name: getattr(given, name) for name in given.__slots__}
                                   | {"stored": [*rows[:opened], record, *rows[opened:]]})
    result = stage.run(changed)
    assert world.held() > 0
    assert status_of(result, "flat_at_end") is CheckStatus.FAILED


def test_what_a_ladder_closed_meanwhile_is_not_sold_again_from_the_accounts_own_coins(tmp_path: Path) -> None:
    """The supervisor or the watchdog climbed the ladder for the dead session: our books still hold what it sold."""
    world = _killed_while_holding(tmp_path, coins="1.5")
    feed, broker, _ = world.connect()
    feed.start(list(world.products.values()))
    report = flatten(
        broker, world.clock, world.products, {"BTC-USD": Decimal("1.5")}, collar_bps=Decimal(100), order_prefix="sim"
    )
    feed.close()
    assert report.is_flat
    before = at_venue(world)
    result = stage.run(given_of(world))
    session = next(check for check in result.checks if check.name == "session")
    assert "the venue holds something else than our books" in session.observed
    assert at_venue(world) == before
    assert world.held() >= 0
    assert status_of(result, "flat_at_end") is CheckStatus.PASSED


def _killed_while_holding(root: Path, coins: str) -> World:
    for n in range(3, 20):
        folder = root / str(n)
        folder.mkdir()
        world = World(short_script((Kill("send", n),), (1, 1), coins), folder)
        with suppress(Killed):
            stage.run(given_of(world))
        if world.is_dead and world.held() > 0:
            world.revive()
            return world
    raise AssertionError("no session was holding anything when it was killed")


def test_a_replay_drops_commands_and_says_what_the_crash_kept_from_the_store(
    make_world: Callable[..., World],
) -> None:
    world = make_world(Kill("sent", 4))
    run_and_die(world)
    given = given_of(world)
    rows = list(world.log.stored())
    last = max(i for i, row in enumerate(rows) if row.kind == "record")
    began = rows[0].event
    assert isinstance(began, SessionStarted)
    engine = stage.make_engine(given.context, began, load_strategy(given.context.plan.entry, given.context.seed))
    past = replay(engine, rows[:last], _ignore)
    assert past.problem == ""
    assert past.unstored[0] == rows[last].event
    assert len(at_venue(world)) == 4


class Noted:
    """A tenure that keeps what it was told."""

    def __init__(self) -> None:
        self.seqs: list[int] = []

    def look(self) -> None:
        """There is nothing to look at."""

    def note(self, seq: int, record: AnyEvent) -> None:
        """Keep it."""
        assert record.ts_ns > 0
        self.seqs.append(seq)


def test_the_tenure_of_a_rung_hears_of_what_was_recorded_before_the_crash(make_world: Callable[..., World]) -> None:
    """A CRITICAL that nobody answered, and a guardrail whose demotion was not written yet, must still count."""
    world = make_world(Kill("sent", 4))
    run_and_die(world)
    given, noted = given_of(world), Noted()
    stage.run(stage.MicroTestInput(**{name: getattr(given, name) for name in given.__slots__} | {"tenure": noted}))
    assert noted.seqs == [row.seq for row in world.log.stored() if row.kind == "record"]


def test_a_replay_shows_that_it_moves(make_world: Callable[..., World]) -> None:
    """A day takes half a minute to replay: a session that did not beat for so long would be taken over."""
    world = make_world(Kill("sent", 4))
    run_and_die(world)
    given, rows, moves = given_of(world), list(world.log.stored()), list[int]()

    def watched() -> Iterator[StoredEvent]:
        for row in rows:
            moves.append(given.lifeline.moves)
            yield row

    stage.run(stage.MicroTestInput(**{name: getattr(given, name) for name in given.__slots__} | {"stored": watched()}))
    assert len(moves) == len(rows)
    assert moves == sorted(set(moves))


def _ignore(_: StoredEvent) -> None:
    """Nothing keeps artifacts here."""


@pytest.mark.parametrize(
    ("change", "words"),
    [({"exchange_ns": 7}, "has ended, and its account with it"), ({"plan": 1}, "began with another plan digest"),
     ({"subject": 1}, "began with another subject digest"), ({"products": 1}, "increment or minimum")],
)
def test_whoever_comes_with_something_else_is_refused(
    make_world: Callable[..., World], change: dict[str, int], words: str
) -> None:
    world = make_world(Kill("sent", 1))
    run_and_die(world)
    before = at_venue(world)
    with pytest.raises(ConfigurationError, match=words):
        stage.run(_changed(given_of(world), change))
    assert at_venue(world) == before


def _changed(given: stage.MicroTestInput, change: dict[str, int]) -> stage.MicroTestInput:
    fields = {name: getattr(given, name) for name in given.__slots__}
    context = given.context
    if "plan" in change:
        fields["context"] = context.model_copy(update={"plan": context.plan.model_copy(update={"title": "another"})})
    if "subject" in change:
        fields["context"] = context.model_copy(update={"subject_digest": "another"})
    if "products" in change:
        fields["products"] = {p: _coarser(product) for p, product in given.products.items()}
    if "exchange_ns" in change:
        fields["exchange_ns"] = change["exchange_ns"]
    return stage.MicroTestInput(**fields)


def _coarser(product: Product) -> Product:
    return msgspec.structs.replace(product, base_increment=Decimal(1))

