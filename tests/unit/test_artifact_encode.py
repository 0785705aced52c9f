"""Saving a run as it goes: the bytes are those of one export at the end, whenever and however often it is saved."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.evidence_runs import CONTRACT_SIZES, RunWriter, make_context, make_events, write_run
from trading_core import events as ev
from trading_core.artifact_encode import ArtifactEncoder, RowSpool
from trading_core.artifact_export import Exporter, export
from trading_core.artifacts import ArtifactName, ArtifactSet, to_json
from trading_core.errors import StorageError
from trading_core.orders import OrderStatus, Side
from trading_core.run import RunContext


def bytes_of(made: ArtifactSet) -> list[bytes]:
    """Return the bytes of each artifact, made in one piece."""
    return [to_json(artifact) for artifact in made.named().values()]


def saved(exporter: Exporter, encoder: ArtifactEncoder) -> list[bytes]:
    """Return what a save writes now."""
    increment = exporter.drain()
    encoder.take(increment)
    return [encoder.encode(name, made) for name, made in increment.artifacts.named().items()]


def test_each_save_has_the_bytes_of_an_export_of_the_events_so_far(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    events = make_events(context.plan, rejections=2)
    exporter, encoder = Exporter(context, {}, CONTRACT_SIZES), ArtifactEncoder(tmp_path)
    differing = []
    for count, (seq, event) in enumerate(events, start=1):
        exporter.add(seq, event)
        is_due = count % 97 == 0 or count == len(events)
        if is_due and saved(exporter, encoder) != bytes_of(export(context, events[:count], CONTRACT_SIZES)):
            differing.append(count)
    assert len(events) > 200
    assert differing == []


def long_run(folder: Path) -> tuple[RunWriter, RunContext]:
    """Return two hours of orders that end within a second, one in each minute, and every tenth refused."""
    run, context = RunWriter(make_context(folder).plan), make_context(folder)
    run.snapshot()
    for n in range(120):
        order = run.order("strategy", rejected="" if n % 10 else "INSUFFICIENT_FUND")
        if n % 10:
            run.fill(order, Side.BUY if n % 2 else Side.SELL)
        run.wait(60)
    return run, context


def late(run: RunWriter, order: str, kind: str) -> None:
    """Let the venue, or our transport, name an order that ended long ago."""
    match kind:
        case "fill":
            run.fill(order, Side.SELL, "0.0001")
        case "report":
            run.report(order, OrderStatus.FILLED, filled_size=Decimal("0.0007"))
        case _:
            run.add(ev.RequestRepeated(ts_ns=run.now_ns, request="FetchFills", times=2, order_id=f"v-{order}"))


@pytest.mark.parametrize("kind", ["fill", "report", "repeat"])
def test_a_settled_order_that_is_heard_of_again_is_written_as_if_it_had_never_settled(
    tmp_path: Path, kind: str
) -> None:
    run, context = long_run(tmp_path)
    exporter, encoder = Exporter(context, {}, CONTRACT_SIZES), ArtifactEncoder(tmp_path)
    for seq, event in run.events:
        exporter.add(seq, event)
        if seq % 50 == 0:
            saved(exporter, encoder)
    increment, known = exporter.drain(), len(run.events)
    encoder.take(increment)
    assert "t-00004" not in {trace.client_order_id for trace in increment.artifacts.execution_logs.rows}
    late(run, "t-00004", kind)
    run.add(ev.CheckpointReached(ts_ns=run.now_ns, at_h=0, late_s=Decimal(0), figures={}))
    for count, (seq, event) in enumerate(run.events[known:], start=known + 1):
        exporter.add(seq, event)
        assert saved(exporter, encoder) == bytes_of(export(context, run.events[:count], CONTRACT_SIZES))


def test_a_long_run_keeps_no_more_rows_in_memory_than_a_short_one(tmp_path: Path) -> None:
    run, context = long_run(tmp_path)
    exporter, encoder = Exporter(context, {}, CONTRACT_SIZES), ArtifactEncoder(tmp_path)
    most: dict[ArtifactName, int] = {}
    for seq, event in run.events:
        exporter.add(seq, event)
        if seq % 50 == 0 or seq == len(run.events):
            increment = exporter.drain()
            encoder.take(increment)
            named = increment.artifacts.named()
            most = {name: max(most.get(name, 0), len(made.rows)) for name, made in named.items()}
    assert max(most.values()) <= 20  # those of ten minutes, and of the fifty events since the save before
    assert encoder.rows(ArtifactName.EXECUTION_LOGS, named[ArtifactName.EXECUTION_LOGS]) == 120


def test_rows_that_found_no_room_are_written_once_there_is_room(tmp_path: Path) -> None:
    spool = RowSpool(tmp_path / "full")
    (tmp_path / "full").write_text("no folder", "utf-8")
    spool.add([b"1", b"2"])
    with pytest.raises(StorageError, match="cannot be kept"):
        spool.read()
    (tmp_path / "full").unlink()
    spool.add([b"3"])
    assert (spool.read(), spool.count) == (b"1,2,3", 3)
    assert list((tmp_path / "full").iterdir()) == []


def test_an_artifact_without_rows_has_the_bytes_of_to_json(tmp_path: Path) -> None:
    empty = export(write_run(tmp_path), [], CONTRACT_SIZES)
    assert saved(Exporter(make_context(tmp_path), {}, CONTRACT_SIZES), ArtifactEncoder(tmp_path)) == bytes_of(empty)
