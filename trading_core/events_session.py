"""Events of a session itself: how a run began, and how it went on after a crash. All of them are inputs."""

from __future__ import annotations

from decimal import Decimal

from trading_core.events_market import Event
from trading_core.orders import VenueOrder
from trading_core.products import Product


class SessionStarted(Event, frozen=True, kw_only=True, tag=True):
    """The first event of a run: its window counts from here, and whoever goes on must go on with the same.

    `exchange_ns` is when the local exchange of the run began, 0 at a venue that outlives runs: a new exchange knows
    nothing of the orders of an old one.
    """

    plan_digest: str
    subject_digest: str
    exchange_ns: int
    products: tuple[Product, ...]


class SessionResumed(Event, frozen=True, kw_only=True, tag=True):
    """The run goes on after a crash: nobody watched since `last_ns`, and so many orders were in flight then."""

    last_ns: int
    in_flight: int


class StrayOrderFound(Event, frozen=True, kw_only=True, tag=True):
    """An open order with our prefix that the store does not know: cancelled, and an incident."""

    order: VenueOrder


class TransferFiled(Event, frozen=True, kw_only=True, tag=True):
    """A named operator announced money moved in (negative: out) of the account, at `filed_ns`."""

    transfer_id: str
    filed_ns: int
    currency: str
    amount: Decimal
    why: str
    operator: str


class TransferBooked(Event, frozen=True, kw_only=True, tag=True):
    """The venue's balances show an announced transfer to the last cent: it is in the books now."""

    transfer_id: str
    currency: str
    amount: Decimal


class RequestRepeated(Event, frozen=True, kw_only=True, tag=True):
    """A request about one order was sent again so many times, for no answer came or its token was refused.

    `request` is the command's name; a create is only ever repeated after a refused token.
    """

    request: str
    times: int
    client_order_id: str = ""
    order_id: str = ""


class SessionReconciled(Event, frozen=True, kw_only=True, tag=True):
    """After a crash the venue has answered for every order, and our books hold what it holds: the protocol goes on."""

    asked: int
    strays: int
