"""What the engine wants done: the session does it, and tells the engine what came of it as events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from trading_core.events import AnyEvent
from trading_core.risk import ApprovedOrder
from trading_core.trading_state import TradingState


@dataclass(frozen=True, slots=True)
class SubmitOrder:
    """Send the order; its OrderSubmitted record is durable by then."""

    order: ApprovedOrder


@dataclass(frozen=True, slots=True)
class EditOrder:
    """Ask the venue to give a resting order the approved one's price and total size; EditRequested is durable."""

    order: ApprovedOrder
    order_id: str


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Ask the venue to cancel."""

    client_order_id: str
    order_id: str


@dataclass(frozen=True, slots=True)
class AskOrder:
    """Ask the venue what became of an order; by our id if it has no other."""

    client_order_id: str
    order_id: str


@dataclass(frozen=True, slots=True)
class FetchFills:
    """Read the fills of one order."""

    order_id: str


@dataclass(frozen=True, slots=True)
class ReadAccount:
    """Read balances, positions and margin."""


@dataclass(frozen=True, slots=True)
class ReadFeeTier:
    """Read the account's fee tier."""


@dataclass(frozen=True, slots=True)
class ReadFunding:
    """Read the rate at which a perpetual future was settled last."""

    product_id: str


@dataclass(frozen=True, slots=True)
class TightenState:
    """Tighten the account's trading state."""

    state: TradingState
    reason: str


@dataclass(frozen=True, slots=True)
class Resubscribe:
    """Start the market data again from snapshots: what came so far is not to be trusted."""

    reason: str


@dataclass(frozen=True, slots=True)
class SaveArtifacts:
    """Save what there is so far."""


VenueCommand: TypeAlias = (
    SubmitOrder | EditOrder | CancelOrder | AskOrder | FetchFills | ReadAccount | ReadFeeTier | ReadFunding
)
Command: TypeAlias = VenueCommand | TightenState | Resubscribe | SaveArtifacts


@dataclass(slots=True)
class Decisions:
    """The engine's answer to one event: records to store first, then commands to carry out, both in order."""

    records: list[AnyEvent] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
