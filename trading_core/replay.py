"""Proof by replay: a fresh engine, fed with a run's stored inputs, decides what the run did.

Every link of the chain is made again on the way: inputs and ticks as they were stored, records as the replay decided
them. So the digest at the end is the run's own only if everything is.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from heapq import merge

import msgspec

from trading_core import events as ev
from trading_core.commands import EditOrder, SubmitOrder
from trading_core.engine import Engine
from trading_core.errors import ConfigurationError, IntegrityError
from trading_core.ledger import Totals
from trading_core.run import RunContext
from trading_core.stages.live_micro_test import make_engine
from trading_core.storage.chain import Head, first_head, next_hash
from trading_core.storage.event_reader import EventReader
from trading_core.storage.tick_block import OpenBlock
from trading_core.storage.verify import Link
from trading_core.strategies.port import load_strategy

SHOWN_MAX = 300  # characters of an event that a sentence repeats


@dataclass(slots=True, kw_only=True)
class Replayed:
    """What a replay came to. It equals the run if `difference` is empty."""

    inputs: int = 0
    ticks: int = 0
    records: int = 0  # stored ones that the replay made as well
    cut_off: int = 0  # decided by the replay at the very end, and never stored: the run was ended before
    commands: Counter[str] = field(default_factory=Counter)
    figures: Totals | None = None  # of the ledger at the last snapshot, None without one
    digest: str = ""
    difference: str = ""


def replay_run(context: RunContext, reader: EventReader) -> Replayed:
    """Replay the run and compare; the first difference ends it.

    Raises ConfigurationError for a run that has no events of a session, or that an older build stored without its
    products.
    """
    found = Replayed()
    replay = _Replay(context, _engine_of(context, reader), found)
    try:
        head = reader.verify()
        found.digest = head.hash
        replay.run(reader, head)
    except IntegrityError as e:
        found.difference = str(e)
    return found


def _engine_of(context: RunContext, reader: EventReader) -> Engine:
    first = next(reader.events(types=(ev.SessionStarted.__name__,)), None)
    if first is None or not isinstance(began := first.event, ev.SessionStarted):
        raise ConfigurationError(f"run {context.run_id} has no SessionStarted: only a run that began to trade replays")
    if began.plan_digest != context.plan.digest:
        raise ConfigurationError(
            f"run {context.run_id} began with plan {began.plan_digest[:12]}, its directory has "
            f"{context.plan.digest[:12]}: give the directory of this run"
        )
    return make_engine(context, began, load_strategy(context.plan.entry, context.seed))


class _Replay:
    def __init__(self, context: RunContext, engine: Engine, found: Replayed) -> None:
        self._engine = engine
        self._found = found
        self._head = first_head(context.order_prefix)
        self._block = OpenBlock()
        self._expected: deque[ev.AnyEvent] = deque()
        self._end: ev.StepEnded | None = None
        self._totals: Totals | None = None

    def run(self, reader: EventReader, top: Head) -> None:
        """Take the chain up to its head; raises IntegrityError at the first difference."""
        links = ((link.seq, 0, link) for link in reader.links(top.seq))
        ticks = ((placed.after_seq, 1, placed.tick) for placed in reader.placed_ticks(top.seq))
        for after_seq, _, item in merge(links, ticks, key=lambda one: one[:2]):
            if isinstance(item, Link):
                self._take(item)
            else:
                self._block.add(after_seq, item)
                self._found.ticks += 1
                self._feed(item, after_seq)
        self._found.cut_off = len(self._expected)
        if self._head != top:
            raise IntegrityError(f"event {top.seq}: the replay's digest is {self._head.hash}, the run's {top.hash}")

    def _take(self, link: Link) -> None:
        match link.kind:
            case "block":
                stored, _ = self._block.take()
                payload = msgspec.json.encode(stored, order="sorted")
            case "record":
                payload = self._record(link)
            case _:
                payload = self._input(link)
        head = Head(link.seq, next_hash(self._head.hash, link.kind, payload))
        if head.hash != link.hash:
            raise IntegrityError(f"event {link.seq}: the replay makes another link of it")
        self._head = head

    def _record(self, link: Link) -> bytes:
        made = self._expected.popleft() if self._expected else None
        payload = b"" if made is None else ev.encode(made)
        if payload != link.payload:
            was = link.payload.decode(errors="replace")
            raise IntegrityError(f"event {link.seq}: the run decided {_cut(was)}, its replay {_shown(made)}")
        if isinstance(made, ev.SnapshotTaken):
            self._compare_books(link.seq, made)
        self._found.records += 1
        return payload

    def _input(self, link: Link) -> bytes:
        event = ev.decode(link.payload)
        self._found.inputs += 1
        if self._end is not None:
            # A session that was started again has seen how the one before it ended; that one had not.
            end, self._end = self._end, None
            self._feed(end, link.seq)
        if isinstance(event, ev.StepEnded):
            self._end = event
        elif not isinstance(event, ev.TailRepaired):  # the store's own
            self._feed(event, link.seq)
        return ev.encode(event)

    def _feed(self, event: ev.AnyEvent, seq: int) -> None:
        if self._expected:
            raise IntegrityError(f"event {seq}: before it the replay decided {_shown(self._expected[0])}, the run not")
        decisions = self._engine.process(event)
        self._expected.extend(decisions.records)
        self._found.commands.update(type(command).__name__ for command in decisions.commands)
        sent = [c.order.client_order_id for c in decisions.commands if isinstance(c, SubmitOrder | EditOrder)]
        kept = [r.client_order_id for r in decisions.records if isinstance(r, ev.OrderSubmitted | ev.EditRequested)]
        if sent != kept:
            raise IntegrityError(f"event {seq}: the replay sends orders {sent} and records {kept}")
        ledger = self._engine.desk.ledger
        if ledger is not None and any(isinstance(record, ev.SnapshotTaken) for record in decisions.records):
            self._totals = ledger.totals()

    def _compare_books(self, seq: int, stored: ev.SnapshotTaken) -> None:
        totals = self._totals
        if totals is None:
            raise IntegrityError(f"event {seq}: the run took a snapshot of its books, the replay has none")
        for name in Totals._fields:
            if getattr(totals, name) != getattr(stored, name):
                raise IntegrityError(
                    f"event {seq}: {name} was {getattr(stored, name)} in the run and is {getattr(totals, name)} "
                    "in the replay's ledger"
                )
        self._found.figures = totals


def _shown(event: ev.AnyEvent | None) -> str:
    return "nothing" if event is None else _cut(ev.encode(event).decode())


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"
