"""Artifacts of a session that died: made from its stored events, as its own last save would have been."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge

from trading_core.artifact_export import Exporter
from trading_core.events import AnyEvent
from trading_core.products import Product
from trading_core.run import RunContext
from trading_core.run_log import ArtifactWriter
from trading_core.storage.event_reader import EventReader


def salvage(context: RunContext, products: dict[str, Product]) -> str:
    """Write the run's artifacts as of its last stored event; return what was written. Raises StorageError."""
    exporter = Exporter(context, products)
    with EventReader(context.event_store_root, context.run_id) as reader:
        head = reader.head()
        for seq, event in _in_order(reader):
            exporter.add(seq, event)
    rows = ArtifactWriter(context).write(exporter.finish(), head)
    return f"saved {sum(rows.values())} rows in {len(rows)} artifacts, as of event {head.seq}"


def _in_order(reader: EventReader) -> Iterator[tuple[int, AnyEvent]]:
    """Yield every event with its number, market data among them by time: it only gives depth to the rows."""
    decisions = ((stored.ts_ns, stored.seq, stored.event) for stored in reader.events())
    ticks = ((tick.ts_ns, 0, tick) for tick in reader.ticks())
    for _, seq, event in merge(decisions, ticks, key=lambda row: row[0]):
        yield seq, event
