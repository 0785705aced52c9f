"""A venue whose answers have one member changed: a broker answers or names what changed, and never breaks."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from random import Random
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.broker_venues import KINDS, open_kind
from tests.unit.broker_wire import approved, make_intent
from trading_core.advanced_trade.broker import AdvancedTradeBroker
from trading_core.advanced_trade.broker_transport import CREATE_ORDER, Body, Query, Urgency
from trading_core.advanced_trade.frame_reader import FrameReader
from trading_core.advanced_trade.wire_frames import KNOWN_CHANNELS, decode_frame
from trading_core.clock import NS, VirtualClock
from trading_core.errors import OutcomeUnknown, SchemaDrift, VenueUnavailable
from trading_core.money import plain
from trading_core.orders import Side, TimeInForce
from trading_core.ports import Accepted

Answers: TypeAlias = dict[str, dict[str, Any]]
Questions: TypeAlias = dict[str, Callable[[AdvancedTradeBroker], object]]

GONE = object()
REPLACEMENTS: tuple[object, ...] = (
    GONE, None, "", "x", "NaN", "1e999", "-1", 0, 1.5, True, False, [], {}, [None], {"value": 1},
)


class Recorder:
    """Passes requests on and keeps each answer under its path."""

    repeats = 0

    def __init__(self, transport: Any) -> None:
        self.answers: Answers = {}
        self._transport = transport

    def request(
        self, method: str, path: str, params: Query | None = None, body: Body | None = None,
        urgency: Urgency = Urgency.QUESTION,
    ) -> dict[str, Any]:
        answer: dict[str, Any] = self._transport.request(method, path, params, body, urgency)
        self.answers[path] = answer
        return copy.deepcopy(answer)

    def close(self) -> None:
        self._transport.close()


class Playback:
    """Answers from a record."""

    repeats = 0

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def request(
        self, method: str, path: str, params: Query | None = None, body: Body | None = None,
        urgency: Urgency = Urgency.QUESTION,
    ) -> dict[str, Any]:
        return copy.deepcopy(self._answers[path])

    def close(self) -> None:
        pass


def playing(answers: Answers, path: str, where: tuple[Any, ...], value: object) -> AdvancedTradeBroker:
    """Return a broker at a venue that answers as recorded, but for one member of one answer."""
    changed = copy.deepcopy(answers)
    apply(changed[path], where, value)
    return AdvancedTradeBroker(Playback(changed), VirtualClock(1_750_000_000 * NS))


def places(node: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every member of a body."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [p for key, child in items for p in [(*where, key), *places(child, (*where, key))]]


def apply(body: Any, where: tuple[Any, ...], value: object) -> None:
    """Replace or remove the member."""
    for key in where[:-1]:
        body = body[key]
    if value is GONE:
        del body[where[-1]]
    else:
        body[where[-1]] = copy.deepcopy(value)


@pytest.fixture(scope="module")
def recorded() -> tuple[Answers, Questions]:
    """Return every kind of answer of a real venue, and the questions that ask for them."""
    with open_kind(KINDS[0]) as venue:
        recorder = Recorder(venue.broker._transport)
        broker = AdvancedTradeBroker(recorder, venue.clock)
        btc = broker.product("BTC-USD")
        taker = make_intent(price=plain(venue.price(btc, Side.BUY, -50)), time_in_force=TimeInForce.IOC)
        answer = broker.submit(approved(taker, "mutant"))
        assert isinstance(answer, Accepted)
        order_id, now_s = answer.order_id, venue.clock.now_ns() // NS
        questions: Questions = {
            "time": lambda b: b.server_time_ns(),
            "permissions": lambda b: b.key_permissions(),
            "products": lambda b: b.products(),
            "product": lambda b: b.product("BTC-USD"),
            "book": lambda b: b.book("BTC-USD", 5),
            "candles": lambda b: b.candles("BTC-USD", now_s - 600, now_s, "ONE_MINUTE"),
            "account": lambda b: b.account(),
            "fee tier": lambda b: b.fee_tier(),
            "preview": lambda b: b.preview(taker),
            "order": lambda b: b.order(order_id),
            "fills": lambda b: b.fills(order_id),
            "cancel": lambda b: b.cancel([order_id]),
            "submit": lambda b: b.submit(approved(taker, "mutant")),
            "find": lambda b: b.find_order("mutant"),
        }
        for question in questions.values():
            question(broker)
        return recorder.answers, questions


def test_a_changed_answer_gives_a_value_or_names_what_changed(recorded: tuple[Answers, Questions]) -> None:
    answers, questions = recorded
    drifts = []
    for seed in range(300):
        chance = Random(seed)
        path = chance.choice(sorted(answers))
        where = chance.choice(places(answers[path]))
        broker = playing(answers, path, where, chance.choice(REPLACEMENTS))
        for question in questions.values():
            try:
                question(broker)
            except OutcomeUnknown as e:
                assert isinstance(e.__cause__, SchemaDrift | None)  # noqa: PT017 - one of many questions
            except SchemaDrift as e:
                drifts.append(str(e))
            except VenueUnavailable as e:
                assert "cursor does not end" in str(e)  # noqa: PT017 - one of many questions
    assert len(set(drifts)) > 50


def test_an_order_whose_answer_was_changed_is_never_taken_for_rejected(
    recorded: tuple[Answers, Questions],
) -> None:
    answers, questions = recorded
    outcomes: list[object] = []
    for where, value in itertools.product(places(answers[CREATE_ORDER]), REPLACEMENTS):
        broker = playing(answers, CREATE_ORDER, where, value)
        try:
            outcomes.append(questions["submit"](broker))
        except OutcomeUnknown as e:
            outcomes.append(e)
    assert {type(outcome) for outcome in outcomes} == {Accepted, OutcomeUnknown}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CHANNEL = st.sampled_from([*sorted(KNOWN_CHANNELS), "ticker_batch", ""])


@settings(max_examples=300, deadline=None)
@given(channel=CHANNEL, sequence=JSON, events=JSON | st.lists(st.fixed_dictionaries({"type": JSON, "orders": JSON})))
def test_any_frame_gives_events_or_drift(channel: str, sequence: object, events: object) -> None:
    frame = json.dumps({"channel": channel, "sequence_num": sequence, "events": events})
    try:
        read = FrameReader([], lambda: 0).events_of(decode_frame(frame))
    except SchemaDrift:
        return
    assert isinstance(read, list)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_frame_or_drift(raw: bytes) -> None:
    try:
        decode_frame(raw)
    except SchemaDrift as e:
        assert "cannot be read" in str(e)  # noqa: PT017 - most bytes are no frame
