"""The event store's writer: append-only, hash-chained, one writer per run, durable before an order leaves.

Commits happen on the caller's thread: at a durable append, after COMMIT_EVENTS_MAX events, or COMMIT_AFTER_S after
the first event that waits (COMMIT_SIMULATED_AFTER_S where nothing need survive a crash). So a failure is seen by the
one who must stop trading, at the moment it happens.

What is committed is always how the run began, in its order and without a hole: no event is committed before a tick
that came before it. So whenever a process ends, its stored inputs make a fresh engine decide what the records say.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

import msgspec
from sqlalchemy import Connection, insert, select, update

from trading_core.clock import NS, SystemClock
from trading_core.errors import ConfigurationError, InvariantBroken, StorageError
from trading_core.events import ClockTicked, Event, Tick, encode
from trading_core.storage.chain import Head, first_head, next_hash
from trading_core.storage.database import BUSY_TIMEOUT_S, COPY_ROWS_MIN, Database, insert_rows, open_writer
from trading_core.storage.one_trip import commit_at_once
from trading_core.storage.tables import blocks, events, heads
from trading_core.storage.tail import whole_head
from trading_core.storage.tick_block import CODEC, OpenBlock
from trading_core.store_location import StoreLocation, located

Kind: TypeAlias = Literal["input", "record"]
KINDS: frozenset[str] = frozenset({"input", "record"})

COMMIT_EVENTS_MAX = 1_000
COMMIT_AFTER_S = 0.25  # viewers read what is committed
COMMIT_SIMULATED_AFTER_S = 2.0  # hours of venue time: the session's saves commit before that
BACKLOG_EVENTS_MAX = 50_000  # events that wait in memory while the store cannot be written

_encoder = msgspec.json.Encoder(order="sorted")
_stopwatch_ns = SystemClock().stopwatch_ns


class EventStore:
    """Writes the events of one run. Made by `open`; used by one thread.

    After a StorageError what was appended waits in memory and goes with the next commit that works; only an event
    beyond BACKLOG_EVENTS_MAX is not taken.
    """

    def __init__(self, database: Database, run_id: str, head: Head, epoch: int, *, is_durable: bool) -> None:
        self.run_id = run_id
        self._database = database
        self._committed = self._chained = head
        self._epoch = epoch
        self._is_durable = is_durable
        self._commit_after_ns = int((COMMIT_AFTER_S if is_durable else COMMIT_SIMULATED_AFTER_S) * NS)
        self._block = OpenBlock()
        self._events: list[dict[str, Any]] = []
        self._blocks: list[dict[str, Any]] = []
        self._waits_since_ns = 0
        self._has_failed = False
        self._is_open = True
        self._closed_because = ""

    @classmethod
    def open(
        cls,
        where: StoreLocation | Path,
        run_id: str,
        genesis: str,
        *,
        is_durable: bool = True,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> EventStore:
        """Open the run's chain for writing, or go on with it; whoever wrote it before is fenced off.

        A chain that goes on is verified first: a torn tail is set aside and said (TailRepaired), other damage is an
        IntegrityError. The genesis says what the chain is about, without the run id: two simulated runs with equal
        inputs then have equal digests. `is_durable=False` is for the simulated venue, where a crash loses nothing
        of value.
        """
        database = open_writer(located(where), is_durable=is_durable, busy_timeout_s=busy_timeout_s)
        try:
            with database.writing() as connection:
                epoch = _take_over(connection, run_id, genesis)
            head = whole_head(database, run_id, epoch)
        except BaseException:
            database.close()
            raise
        return cls(database, run_id, head, epoch, is_durable=is_durable)

    def append(self, event: Event, kind: str, durable: bool = False) -> int:
        """Append an event, an "input" or a "record", and return its seq.

        With `durable` it returns once the disk has the event and everything that came before it, ticks too. Raises
        StorageError if the store cannot be written: then no order may leave.
        """
        if kind not in KINDS:
            raise InvariantBroken(f"an event is an input or a record, kind was {kind!r}")
        self._require_room()
        if durable:
            self._cut_block()
        seq = self._chain(kind, type(event).__name__, event.ts_ns, encode(event))
        if durable and self._is_durable:
            self._commit()
        else:
            self._commit_if_due()
        return seq

    def append_tick(self, tick: Tick) -> None:
        """Put a tick into the open block; the chain covers it once the block is cut."""
        if self._closed_because or len(self._events) >= BACKLOG_EVENTS_MAX:
            self._require_room()
        if self._block.add(self._chained.seq, tick):
            self._cut_block()
            self._commit_if_due()
        elif type(tick) is ClockTicked:
            self._commit_if_due()  # what waits for viewers waits no longer than until the next second

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
        return self._is_durable

    def seal(self) -> None:
        """Flush and end the chain for good: nobody may append to the run any more."""
        self.flush()
        with self._database.writing() as connection:
            self._advance(connection, self._committed, is_sealed=True)
        self._closed_because = f"run {self.run_id} is sealed"

    def close(self) -> None:
        """Flush and close; may be called twice. Raises StorageError if the last events cannot be written."""
        if not self._is_open:
            return
        try:
            if not self._closed_because:
                self.flush()
        finally:
            self._closed_because = self._closed_because or f"the event store of run {self.run_id} is closed"
            self._is_open = False
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _require_open(self) -> None:
        if self._closed_because:
            raise StorageError(f"{self._closed_because}: nothing can be appended")

    def _require_room(self) -> None:
        self._require_open()
        if len(self._events) >= BACKLOG_EVENTS_MAX:
            self._commit_if_due()
        if len(self._events) >= BACKLOG_EVENTS_MAX:
            waiting = f"{len(self._events)} events wait in memory (limit {BACKLOG_EVENTS_MAX})"
            raise StorageError(f"{waiting} and {self._database.location} cannot be written: stop and free disk space")

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
        if is_full or _stopwatch_ns() - self._waits_since_ns >= self._commit_after_ns:
            self._commit()

    def _commit(self) -> None:
        """Commit what makes a whole beginning of the run: all of it, or up to the first tick of the open block."""
        if self._is_durable:
            # Runs on a real clock have no equal: where their blocks are cut may depend on it.
            self._cut_block()
        if not self._ready():
            return
        was_in_doubt, self._has_failed = self._has_failed, True
        try:
            ready = self._write(was_in_doubt)
        finally:
            # The next try after a failure is one waiting time from its end: a slow failure must not stop the loop.
            self._waits_since_ns = _stopwatch_ns()
        if ready:
            self._forget(ready)
        self._has_failed = False

    def _write(self, was_in_doubt: bool) -> int:
        """Write what is ready in one transaction; return how many events that was."""
        if self._database.location.is_server and not was_in_doubt and self._ready() < COPY_ROWS_MIN:
            return self._write_at_once(self._ready())
        with self._database.writing() as connection:
            if was_in_doubt:
                self._settle(connection)
            if ready := self._ready():
                head = Head(self._events[ready - 1]["seq"], self._events[ready - 1]["hash"])
                # The head first: it takes the write lock, and shows at once whether we are fenced off.
                self._advance(connection, head, is_sealed=False)
                insert_rows(connection, events, self._events[:ready])
                insert_rows(connection, blocks, self._blocks)
        return ready

    def _write_at_once(self, ready: int) -> int:
        last, tail_seq = self._events[ready - 1], self._committed.seq
        with self._database.committing() as connection:
            self._require_ours(commit_at_once(
                connection, self.run_id, self._epoch, tail_seq, Head(last["seq"], last["hash"]), self._events[:ready],
                self._blocks,
            ))
        return ready

    def _ready(self) -> int:
        """Return how many of the waiting events may be committed."""
        if not len(self._block):
            return len(self._events)
        return self._block.after_seq - self._committed.seq

    def _settle(self, connection: Connection) -> None:
        """Find out about a commit whose answer was lost: what the store has is not written again."""
        row = connection.execute(
            select(heads.c.seq, heads.c.hash, heads.c.epoch).where(heads.c.run_id == self.run_id)
        ).one()
        count = row.seq - self._committed.seq
        is_ours = row.epoch == self._epoch and 0 < count <= len(self._events)
        if is_ours and self._events[count - 1]["hash"] == row.hash:
            self._forget(count)

    def _forget(self, count: int) -> None:
        """Drop the first waiting events: the store has them."""
        last = self._events[count - 1]
        self._committed = Head(last["seq"], last["hash"])
        del self._events[:count]
        self._blocks = [block for block in self._blocks if block["seq"] > self._committed.seq]

    def _advance(self, connection: Connection, head: Head, *, is_sealed: bool) -> None:
        mine = (heads.c.run_id == self.run_id, heads.c.seq == self._committed.seq, heads.c.epoch == self._epoch)
        moved = connection.execute(
            update(heads).where(*mine, heads.c.is_sealed.is_(False)).values(
                seq=head.seq, hash=head.hash, is_sealed=is_sealed, tail_seq=self._committed.seq
            )
        )
        self._require_ours(moved.rowcount == 1)

    def _require_ours(self, has_moved: bool) -> None:
        if not has_moved:
            self._closed_because = f"another writer took over run {self.run_id}"
            raise StorageError(f"{self._closed_because}: this one is fenced off, stop it")


def _take_over(connection: Connection, run_id: str, genesis: str) -> int:
    """Return the epoch of the run's new writer; from here on the one before it commits nothing."""
    row = connection.execute(select(heads).where(heads.c.run_id == run_id)).first()
    if row is None:
        head = first_head(genesis)
        connection.execute(
            insert(heads).values(
                run_id=run_id, genesis=genesis, seq=0, hash=head.hash, epoch=1, is_sealed=False, tail_seq=0
            )
        )
        return 1
    if row.genesis != genesis:
        raise ConfigurationError(f"run {run_id} began as {row.genesis!r} and cannot go on as {genesis!r}")
    if row.is_sealed:
        raise StorageError(f"run {run_id} is sealed: nothing can be appended, start a new run")
    connection.execute(update(heads).where(heads.c.run_id == run_id).values(epoch=row.epoch + 1))
    return int(row.epoch) + 1
