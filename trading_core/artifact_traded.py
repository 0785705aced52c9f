"""What a run's orders came to in money, kept as sums as they come. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from decimal import Decimal

from trading_core.artifact_figures import ImpactFigures
from trading_core.artifact_orders import SizedDownRow, Trace
from trading_core.artifact_refusals import was_accepted, was_sent
from trading_core.money import ONE, ZERO
from trading_core.orders import Purpose

FINE = Decimal("0.0001")


@dataclass
class Traded:
    """What the orders of one product came to."""

    fills: int = 0
    bought: Decimal = ZERO
    sold: Decimal = ZERO
    fees: Decimal = ZERO
    position: Decimal = ZERO
    notional: Decimal = ZERO  # of the fills whose slippage is known
    slipped: Decimal = ZERO  # their slippage in bps, times their notional
    unfilled: Decimal = ZERO  # notional at the mid at submit

    def add(self, trace: Trace, contract_size: Decimal) -> None:
        """Take a trace."""
        filled = ZERO
        for fill in trace.fills:
            filled += fill.size
            self.fills += 1
            if fill.side.sign > 0:
                self.bought += fill.notional
            else:
                self.sold += fill.notional
            self.fees += fill.commission
            self.position += fill.size * fill.side.sign
            if fill.slippage_bps is not None:
                self.notional += fill.notional
                self.slipped += fill.slippage_bps * fill.notional
        if trace.submit is not None and was_sent(trace) and not trace.is_probe:
            self.unfilled += max(trace.last_size - filled, ZERO) * contract_size * trace.submit.mid


class TradedSoFar:
    """What the orders came to by product, and the signals to enter."""

    def __init__(self, contract_sizes: Mapping[str, Decimal]) -> None:
        self.by_symbol: dict[str, Traded] = {}
        self.entries = self.entries_accepted = 0
        self._contract_sizes = contract_sizes

    def add(self, trace: Trace) -> None:
        """Take a trace."""
        name = trace.product_id
        self.by_symbol.setdefault(name, Traded()).add(trace, self.contract_size(name))
        if trace.signal is not None and trace.purpose is Purpose.ENTRY:
            self.entries += 1
            self.entries_accepted += was_accepted(trace)

    def with_live(self, traces: Iterable[Trace]) -> TradedSoFar:
        """Return what these traces make of it; this one stays as it is."""
        both = copy(self)
        both.by_symbol = {name: replace(found) for name, found in self.by_symbol.items()}
        for trace in traces:
            both.add(trace)
        return both

    def of(self, product_id: str) -> Traded:
        """Return what the product's orders came to."""
        return self.by_symbol.get(product_id) or Traded()

    def contract_size(self, product_id: str) -> Decimal:
        """Return the base units in one unit of size."""
        return self._contract_sizes.get(product_id, ONE)


class ImpactSoFar:
    """What sizing expected of the orders that it cut, beside what the fills would have cost."""

    def __init__(self) -> None:
        self._n, self._model, self._realized = 0, ZERO, ZERO

    def add(self, cut: SizedDownRow) -> None:
        """Take a cut; one without a figure of the book says nothing."""
        if cut.realized_impact_bps is not None:
            self._n += 1
            self._model += cut.model_impact_bps
            self._realized += cut.realized_impact_bps

    def with_live(self, cuts: Iterable[SizedDownRow]) -> ImpactSoFar:
        """Return what these cuts make of it; this one stays as it is."""
        both = copy(self)
        for cut in cuts:
            both.add(cut)
        return both

    def figures(self) -> ImpactFigures | None:
        """Return the means; None if nothing was cut."""
        if not self._n:
            return None
        model, realized = self._model / self._n, self._realized / self._n
        return ImpactFigures(n=self._n, model_bps=model.quantize(FINE), realized_bps=realized.quantize(FINE))
