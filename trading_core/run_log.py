"""A run's log: every event goes to the event store and, at once, into the artifacts that are saved as it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from trading_core.artifact_export import PRODUCER, Exporter
from trading_core.artifacts import ArtifactSet, to_json
from trading_core.events import AnyEvent, Tick
from trading_core.products import Product
from trading_core.run import RunContext
from trading_core.storage.artifact_store import ArtifactMeta, ArtifactStore
from trading_core.storage.event_store import EventStore


class RunLog:
    """Writes the events of one run; `save` writes the artifacts as of now, whole, over the last ones."""

    def __init__(self, context: RunContext, products: Mapping[str, Product], store: EventStore) -> None:
        self._context = context
        self._store = store
        self._artifacts = ArtifactStore(context.run_dir)
        self._exporter = Exporter(context, products)
        self._seq = 0

    def append(self, event: AnyEvent, kind: Literal["input", "record"], durable: bool = False) -> int:
        """Store one event, on disk before returning if `durable`. Raises StorageError."""
        self._seq = self._store.append(event, kind, durable)
        self._exporter.add(self._seq, event)
        return self._seq

    def append_tick(self, tick: Tick) -> None:
        """Store market data, packed."""
        self._store.append_tick(tick)
        self._exporter.add(self._seq, tick)

    def save(self) -> dict[str, int]:
        """Commit the events and write the artifacts; return their rows by name."""
        self._store.flush()
        return write_artifacts(self._context, self._artifacts, self._exporter.finish(), self._store)


def write_artifacts(
    context: RunContext, artifacts: ArtifactStore, made: ArtifactSet, store: EventStore
) -> dict[str, int]:
    """Write each artifact atomically with its digest; return the rows by name."""
    rows = {}
    for name, artifact in made.named().items():
        rows[name.value] = len(artifact.rows)
        meta = ArtifactMeta(
            rows=len(artifact.rows),
            producer=PRODUCER,
            subject_digest=context.subject_digest,
            level=context.level,
            window_start_ns=artifact.header.window_start,
            window_end_ns=artifact.header.window_end,
            schema_version=artifact.schema_version,
            chain_head=store.head(),
        )
        artifacts.write(name.value, to_json(artifact), meta)
    return rows
