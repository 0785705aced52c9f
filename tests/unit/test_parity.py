"""Parity of two runs: the same signals are paired, and each figure is held against its margin."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.evidence_runs import CONTRACT_SIZES, RunWriter, make_context
from trading_core import events as ev
from trading_core.artifact_export import export
from trading_core.artifacts import ExecutionLogs
from trading_core.metrics.parity import POOLED, ParityReport, ParityState, compare, paired
from trading_core.orders import Purpose, Side
from trading_core.plan import ParityMargins
from trading_core.plan_files import find_plan

PLAN = find_plan("phase2")


def margins() -> ParityMargins:
    assert PLAN.parity is not None
    return PLAN.parity


def logs(
    folder: Path, *, orders: int = 40, latency_ms: str = "41.5", every_filled: int = 2, rejected: int = 0,
    source: str = "post_only_pulse",
) -> ExecutionLogs:
    """Return the execution logs of a run that trades so many entries, each so many of them filled."""
    run = RunWriter(PLAN)
    run.add(ev.FeeTierRead(ts_ns=run.now_ns, tier="t", maker_rate=Decimal("0.006"), taker_rate=Decimal("0.012")))
    for n in range(orders):
        name = run.order(source, latency_ms=latency_ms, rejected="INSUFFICIENT_FUND" if n < rejected else "")
        run.wait(5)
        if n >= rejected and n % every_filled == 0:
            run.fill(name, Side.BUY)
    return export(make_context(folder), run.events, CONTRACT_SIZES).execution_logs


def states(found: ParityReport, figure: str) -> set[ParityState]:
    return {row.state for row in found.rows if row.figure == figure}


def test_a_run_is_at_parity_with_itself(tmp_path: Path) -> None:
    one = logs(tmp_path)
    found = compare(one, one, margins())
    assert (found.state, found.matched) == (ParityState.PARITY, 40)
    assert {row.delta for row in found.rows} == {Decimal(0)}


def test_a_slow_venue_diverges_in_latency_and_nowhere_else(tmp_path: Path) -> None:
    found = compare(logs(tmp_path), logs(tmp_path, latency_ms="900"), margins())
    assert found.state is ParityState.DIVERGES
    assert {r.figure for r in found.rows if r.state is ParityState.DIVERGES} == {"latency_p50_ms", "latency_p95_ms"}
    assert "latency_p50_ms" in found.headline


@pytest.mark.parametrize(
    ("changes", "figure"),
    [({"every_filled": 20}, "fill_share"), ({"rejected": 5}, "acceptance_share"), ({"orders": 30}, "unmatched_share")],
)
def test_each_figure_beyond_its_margin_is_named(tmp_path: Path, changes: dict[str, Any], figure: str) -> None:
    found = compare(logs(tmp_path), logs(tmp_path, **changes), margins())
    assert ParityState.DIVERGES in states(found, figure)


def test_fees_that_differ_by_more_than_the_margin_diverge(tmp_path: Path) -> None:
    one = logs(tmp_path)
    dearer = tuple(
        t.model_copy(update={"fills": tuple(
            f.model_copy(update={"commission": f.commission + f.notional * Decimal("0.00051")}) for f in t.fills
        )}) for t in one.rows
    )
    assert states(compare(one, one.model_copy(update={"rows": dearer}), margins()), "fee_bps") == {
        ParityState.DIVERGES
    }


def test_too_few_orders_are_no_parity(tmp_path: Path) -> None:
    few = logs(tmp_path, orders=10)
    assert compare(few, few, margins()).state is ParityState.NO_DATA


def test_runs_without_any_signal_are_no_parity(tmp_path: Path) -> None:
    none = logs(tmp_path).model_copy(update={"rows": ()})
    found = compare(none, none, margins())
    assert found.state is ParityState.NO_DATA
    assert {row.delta for row in found.rows} == {None}


def test_signals_of_another_source_or_side_have_no_partner(tmp_path: Path) -> None:
    one, other = logs(tmp_path), logs(tmp_path, source="another")
    assert paired(one.rows, other.rows) == []
    found = compare(one, other, margins())
    (row,) = (r for r in found.rows if r.figure == "unmatched_share" and r.product_id == POOLED)
    assert (row.delta, row.state) == (Decimal(1), ParityState.DIVERGES)


def test_probes_are_left_out(tmp_path: Path) -> None:
    one = logs(tmp_path)
    probe = one.rows[0].model_copy(update={"purpose": Purpose.PROBE_CROSSING})
    found = compare(one, one.model_copy(update={"rows": (probe, *one.rows)}), margins())
    assert found.state is ParityState.PARITY
