"""The events of a run, indexed once, so that each metric can look the raw truth up again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple, TypeVar, cast

from trading_core import events as ev
from trading_core.artifacts import Trace
from trading_core.gate.outcomes import Reason
from trading_core.metrics.evidence import Evidence, Unusable
from trading_core.orders import OrderIntent, OrderStatus
from trading_core.plan import Criterion, Plan

E = TypeVar("E", bound=ev.Event)
# Only an order that the venue took can be in one of these.
TAKEN = frozenset(
    {OrderStatus.OPEN, OrderStatus.CANCEL_REQUESTED, OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.EXPIRED}
)


class Placed(NamedTuple):
    """An order as it was sent, with the seq of its record and the step or strategy that wanted it."""

    seq: int
    ts_ns: int
    client_order_id: str
    signal_id: str
    source: str
    intent: OrderIntent


class Facts:
    """Events by type, in order, each with its seq."""

    def __init__(self, events: Iterable[tuple[int, ev.AnyEvent]]) -> None:
        self._by_type: dict[type[ev.Event], list[tuple[int, ev.Event]]] = defaultdict(list)
        self.last_seq = 0
        self.first_ns = 0
        self.last_ns = 0
        for seq, event in events:
            if isinstance(event, ev.BookChanged | ev.TradePrinted | ev.HeartbeatReceived):
                continue
            self._by_type[type(event)].append((seq, event))
            self.last_seq = seq
            self.first_ns = min(self.first_ns or event.ts_ns, event.ts_ns)
            self.last_ns = max(self.last_ns, event.ts_ns)

    def of(self, kind: type[E]) -> list[tuple[int, E]]:
        """Return the events of one type."""
        return cast("list[tuple[int, E]]", self._by_type.get(kind, []))

    @property
    def window_s(self) -> int:
        """Return the whole seconds from the first event to the last."""
        return (self.last_ns - self.first_ns) // 1_000_000_000

    def step(self, name: str) -> tuple[int, ev.StepEnded] | None:
        """Return the last end of the protocol step."""
        return next((row for row in reversed(self.of(ev.StepEnded)) if row[1].step == name), None)

    @cached_property
    def placed(self) -> list[Placed]:
        """Every order that was stored to be sent and was not withheld."""
        sources = {signal.signal_id: signal.source for _, signal in self.of(ev.SignalRaised)}
        held = {event.client_order_id for _, event in self.of(ev.SubmitWithheld)}
        return [
            Placed(seq, e.ts_ns, e.client_order_id, e.signal_id, sources.get(e.signal_id, ""), e.intent)
            for seq, e in self.of(ev.OrderSubmitted) if e.client_order_id not in held
        ]

    def accepted(self) -> dict[str, tuple[int, ev.OrderAccepted]]:
        """Return the acceptances by client order id."""
        return {event.client_order_id: (seq, event) for seq, event in self.of(ev.OrderAccepted)}

    def taken(self) -> dict[str, int]:
        """Return the seq that shows each order at the venue: its acceptance, or its report if the answer was lost."""
        seqs = {name: seq for name, (seq, _) in self.accepted().items()}
        lost = {event.client_order_id for _, event in self.of(ev.OrderLost)}
        for seq, event in self.of(ev.OrderReported):
            if event.order.client_order_id in lost and event.order.status in TAKEN:
                seqs.setdefault(event.order.client_order_id, seq)
        return seqs

    def rejected(self) -> dict[str, tuple[int, ev.OrderRejected]]:
        """Return the rejections by client order id."""
        return {event.client_order_id: (seq, event) for seq, event in self.of(ev.OrderRejected)}

    def fills(self) -> list[tuple[int, ev.FillBooked]]:
        """Return the fills, each entry id once."""
        once: dict[str, tuple[int, ev.FillBooked]] = {}
        for seq, event in self.of(ev.FillBooked):
            once.setdefault(event.fill.entry_id, (seq, event))
        return list(once.values())


@dataclass(frozen=True, slots=True)
class View:
    """All that a metric may look at."""

    plan: Plan
    criterion: Criterion
    evidence: Evidence
    facts: Facts
    chain_error: str | None

    @property
    def metric(self) -> str:
        """Return the name of the metric asked for."""
        return self.criterion.metric

    def limit(self, otherwise: Decimal) -> Decimal:
        """Return the criterion's limit, or the given one."""
        return otherwise if self.criterion.limit is None else self.criterion.limit


def sent_traces(traces: Iterable[Trace]) -> list[Trace]:
    """Return the traces whose order left for the venue; raises Unusable if there is none."""
    found = [t for t in traces if t.submit is not None and not (t.denial and t.denial.is_withheld)]
    if not found:
        raise Unusable(Reason.EMPTY, "no order was sent")
    return found
