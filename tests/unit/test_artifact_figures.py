"""The artifacts of figures: what they say of a run, and that they say what is missing."""

from __future__ import annotations

import random
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import correlation

import pytest

from tests.evidence_runs import CONTRACT_SIZES, START_NS, make_context, make_events
from trading_core import events as ev
from trading_core.artifact_derive import percentile
from trading_core.artifact_export import export
from trading_core.artifact_summary import ReturnsTable, funding_row
from trading_core.artifacts import ArtifactSet, CheckpointState, Header, Leg
from trading_core.clock import MINUTE_NS, NS
from trading_core.plan import Plan

D = Decimal


def artifacts(folder: Path, events: list[tuple[int, ev.AnyEvent]] | None = None, **changes: object) -> ArtifactSet:
    context = make_context(folder)
    plan = with_checkpoints(context.plan)
    context = context.model_copy(update={"plan": plan})
    return export(context, make_events(plan) if events is None else events, CONTRACT_SIZES)


def with_checkpoints(plan: Plan) -> Plan:
    return plan.model_copy(update={"protocol": plan.protocol.model_copy(update={"checkpoints_h": (0, 1, 25)})})


def header(folder: Path) -> Header:
    return artifacts(folder).summary.header


def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed() -> None:
    ordered = [D(n) for n in range(1, 101)]
    assert [percentile(ordered, D(share)) for share in ("0.5", "0.95", "0.99", "1")] == [50, 95, 99, 100]
    assert percentile([D(7)], D("0.01")) == 7


def test_every_order_that_was_sent_has_its_latencies(tmp_path: Path) -> None:
    found = artifacts(tmp_path)
    sent = [t for t in found.execution_logs.rows if t.submit is not None]
    assert [row.client_order_id for row in found.latency.rows] == [t.client_order_id for t in sent]
    answered = found.latency.pooled[Leg.SUBMIT_TO_ANSWER]
    assert (answered.n, answered.p50, answered.worst) == (len(sent), D("41.5"), D("41.5"))
    filled = sum(bool(t.fills) for t in sent)
    assert found.latency.by_symbol["BTC-USD"][Leg.SUBMIT_TO_FIRST_FILL].n == filled


def test_the_products_of_the_summary_add_up_to_the_books(tmp_path: Path) -> None:
    found = artifacts(tmp_path)
    last = found.reconciliation_history.rows[-1]
    assert sum(row.pnl for row in found.summary.rows) == found.summary.pnl == last.equity - last.opening_equity
    assert found.summary.order_acceptance == found.rejection_breakdown.totals.accepted / D(
        found.rejection_breakdown.totals.accepted + found.rejection_breakdown.totals.rejected
    )
    assert found.summary.steps_not_shown == ()


def test_a_checkpoint_that_was_never_reached_is_said_to_be_missing(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    events = make_events(with_checkpoints(context.plan))
    middle = len(events) // 2
    figures = {"equity": D("10000"), "pnl": D(0), "daily_loss": D(3)}
    reached = ev.CheckpointReached(ts_ns=events[middle][1].ts_ns, at_h=0, late_s=D("0.5"), figures=figures)
    early = ev.CheckpointReached(ts_ns=events[-1][1].ts_ns, at_h=25, late_s=D(-3600), figures=figures)
    events = [*events[: middle + 1], (middle + 2, reached), *((s + 1, e) for s, e in events[middle + 1:])]
    found = artifacts(tmp_path, [*events, (len(events) + 1, early)])
    first, missing, last = found.checkpoints.rows
    assert [r.state for r in found.checkpoints.rows] == [
        CheckpointState.REACHED, CheckpointState.MISSING, CheckpointState.AT_END
    ]
    assert (missing.equity, missing.accepted) == (None, None)
    assert "no figures" in missing.detail
    assert (first.accepted or 0) < (last.accepted or 0)
    assert last.accepted == found.rejection_breakdown.totals.accepted
    assert first.guardrails["daily_loss"].left == first.guardrails["daily_loss"].limit - 3


def test_the_evidence_of_a_checkpoint_is_the_e_process_so_far(tmp_path: Path) -> None:
    events = make_events(with_checkpoints(make_context(tmp_path).plan))
    event = ev.CheckpointReached(ts_ns=events[-1][1].ts_ns, at_h=1, late_s=D(0), figures={})
    found = artifacts(tmp_path, [*events, (len(events) + 1, event)])
    row = found.checkpoints.rows[1]
    assert row.e_log10["order_acceptance"] > 0
    assert row.equity is None  # what was not recorded is not made up


def test_correlation_is_pearsons_over_the_minutes_that_both_have(tmp_path: Path) -> None:
    chance, table = random.Random(3), ReturnsTable(("B", "A"))
    a, b = [D(100)], [D(50)]
    for _ in range(200):
        shock = chance.gauss(0, 0.001)
        a.append(a[-1] * (1 + D(f"{shock:.9f}")))
        b.append(b[-1] * (1 + D(f"{shock * 0.5 + chance.gauss(0, 0.001):.9f}")))
    for minute, (x, y) in enumerate(zip(a, b, strict=True)):
        table.add(START_NS + minute * MINUTE_NS + 3 * NS, {"A": x, "B": y})
        table.add(START_NS + minute * MINUTE_NS + 9 * NS, {"A": D(1), "B": D(2)})  # a second look counts for nothing
    (row,) = table.artifact(header(tmp_path)).rows
    own = correlation([float(q / p - 1) for p, q in pairwise(a)], [float(q / p - 1) for p, q in pairwise(b)])
    assert (row.first, row.second, row.n) == ("A", "B", 200)
    assert row.correlation == pytest.approx(own, abs=1e-5)


def test_a_hole_gives_no_return_and_a_price_that_stands_no_correlation(tmp_path: Path) -> None:
    table = ReturnsTable(("A", "B"))
    for minute in range(40):
        if minute != 20:
            table.add(START_NS + minute * MINUTE_NS, {"A": D(100 + minute % 3), "B": D(7)})
    (row,) = table.artifact(header(tmp_path)).rows
    assert (row.n, row.correlation) == (37, None)


def test_funding_is_held_against_position_mark_and_rate() -> None:
    event = ev.FundingAccrued(
        ts_ns=START_NS, product_id="BIP", funding_ns=START_NS, position=D(-2), mark=D(60_000), rate=D("0.0001"),
        amount=D("0.13"),
    )
    row = funding_row(9, event, D("0.01"))
    assert (row.expected, row.gap) == (D("0.12"), D("0.01"))
