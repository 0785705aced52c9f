"""What follows from a run's decision traces, without going through all of them at each save."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from trading_core.artifact_base import Header
from trading_core.artifact_derive import LatenciesSoFar, ShownSoFar
from trading_core.artifact_figures import LatencyRow, OrderLatencies
from trading_core.artifact_orders import RefusalRow, RejectionBreakdown, Trace
from trading_core.artifact_refusals import RefusalsSoFar
from trading_core.artifact_traded import TradedSoFar
from trading_core.plan import Plan


class OrdersSoFar:
    """Counts and sums of the settled traces; each look adds those that may still change, and keeps nothing of them."""

    def __init__(self, plan: Plan, contract_sizes: Mapping[str, Decimal]) -> None:
        self._refusals = RefusalsSoFar()
        self._latencies = LatenciesSoFar()
        self._traded = TradedSoFar(contract_sizes)
        self._shown = ShownSoFar(plan)

    def settle(self, traces: Sequence[Trace], before_seq: int) -> tuple[list[LatencyRow], list[RefusalRow]]:
        """Take traces that change no more, in their order; return the rows that follow and change no more either.

        `before_seq` is the first event of a trace that is not settled.
        """
        for trace in traces:
            self._traded.add(trace)
            self._shown.add(trace)
        return self._latencies.settle(traces), self._refusals.settle(traces, before_seq)

    def refusals(self, header: Header, live: Sequence[Trace]) -> RejectionBreakdown:
        """Return the rejection breakdown; its rows are those that `settle` did not return."""
        return self._refusals.artifact(header, live)

    def latencies(self, header: Header, live: Sequence[Trace]) -> OrderLatencies:
        """Return the latencies; its rows are those that `settle` did not return."""
        return self._latencies.artifact(header, live)

    def traded(self, live: Sequence[Trace]) -> TradedSoFar:
        """Return what all orders came to."""
        return self._traded.with_live(live)

    def shown(self, live: Sequence[Trace]) -> ShownSoFar:
        """Return what all orders have shown."""
        return self._shown.with_live(live)
