"""Artifacts of a session that died: made from its stored events, as its own last save would have been."""

from __future__ import annotations

from trading_core.artifact_export import Exporter
from trading_core.products import Product
from trading_core.run import RunContext
from trading_core.run_log import ArtifactWriter
from trading_core.storage.event_reader import EventReader


def salvage(context: RunContext, products: dict[str, Product]) -> str:
    """Write the run's artifacts as of its last stored event; return what was written. Raises StorageError."""
    exporter = Exporter(context, products)
    with EventReader(context.store, context.run_id) as reader:
        head = reader.head()
        for stored in reader.whole():
            exporter.add(stored.seq, stored.event)
    rows = ArtifactWriter(context).write(exporter.drain(), head)
    return f"saved {sum(rows.values())} rows in {len(rows)} artifacts, as of event {head.seq}"
