"""Orders: what we intend, which states an order passes, what the venue reports of it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from trading_core.errors import InvariantBroken
from trading_core.money import ZERO, Notional, Price, Size


class Side(StrEnum):
    """Buy or sell."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> Side:
        """Return the other side."""
        return Side.SELL if self is Side.BUY else Side.BUY

    @property
    def sign(self) -> int:
        """Return +1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    """The order types that the policy knows."""

    LIMIT = "LIMIT"
    STOP_LIMIT = "STOP_LIMIT"
    BRACKET = "BRACKET"  # take-profit limit and stop trigger in one order, which ends with either
    MARKET = "MARKET"


class TimeInForce(StrEnum):
    """How long an order stands. GTD is known so that it can be refused."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"


class Liquidity(StrEnum):
    """Whether a fill made or took liquidity."""

    MAKER = "MAKER"
    TAKER = "TAKER"
    UNKNOWN = "UNKNOWN"


class Purpose(StrEnum):
    """Why an order exists. Probes are left out of the acceptance rate; nothing else is."""

    ENTRY = "ENTRY"
    EXIT = "EXIT"
    PROBE_CROSSING = "PROBE_CROSSING"
    PROBE_OVERSIZE = "PROBE_OVERSIZE"
    PROBE_STOP = "PROBE_STOP"
    PROBE_ENTRY_WHILE_REDUCING = "PROBE_ENTRY_WHILE_REDUCING"
    PROBE_EXIT_WHILE_REDUCING = "PROBE_EXIT_WHILE_REDUCING"
    EMERGENCY = "EMERGENCY"


class OrderStatus(StrEnum):
    """The states of an order as we know them."""

    DENIED = "DENIED"
    SUBMITTED = "SUBMITTED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    REJECTED = "REJECTED"
    OPEN = "OPEN"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        """Tell whether no further change is expected, save late fills."""
        return self in FINAL

    @property
    def may_be_at_venue(self) -> bool:
        """Tell whether the order may rest at the venue now."""
        return self in LIVE


_S = OrderStatus
FINAL = frozenset({_S.DENIED, _S.REJECTED, _S.FILLED, _S.CANCELLED, _S.EXPIRED, _S.FAILED})
LIVE = frozenset({_S.SUBMITTED, _S.OUTCOME_UNKNOWN, _S.OPEN, _S.CANCEL_REQUESTED})
ALLOWED: frozenset[tuple[OrderStatus, OrderStatus]] = frozenset(
    {
        (_S.SUBMITTED, _S.OPEN),
        (_S.SUBMITTED, _S.REJECTED),
        (_S.SUBMITTED, _S.DENIED),  # stored, but withheld at the last moment: it never left
        (_S.SUBMITTED, _S.OUTCOME_UNKNOWN),
        (_S.OUTCOME_UNKNOWN, _S.OPEN),
        (_S.OUTCOME_UNKNOWN, _S.REJECTED),  # asked, and the venue does not know it
        # The user channel may overtake the REST acknowledgement, so every later state may come first.
        *((a, b) for a in (_S.SUBMITTED, _S.OUTCOME_UNKNOWN) for b in
          (_S.FILLED, _S.CANCELLED, _S.EXPIRED, _S.FAILED, _S.CANCEL_REQUESTED)),
        *((_S.OPEN, b) for b in (_S.FILLED, _S.CANCELLED, _S.EXPIRED, _S.FAILED, _S.CANCEL_REQUESTED)),
        *((_S.CANCEL_REQUESTED, b) for b in (_S.FILLED, _S.CANCELLED, _S.EXPIRED, _S.FAILED)),
        (_S.CANCEL_REQUESTED, _S.OPEN),  # the venue refused the cancel
        (_S.CANCELLED, _S.FILLED),  # a fill that was on its way when the cancel was confirmed
        # The venue denied knowing the order, three times, and then reports it after all.
        *((_S.REJECTED, b) for b in (_S.OPEN, _S.CANCEL_REQUESTED, _S.FILLED, _S.CANCELLED, _S.EXPIRED, _S.FAILED)),
    }
)


def require_transition(before: OrderStatus, after: OrderStatus) -> None:
    """Raise InvariantBroken unless the table allows the step."""
    if (before, after) not in ALLOWED:
        raise InvariantBroken(f"an order cannot go from {before} to {after}")


class Bracket(msgspec.Struct, frozen=True, kw_only=True):
    """What guards the fills of an entry at the venue: a take-profit limit and the trigger of a stop."""

    take_profit: Price
    stop_loss: Price


class OrderIntent(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy or a protocol step wants, before sizing, policy and risk have seen it."""

    product_id: str
    side: Side
    size: Size
    limit_price: Price | None
    purpose: Purpose
    order_type: OrderType = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False
    stop_price: Price | None = None
    cancel_after_s: int | None = None
    signal_id: str = ""
    attached: Bracket | None = None


class VenueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the venue reports it: cumulative, over REST or on the user channel."""

    order_id: str
    client_order_id: str
    product_id: str
    side: Side
    status: OrderStatus
    filled_size: Size = ZERO
    average_price: Price = ZERO
    total_fees: Notional = ZERO
    size: Size = ZERO
    limit_price: Price | None = None
    reason: str = ""
    order_type: str = "LIMIT"
    time_in_force: str = "GTC"
    attached_order_id: str = ""  # of the bracket that guards its fills
    is_edit_pending: bool = False  # an edit was taken and is not applied yet: its figures are still the old ones


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution, confirmed by the fills endpoint; `entry_id` is its key."""

    entry_id: str
    trade_id: str
    order_id: str
    product_id: str
    side: Side
    price: Price
    size: Size
    commission: Notional
    liquidity: Liquidity
    ts_ns: int
