"""The rate budget: who waits for whom, what is kept for exits and cancels, and what a 429 means."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.unit.broker_wire import http, served
from trading_core.advanced_trade.broker_pace import (
    KEPT_BY_HOUR,
    KEPT_BY_SECOND,
    KEPT_OF_ORDERS,
    ORDERS_PER_S,
    PRIVATE_PER_H,
    PRIVATE_PER_S,
    PUBLIC_PER_S,
    WAIT_MAX_S,
    PacedTransport,
)
from trading_core.advanced_trade.broker_retry import RETRY_AFTER_MAX_S, RetryingTransport
from trading_core.advanced_trade.broker_transport import API, CREATE_ORDER, Body, Query, TokenRefused, Urgency
from trading_core.clock import NS, VirtualClock
from trading_core.errors import RateLimited

ACCOUNTS, TIME, CANCEL = f"{API}/accounts", f"{API}/time", f"{API}/orders/batch_cancel"


class Counting:
    """A venue that counts what it is asked and answers with an empty object, after so many refusals."""

    repeats = 0

    def __init__(self, *refusals: RateLimited | TokenRefused) -> None:
        self.seen: list[str] = []
        self._refusals = list(refusals)

    def request(
        self, method: str, path: str, params: Query | None = None, body: Body | None = None,
        urgency: Urgency = Urgency.QUESTION,
    ) -> dict[str, Any]:
        self.seen.append(path)
        if self._refusals:
            raise self._refusals.pop(0)
        return {}

    def close(self) -> None:
        pass


def paced(*refusals: RateLimited | TokenRefused) -> tuple[PacedTransport, Counting, VirtualClock]:
    clock, venue = VirtualClock(0), Counting(*refusals)
    return PacedTransport(venue, clock), venue, clock


def ask(transport: PacedTransport, times: int = 1) -> None:
    for _ in range(times):
        transport.request("GET", ACCOUNTS)


def place(transport: PacedTransport, urgency: Urgency, times: int = 1) -> None:
    for _ in range(times):
        transport.request("POST", CREATE_ORDER, body={}, urgency=urgency)


def cancel(transport: PacedTransport, times: int = 1) -> None:
    for _ in range(times):
        transport.request("POST", CANCEL, body={"order_ids": []}, urgency=Urgency.CANCEL)


def test_questions_leave_room_for_orders_and_cancels() -> None:
    transport, _, clock = paced()
    ask(transport, PRIVATE_PER_S - KEPT_BY_SECOND[Urgency.QUESTION])
    assert clock.now_ns() == 0
    ask(transport)
    waited_ns = clock.now_ns()
    assert 0 < waited_ns < NS // 10
    cancel(transport, KEPT_BY_SECOND[Urgency.QUESTION] - 1)
    assert clock.now_ns() == waited_ns


def test_entries_never_take_the_tokens_of_exits_and_cancels() -> None:
    transport, _, clock = paced()
    place(transport, Urgency.ENTRY, ORDERS_PER_S - KEPT_OF_ORDERS[Urgency.ENTRY])
    assert clock.now_ns() == 0
    place(transport, Urgency.EXIT, KEPT_OF_ORDERS[Urgency.ENTRY])
    cancel(transport, PRIVATE_PER_S - ORDERS_PER_S)
    assert clock.now_ns() == 0
    place(transport, Urgency.ENTRY)
    assert clock.now_ns() > 0


@pytest.mark.parametrize("lower", [Urgency.QUESTION, Urgency.ENTRY, Urgency.EXIT])
def test_each_urgency_leaves_something_to_the_next_higher_one(lower: Urgency) -> None:
    higher = Urgency(lower + 1)
    assert KEPT_BY_SECOND[lower] > KEPT_BY_SECOND[higher]
    assert KEPT_BY_HOUR[lower] > KEPT_BY_HOUR[higher]


def test_when_the_hour_is_used_up_by_questions_a_cancel_still_leaves_at_once() -> None:
    transport, venue, clock = paced()
    left = PRIVATE_PER_H - KEPT_BY_HOUR[Urgency.QUESTION]
    while clock.now_ns() * PRIVATE_PER_H // (3_600 * NS) + left > len(venue.seen):
        ask(transport)
    before_ns = clock.now_ns()
    ask(transport)
    assert clock.now_ns() - before_ns > NS // PRIVATE_PER_S, "the question waited for the hour's budget"
    before_ns = clock.now_ns()
    cancel(transport, KEPT_BY_SECOND[Urgency.QUESTION])
    assert clock.now_ns() == before_ns


def test_public_and_private_requests_have_budgets_of_their_own() -> None:
    transport, _, clock = paced()
    for _ in range(PUBLIC_PER_S):
        transport.request("GET", TIME)
    ask(transport)
    assert clock.now_ns() == 0
    transport.request("GET", TIME)
    assert clock.now_ns() == pytest.approx(NS // PUBLIC_PER_S, rel=0.01)


def test_after_a_429_the_budget_starts_from_nothing() -> None:
    transport, _, clock = paced(RateLimited("429"))
    with pytest.raises(RateLimited):
        ask(transport)
    cancel(transport)
    assert NS // PRIVATE_PER_S <= clock.now_ns() < NS // 10


def test_after_a_429_with_a_time_nothing_leaves_before_it_not_even_a_cancel() -> None:
    transport, venue, clock = paced(RateLimited("429", WAIT_MAX_S))
    with pytest.raises(RateLimited):
        ask(transport)
    cancel(transport)
    assert clock.now_ns() == WAIT_MAX_S * NS
    assert len(venue.seen) == 2


def test_what_would_wait_too_long_is_refused_unsent_and_says_for_how_long() -> None:
    transport, venue, clock = paced(RateLimited("429", 60.0))
    with pytest.raises(RateLimited):
        ask(transport)
    with pytest.raises(RateLimited, match=r"was not sent: .* 60\.0 s") as refused:
        place(transport, Urgency.ENTRY)
    assert refused.value.retry_after_s == 60.0
    assert (len(venue.seen), clock.now_ns()) == (1, 0)
    clock.wait_until(60 * NS)
    place(transport, Urgency.ENTRY)
    assert len(venue.seen) == 2


def test_a_429_of_a_burst_does_not_use_up_the_hour() -> None:
    transport, venue, clock = paced(RateLimited("429"))
    with pytest.raises(RateLimited):
        ask(transport)
    ask(transport, 30)
    assert clock.now_ns() < 3 * NS
    assert len(venue.seen) == 31


# ── what the venue says in its 429, over a real socket ──────────────────────────────────────────
OK = http("200 OK", '{"iso":"","epochSeconds":"1","epochMillis":"1"}')
DATES = "Sat, 21 Nov 2026 06:00:0{}  GMT"


def too_many(headers: str = "") -> bytes:
    return f"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\nConnection: close\r\n{headers}\r\n{{}}".encode()


@pytest.mark.parametrize(
    ("headers", "asked_s"),
    [
        ("", 0.0), ("Retry-After: 1\r\n", 1.0), ("retry-after: 2\r\n", 2.0), ("Retry-After: soon\r\n", 0.0),
        ("Retry-After: -5\r\n", 0.0),
        (f"Date: {DATES.format(1)}\r\nRetry-After: {DATES.format(2)}\r\n", 1.0),
        (f"Date: {DATES.format(2)}\r\nRetry-After: {DATES.format(1)}\r\n", 0.0),
        (f"Retry-After: {DATES.format(2)}\r\n", 0.0),
    ],
)
def test_a_question_is_asked_again_once_the_time_is_over_that_the_venue_asked_for(
    headers: str, asked_s: float
) -> None:
    with served(too_many(headers), OK, retries_max=1) as (wire, transport, waited):
        transport.request("GET", TIME)
    assert len(wire.requests) == 2
    assert asked_s <= waited[0] <= asked_s + 0.25
    assert transport.repeats == 1


def test_a_longer_wait_than_a_loop_can_stand_is_handed_to_the_caller() -> None:
    asked_s = int(RETRY_AFTER_MAX_S) + 1
    with served(too_many(f"Retry-After: {asked_s}\r\n"), retries_max=2) as (wire, transport, waited), pytest.raises(
        RateLimited
    ) as refused:
        transport.request("GET", TIME)
    assert refused.value.retry_after_s == asked_s
    assert (len(wire.requests), waited, transport.repeats) == (1, [], 0)


@pytest.mark.parametrize("retries_max", [0, 1, 2])
def test_a_request_is_never_sent_more_often_than_the_plan_allows(retries_max: int) -> None:
    venue = Counting(*(RateLimited("429") for _ in range(9)))
    transport = RetryingTransport(venue, Random(1), lambda seconds: None, retries_max=retries_max)
    with pytest.raises(RateLimited):
        transport.request("GET", ACCOUNTS)
    assert (len(venue.seen), transport.repeats) == (retries_max + 1, retries_max)


@pytest.mark.parametrize(("retries_max", "sent"), [(0, 2), (1, 2), (2, 3)])
def test_a_refused_token_after_the_last_retry_is_not_one_more(retries_max: int, sent: int) -> None:
    """Alone a 401 is repeated once whatever the plan says, for it was not processed: the first of them here."""
    venue = Counting(*(RateLimited("429") for _ in range(retries_max)), TokenRefused("401"), TokenRefused("401"))
    transport = RetryingTransport(venue, Random(1), lambda seconds: None, retries_max=retries_max)
    with pytest.raises(TokenRefused):
        transport.request("GET", ACCOUNTS)
    assert len(venue.seen) == sent
