"""Retries of one order: counted where the request was sent again, stored as events, added up in its trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.desk_builders import make_intent
from tests.sim_rig import SimRig
from tests.unit.test_session import hold
from trading_core.artifact_traces import TraceBuilder
from trading_core.commands import AskOrder, CancelOrder, Command, FetchFills, ReadAccount, ReadFeeTier
from trading_core.events import AnyEvent, OrderAccepted, OrderSubmitted, RequestRepeated
from trading_core.local_exchange.faults import FaultPlan
from trading_core.repeats import repeats_of


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (AskOrder("c-1", "o-1"), ("AskOrder", "c-1", "o-1")), (FetchFills("o-1"), ("FetchFills", "", "o-1")),
        (CancelOrder("c-1", "o-1"), ("CancelOrder", "c-1", "o-1")),
    ],
)
def test_a_request_about_an_order_names_it(command: Command, found: tuple[str, str, str]) -> None:
    (event,) = repeats_of(command, 2, 7)
    assert (event.request, event.client_order_id, event.order_id) == found
    assert (event.times, event.ts_ns) == (2, 7)


@pytest.mark.parametrize("command", [ReadAccount(), ReadFeeTier()])
def test_a_question_about_the_account_belongs_to_no_order(command: Command) -> None:
    assert repeats_of(command, 2, 7) == []


def test_the_repeats_of_a_session_are_those_of_its_transport_and_belong_to_its_orders(tmp_path: Path) -> None:
    rig = SimRig(tmp_path, faults=FaultPlan(name="test", server_error_share=0.2), seed=3)
    with rig.session(hold) as session:
        rig.run(session, 300)
    repeated = rig.log.of(RequestRepeated)
    assert 0 < sum(event.times for event in repeated) <= rig.broker.repeats()
    ours = {e.client_order_id for e in rig.log.of(OrderSubmitted)} | {e.order_id for e in rig.log.of(OrderAccepted)}
    assert {event.client_order_id or event.order_id for event in repeated} <= ours


def test_a_healthy_session_repeats_nothing(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)
    with rig.session(hold) as session:
        rig.run(session, 60)
    assert (rig.log.of(RequestRepeated), rig.broker.repeats()) == ([], 0)


def test_a_trace_adds_up_the_repeats_of_its_order_by_either_id() -> None:
    builder = TraceBuilder({})
    events: list[AnyEvent] = [
        OrderSubmitted(ts_ns=1, client_order_id="c-1", signal_id="s", intent=make_intent(), mid=make_intent().size),
        OrderAccepted(ts_ns=2, client_order_id="c-1", order_id="o-1", latency_ms=make_intent().size),
        RequestRepeated(ts_ns=3, request="AskOrder", times=2, client_order_id="c-1", order_id="o-1"),
        RequestRepeated(ts_ns=4, request="FetchFills", times=1, order_id="o-1"),
        RequestRepeated(ts_ns=5, request="FetchFills", times=5, order_id="somebody-elses"),
    ]
    for seq, event in enumerate(events):
        builder.add(seq, event)
    traces, _, _ = builder.finish()
    assert [trace.retries for trace in traces] == [3]
