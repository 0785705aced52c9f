"""A run's log: every event goes to the event store and, at once, into the artifacts that are saved as it goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from typing import Literal

from trading_core.artifact_encode import ArtifactEncoder
from trading_core.artifact_export import PRODUCER, Exporter, Increment
from trading_core.artifacts import AnyArtifact, ArtifactName
from trading_core.events import AnyEvent, Tick
from trading_core.products import Product
from trading_core.run import RunContext
from trading_core.storage.artifact_store import ArtifactMeta, ArtifactStore
from trading_core.storage.chain import Head
from trading_core.storage.event_reader import StoredEvent
from trading_core.storage.event_store import EventStore


class RunLog:
    """Writes the events of one run; `save` writes the artifacts as of now, whole, over the last ones.

    Artifacts are written by the executor: six files with their digests take longer than a trading loop may wait.
    """

    def __init__(
        self, context: RunContext, products: Mapping[str, Product], store: EventStore, executor: Executor
    ) -> None:
        self._store = store
        self._executor = executor
        self._exporter = Exporter(context, products)
        self._writer = ArtifactWriter(context, is_durable=store.is_durable)
        self._seq = 0
        self._saving: deque[Future[dict[str, int]]] = deque()

    def append(self, event: AnyEvent, kind: Literal["input", "record"], durable: bool = False) -> int:
        """Store one event, on disk before returning if `durable`. Raises StorageError."""
        self._seq = self._store.append(event, kind, durable)
        self._exporter.add(self._seq, event)
        return self._seq

    def append_tick(self, tick: Tick) -> None:
        """Store market data, packed."""
        self._store.append_tick(tick)
        self._exporter.add_tick(tick)

    def restore(self, stored: StoredEvent) -> None:
        """Take an event that the store has already: the artifacts go on with it."""
        self._seq = stored.seq
        self._exporter.add(stored.seq, stored.event)

    def save(self) -> None:
        """Commit the events and start writing the artifacts as of now."""
        self._store.flush()
        increment, head = self._exporter.drain(), self._store.head()
        self._saving.append(self._executor.submit(self._writer.write, increment, head))

    def saved(self) -> list[dict[str, int]]:
        """Return the saves that have ended since the last call: rows by artifact. Raises StorageError."""
        ended = []
        while self._saving and self._saving[0].done():
            ended.append(self._saving.popleft().result())
        return ended

    def finish(self) -> None:
        """Write the artifacts of the whole run; returns once they are on disk."""
        self.save()
        while self._saving:
            self._saving.popleft().result()


class ArtifactWriter:
    """Writes the artifacts of one run, each atomically with its digest. Used by one thread at a time."""

    def __init__(self, context: RunContext, *, is_durable: bool = True) -> None:
        self._context = context
        self._store = ArtifactStore(context.run_dir, is_durable=is_durable)
        self._encoder = ArtifactEncoder(context.run_dir)

    def write(self, increment: Increment, head: Head) -> dict[str, int]:
        """Write them all, whole, over the last ones; return the rows by name. Takes each increment of an exporter."""
        self._encoder.take(increment)
        named = increment.artifacts.named()
        self._store.write_all(
            {name.value: (self._encoder.encode(name, a), self._meta(name, a, head)) for name, a in named.items()}
        )
        return {name.value: self._encoder.rows(name, artifact) for name, artifact in named.items()}

    def _meta(self, name: ArtifactName, artifact: AnyArtifact, head: Head) -> ArtifactMeta:
        return ArtifactMeta(
            rows=self._encoder.rows(name, artifact),
            producer=PRODUCER,
            subject_digest=self._context.subject_digest,
            level=self._context.level,
            window_start_ns=artifact.header.window_start,
            window_end_ns=artifact.header.window_end,
            schema_version=artifact.schema_version,
            chain_head=head,
        )
