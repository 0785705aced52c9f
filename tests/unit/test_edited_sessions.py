"""Whole sessions of the maker that edits its quotes, on the exchange with edits that are late, lost or overtaken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim_rig import START_NS, SimRig
from tests.unit.test_session import assert_flat
from tests.unit.test_strategies import maker
from trading_core.artifact_traces import TraceBuilder
from trading_core.clock import NS
from trading_core.desk import Desk
from trading_core.engine import Engine
from trading_core.events import AnyEvent, EditAnswered, EditRequested, OrderReported
from trading_core.local_exchange.faults import FaultPlan, load_faults
from trading_core.protocol import trade
from trading_core.trading_state import TradingState


@pytest.mark.parametrize("faults", [
    FaultPlan(), load_faults("edit_race"), FaultPlan(edit_delay_ms=30_000),
    FaultPlan(frame_drop_share=0.5, edit_done_but_500_share=0.5),
])
def test_quotes_are_edited_in_place_and_the_venues_figures_are_ours(tmp_path: Path, faults: FaultPlan) -> None:
    rig = SimRig(tmp_path, faults=faults)
    strategy = maker(requote_s=5, requote="edit")
    with rig.session(lambda desk: trade(desk, strategy, START_NS + 600 * NS)) as session:
        rig.run(session, 300)
        rig.exchange.set_faults(FaultPlan())
        rig.run(session, 40)  # every open question is answered by then
        desk = session.engine.desk
        at_venue = {order.order_id: order for order in rig.exchange.orders(rig.exchange.account_ids()[0])}
        for order in desk.orders.live():
            theirs = at_venue[order.order_id]
            assert (order.intent.limit_price, order.intent.size) == (theirs.limit_price, theirs.size)
        assert {o.order_id for o in desk.orders.orders.values() if o.order_id} == set(at_venue)
    edits = rig.log.of(EditRequested)
    assert edits
    assert set(map(id, edits)) <= set(map(id, rig.log.durable)), "an edit is stored for good before it leaves"
    assert any(order.edits for order in at_venue.values())
    assert_flat(rig)


def test_a_state_that_another_process_tightened_just_before_withholds_the_edit(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)

    def tighten(event: AnyEvent) -> None:
        if isinstance(event, EditRequested):
            rig.other_guard().tighten(TradingState.REDUCE_ONLY, reason="operator pressed stop", actor="operator")

    rig.log.on_append = tighten
    with rig.session(lambda desk: trade(desk, maker(requote_s=5, requote="edit"), START_NS + 300 * NS)) as session:
        rig.run(session, 100)
    answers = rig.log.of(EditAnswered)
    assert answers
    assert {(a.is_accepted, a.reason, a.is_expected) for a in answers} == {(False, "STATE_REDUCE_ONLY", True)}
    assert all(order.edits == () for order in rig.exchange.orders(rig.exchange.account_ids()[0]))
    assert_flat(rig)


def test_a_replay_of_edits_decides_the_same(tmp_path: Path) -> None:
    rig = SimRig(tmp_path, faults=load_faults("edit_race"))
    with rig.session(lambda desk: trade(desk, maker(requote_s=5, requote="edit"), START_NS + 300 * NS)) as session:
        rig.run(session, 200)
    desk = Desk(rig.plan, rig.products, "sim")
    engine = Engine(desk, trade(desk, maker(requote_s=5, requote="edit"), START_NS + 300 * NS))
    records: list[AnyEvent] = []
    for event in rig.log.inputs:
        records += engine.process(event).records
    assert any(isinstance(r, EditRequested) for r in records)
    assert records == rig.log.records


def test_the_trace_of_an_edited_order_names_each_edit_its_answer_and_the_report_that_shows_it(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)
    with rig.session(lambda desk: trade(desk, maker(requote_s=5, requote="edit"), START_NS + 300 * NS)) as session:
        rig.run(session, 200)
    builder = TraceBuilder({})
    events = [event for _, event in rig.log.rows]
    for seq, event in enumerate(events, start=1):
        builder.add(seq, event)
    traces, _, _ = builder.finish()
    edits = [(trace, edit) for trace in traces for edit in trace.edits]
    assert len(edits) == len(rig.log.of(EditRequested)) > 3
    assert {edit.reason for _, edit in edits if not edit.is_accepted} <= {"ONLY_OPEN_ORDERS_CAN_BE_EDITED"}
    for trace, edit in edits:
        assert edit.latency_ms is not None
        if not edit.is_accepted:  # the order was filled in that moment
            assert edit.applied_seq is None
            continue
        assert edit.applied_seq is not None
        shown = events[edit.applied_seq - 1]
        assert isinstance(shown, OrderReported)
        assert (shown.order.limit_price, shown.order.client_order_id) == (edit.limit_price, trace.client_order_id)
    assert any(trace.last_size != trace.size for trace, _ in edits)
