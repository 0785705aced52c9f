"""Pre-trade checks as plain functions, each named after its rule; the only maker of an ApprovedOrder."""

from __future__ import annotations

from dataclasses import dataclass

from trading_core.errors import InvariantBroken
from trading_core.orders import OrderIntent

_SEAL = object()


@dataclass(frozen=True, slots=True)
class ApprovedOrder:
    """An intent that passed every check, with its client order id. Made by `approve` only."""

    client_order_id: str
    intent: OrderIntent
    seal: object

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise InvariantBroken("an ApprovedOrder is made by trading_core.risk.approve only")
