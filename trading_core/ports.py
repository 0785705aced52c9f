"""What the core needs from the outside: a feed to read, a venue to ask, a broker to trade through."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol, TypeAlias

import msgspec

from trading_core.events import AccountRead, AnyEvent, FeeTierRead, Levels
from trading_core.money import Notional, Price
from trading_core.orders import Fill, OrderIntent, VenueOrder
from trading_core.products import Product
from trading_core.risk import ApprovedOrder


class Accepted(msgspec.Struct, frozen=True):
    """The venue accepted the order under this id. It may still fail later, on the user channel."""

    order_id: str
    attached_order_id: str = ""  # of the bracket that guards its fills


class Rejected(msgspec.Struct, frozen=True):
    """The venue refused the order: Coinbase's enum, whether the refusal is an expected one, its words."""

    reason: str
    is_expected: bool
    message: str = ""


SubmitAnswer: TypeAlias = Accepted | Rejected


class CancelAnswer(msgspec.Struct, frozen=True):
    """What the venue says to one cancel request."""

    order_id: str
    is_accepted: bool
    reason: str = ""


class EditAnswer(msgspec.Struct, frozen=True):
    """What the venue says to an edit; a refusal leaves the order as it was, an accepted one may still take a moment."""

    is_accepted: bool
    reason: str = ""
    is_expected: bool = True  # of a refusal: normal trading may meet it


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue would say to an order; `errors` are PreviewFailureReason values, empty if it would pass."""

    errors: tuple[str, ...]
    order_total: Notional
    commission_total: Notional
    best_bid: Price | None
    best_ask: Price | None


class KeyPermissions(msgspec.Struct, frozen=True):
    """What the API key may do, and the one portfolio it is bound to."""

    can_view: bool
    can_trade: bool
    can_transfer: bool
    portfolio_id: str


class BookSnapshot(msgspec.Struct, frozen=True):
    """A book read over REST, in ticks and lots, best first."""

    product_id: str
    bids: Levels
    asks: Levels
    ts_ns: int


class Candle(msgspec.Struct, frozen=True):
    """One bar; `start_s` is its opening time in UNIX seconds."""

    start_s: int
    low: Price
    high: Price
    open: Price
    close: Price
    volume: Decimal


class Feed(Protocol):
    """Market data and order updates, in the order in which they arrived."""

    def start(self, products: Sequence[Product], *, with_bars: bool = False) -> None:
        """Connect and subscribe; returns when the connection is up. Raises VenueUnavailable.

        What is subscribed follows from the products; `with_bars` also asks for the venue's five-minute bars.
        """
        ...

    def resubscribe(self, reason: str) -> None:
        """Start the market data again: a GAP, then CONNECTED and a snapshot of each book."""
        ...

    def poll(self, deadline_ns: int) -> list[AnyEvent]:
        """Return what arrived; wait until something does, or until venue time reaches the deadline."""
        ...

    def close(self) -> None:
        """End the connection. May be called twice."""
        ...


class Venue(Protocol):
    """Questions that change nothing. Every method raises a VenueError when the venue does not answer."""

    def server_time_ns(self) -> int:
        """Return the venue's clock."""
        ...

    def key_permissions(self) -> KeyPermissions:
        """Return what our key may do."""
        ...

    def products(self) -> list[Product]:
        """Return every spot product and every future."""
        ...

    def product(self, product_id: str) -> Product:
        """Return one product; raises BadRequest if there is none."""
        ...

    def book(self, product_id: str, levels: int) -> BookSnapshot:
        """Return the book's best levels."""
        ...

    def candles(self, product_id: str, start_s: int, end_s: int, granularity: str) -> list[Candle]:
        """Return bars, oldest first; at most 350."""
        ...

    def account(self) -> AccountRead:
        """Return balances, positions and margin as the venue sees them now."""
        ...

    def fee_tier(self) -> FeeTierRead:
        """Return the account's fee tier."""
        ...

    def preview(self, intent: OrderIntent) -> Preview:
        """Ask what would happen to an order, without placing it."""
        ...

    def open_orders(self) -> list[VenueOrder]:
        """Return every order of the account that may still trade, whoever placed it."""
        ...

    def order(self, order_id: str) -> VenueOrder:
        """Return one order by the venue's id; raises BadRequest if there is none."""
        ...

    def find_order(self, client_order_id: str) -> VenueOrder | None:
        """Return the order with our id, or None if the venue does not know it."""
        ...

    def fills(self, order_id: str) -> list[Fill]:
        """Return the fills of one order, oldest first."""
        ...

    def repeats(self) -> int:
        """Return how many requests were sent again so far; whoever wants those of one order looks before and after."""
        ...

    def schema_drift(self) -> list[str]:
        """Return what the answers so far had too much or too little against the contract, once each."""
        ...


class Broker(Venue, Protocol):
    """A venue that can also trade."""

    def submit(self, order: ApprovedOrder) -> SubmitAnswer:
        """Place the order. Raises OutcomeUnknown if it may or may not have been placed."""
        ...

    def cancel(self, order_ids: Sequence[str]) -> list[CancelAnswer]:
        """Ask the venue to cancel, at most 100 at a time."""
        ...

    def edit(self, order_id: str, order: ApprovedOrder) -> EditAnswer:
        """Give a resting order the price and the total size of the approved one. Raises OutcomeUnknown like submit."""
        ...
