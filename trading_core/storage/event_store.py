"""The event store's writer: append-only, hash-chained, one writer per run, durable before an order leaves.

Commits happen on the caller's thread: at a durable append, after COMMIT_EVENTS_MAX events, or COMMIT_AFTER_S after
the first event that waits. So a failure is seen by the one who must stop trading, at the moment it happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

import msgspec
from sqlalchemy import Connection, Engine, insert, select, update

from trading_core.clock import NS, SystemClock
from trading_core.errors import ConfigurationError, IntegrityError, InvariantBroken, StorageError
from trading_core.events import Event, Tick, encode
from trading_core.storage import database
from trading_core.storage.chain import Head, first_head, next_hash
from trading_core.storage.database import blocks, events, heads, storage_errors
from trading_core.storage.lock import exclusive
from trading_core.storage.tick_block import CODEC, OpenBlock

Kind: TypeAlias = Literal["input", "record"]
KINDS: frozenset[str] = frozenset({"input", "record"})

COMMIT_EVENTS_MAX = 1_000
COMMIT_AFTER_S = 0.25  # viewers read what is committed
BACKLOG_EVENTS_MAX = 50_000  # events that wait in memory while the store cannot be written

_encoder = msgspec.json.Encoder(order="sorted")
_stopwatch_ns = SystemClock().stopwatch_ns


class EventStore:
    """Writes the events of one run. Made by `open`; used by one thread.

    After a StorageError what was appended waits in memory and goes with the next commit that works; only an event
    beyond BACKLOG_EVENTS_MAX is not taken.
    """

    def __init__(self, path: Path, run_id: str, engine: Engine, head: Head, epoch: int, options: _Options) -> None:
        self.path = path
        self.run_id = run_id
        self._engine = engine
        self._connection = engine.connect()
        self._committed = self._chained = head
        self._epoch = epoch
        self._options = options
        self._block = OpenBlock()
        self._events: list[dict[str, Any]] = []
        self._blocks: list[dict[str, Any]] = []
        self._waits_since_ns = 0
        self._has_failed = False
        self._closed_because = ""

    @classmethod
    def open(
        cls,
        root: Path,
        run_id: str,
        genesis: str,
        *,
        is_durable: bool = True,
        busy_timeout_s: float = database.BUSY_TIMEOUT_S,
    ) -> EventStore:
        """Open the run's chain for writing, or go on with it; whoever wrote it before is fenced off.

        The genesis says what the chain is about, without the run id: two simulated runs with equal inputs then
        have equal digests. `is_durable=False` is for the simulated venue, where a crash loses nothing of value.
        """
        path = root / database.FILE_NAME
        options = _Options(is_durable=is_durable, busy_timeout_s=busy_timeout_s)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise StorageError(f"event store folder {root} cannot be made: {e.strerror}") from e
        with exclusive(_lock_path(path), busy_timeout_s), storage_errors(path):
            engine = database.open_writer(path, is_durable=is_durable, busy_timeout_s=busy_timeout_s)
            with engine.begin() as connection:
                head, epoch = _take_over(connection, run_id, genesis)
            return cls(path, run_id, engine, head, epoch, options)

    def append(self, event: Event, kind: str, durable: bool = False) -> int:
        """Append an event, an "input" or a "record", and return its seq; with `durable`, once the disk has it.

        Raises StorageError if the store cannot be written: then no order may leave.
        """
        if kind not in KINDS:
            raise InvariantBroken(f"an event is an input or a record, kind was {kind!r}")
        self._require_room()
        seq = self._chain(kind, type(event).__name__, event.ts_ns, encode(event))
        if durable and self._options.is_durable:
            self._commit()
        else:
            self._commit_if_due()
        return seq

    def append_tick(self, tick: Tick) -> None:
        """Put a tick into the open block; the chain covers it once the block is cut."""
        self._require_room()
        if self._block.add(self._chained.seq, tick):
            self._cut_block()
            self._commit_if_due()

    def flush(self) -> None:
        """Cut the open block of ticks and commit everything.

        A cut adds an event to the chain: call it by venue time, never by the wall clock.
        """
        self._require_open()
        self._cut_block()
        self._commit()

    def head(self) -> Head:
        """Return the last committed link, to be anchored outside of the store."""
        return self._committed

    @property
    def is_durable(self) -> bool:
        """Tell whether what was appended durably survives a crash of the machine."""
        return self._options.is_durable

    def seal(self) -> None:
        """Flush and end the chain for good: nobody may append to the run any more."""
        self.flush()
        with self._transaction():
            self._advance(self._committed, is_sealed=True)
        self._closed_because = f"run {self.run_id} is sealed"

    def close(self) -> None:
        """Flush and close; may be called twice. Raises StorageError if the last events cannot be written."""
        if not self._engine_is_open:
            return
        try:
            if not self._closed_because:
                self.flush()
        finally:
            self._closed_because = self._closed_because or f"the event store of run {self.run_id} is closed"
            self._dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _engine_is_open(self) -> bool:
        return not self._connection.closed

    def _dispose(self) -> None:
        # Closing the last connection checkpoints the write-ahead log: that, too, is done by one at a time.
        with exclusive(_lock_path(self.path), self._options.busy_timeout_s), storage_errors(self.path):
            self._connection.close()
            self._engine.dispose()

    def _require_open(self) -> None:
        if self._closed_because:
            raise StorageError(f"{self._closed_because}: nothing can be appended")

    def _require_room(self) -> None:
        self._require_open()
        if len(self._events) >= BACKLOG_EVENTS_MAX:
            self._commit_if_due()
        if len(self._events) >= BACKLOG_EVENTS_MAX:
            waiting = f"{len(self._events)} events wait in memory (limit {BACKLOG_EVENTS_MAX})"
            raise StorageError(f"{waiting} and {self.path} cannot be written: stop and free disk space")

    def _chain(self, kind: str, type_name: str, ts_ns: int, payload: bytes) -> int:
        if not self._events:
            self._waits_since_ns = _stopwatch_ns()
        seq = self._chained.seq + 1
        link = next_hash(self._chained.hash, kind, payload)
        self._events.append(
            {"run_id": self.run_id, "seq": seq, "ts_ns": ts_ns, "kind": kind, "type": type_name,
             "payload": payload, "hash": link}
        )
        self._chained = Head(seq, link)
        return seq

    def _cut_block(self) -> None:
        if not len(self._block):
            return
        stored, data = self._block.take()
        seq = self._chain("block", type(stored).__name__, stored.ts_ns, _encoder.encode(stored))
        self._blocks.append(
            {"run_id": self.run_id, "seq": seq, "n": stored.n, "ts_min_ns": stored.ts_min_ns,
             "ts_max_ns": stored.ts_max_ns, "codec": CODEC, "data": data}
        )

    def _commit_if_due(self) -> None:
        is_full = len(self._events) >= COMMIT_EVENTS_MAX and not self._has_failed
        if is_full or _stopwatch_ns() - self._waits_since_ns >= COMMIT_AFTER_S * NS:
            self._commit()

    def _commit(self) -> None:
        if not self._events:
            return
        # After a failure the next try is one waiting time away, or at the next durable append.
        self._has_failed, self._waits_since_ns = True, _stopwatch_ns()
        with self._transaction():
            # The head first: it takes the write lock, and shows at once whether we are fenced off.
            self._advance(self._chained, is_sealed=False)
            self._connection.execute(insert(events), self._events)
            if self._blocks:
                self._connection.execute(insert(blocks), self._blocks)
        self._committed = self._chained
        self._events, self._blocks = [], []
        self._has_failed = False

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        lock = exclusive(_lock_path(self.path), self._options.busy_timeout_s)
        with lock, storage_errors(self.path), self._connection.begin():
            yield

    def _advance(self, head: Head, *, is_sealed: bool) -> None:
        mine = (heads.c.run_id == self.run_id, heads.c.seq == self._committed.seq, heads.c.epoch == self._epoch)
        moved = self._connection.execute(
            update(heads).where(*mine, heads.c.is_sealed.is_(False)).values(
                seq=head.seq, hash=head.hash, is_sealed=is_sealed
            )
        )
        if moved.rowcount != 1:
            self._closed_because = f"another writer took over run {self.run_id}"
            raise StorageError(f"{self._closed_because}: this one is fenced off, stop it")


class _Options(msgspec.Struct, frozen=True, kw_only=True):
    is_durable: bool
    busy_timeout_s: float


def _lock_path(path: Path) -> Path:
    # SQLite before 3.51.3 may corrupt a file that two connections write or checkpoint at once.
    return path.with_suffix(".lock")


def _take_over(connection: Connection, run_id: str, genesis: str) -> tuple[Head, int]:
    row = connection.execute(select(heads).where(heads.c.run_id == run_id)).first()
    if row is None:
        head = first_head(genesis)
        connection.execute(
            insert(heads).values(run_id=run_id, genesis=genesis, seq=0, hash=head.hash, epoch=1, is_sealed=False)
        )
        return head, 1
    if row.genesis != genesis:
        raise ConfigurationError(f"run {run_id} began as {row.genesis!r} and cannot go on as {genesis!r}")
    if row.is_sealed:
        raise StorageError(f"run {run_id} is sealed: nothing can be appended, start a new run")
    head = Head(row.seq, row.hash)
    _require_whole_tail(connection, run_id, head)
    connection.execute(update(heads).where(heads.c.run_id == run_id).values(epoch=row.epoch + 1))
    return head, row.epoch + 1


def _require_whole_tail(connection: Connection, run_id: str, head: Head) -> None:
    last = connection.execute(
        select(events.c.seq, events.c.hash).where(events.c.run_id == run_id).order_by(events.c.seq.desc()).limit(1)
    ).first()
    if head.seq and (last is None or Head(last.seq, last.hash) != head):
        was = "nothing" if last is None else f"event {last.seq}"
        raise IntegrityError(f"run {run_id} has a torn tail: its head is event {head.seq}, its last row is {was}")
