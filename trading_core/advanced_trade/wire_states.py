"""Coinbase's order states, order types and times in force in our words: REST and the user channel share them."""

from __future__ import annotations

from trading_core.orders import OrderStatus, TimeInForce

_STATUS = {
    # Accepted but not on the book, or waiting for a session: it may trade, so it counts as open.
    "PENDING": OrderStatus.OPEN,
    "QUEUED": OrderStatus.OPEN,
    "EDIT_QUEUED": OrderStatus.OPEN,
    "OPEN": OrderStatus.OPEN,
    "CANCEL_QUEUED": OrderStatus.CANCEL_REQUESTED,
    "FILLED": OrderStatus.FILLED,
    "CANCELLED": OrderStatus.CANCELLED,
    "EXPIRED": OrderStatus.EXPIRED,
    "FAILED": OrderStatus.FAILED,
}
_TIME_IN_FORCE = {
    "GOOD_UNTIL_CANCELLED": TimeInForce.GTC,
    "IMMEDIATE_OR_CANCEL": TimeInForce.IOC,
    "FILL_OR_KILL": TimeInForce.FOK,
    "GOOD_UNTIL_DATE_TIME": TimeInForce.GTD,
}


def status_of(text: str, *, is_cancel_pending: bool = False) -> OrderStatus:
    """Return our status; one that we do not know may be at the venue, so it counts as open."""
    status = _STATUS.get(text, OrderStatus.OPEN)
    return OrderStatus.CANCEL_REQUESTED if is_cancel_pending and status is OrderStatus.OPEN else status


def is_edit_pending(text: str) -> bool:
    """Tell whether the venue has taken an edit of the order and has not applied it yet."""
    return text == "EDIT_QUEUED"


def time_in_force_of(text: str) -> str:
    """Return GTC, IOC, FOK or GTD; the venue's own word if it is another."""
    return str(_TIME_IN_FORCE.get(text.upper().replace(" ", "_"), text))


def order_type_of(text: str) -> str:
    """Return the order type in REST's spelling: the user channel writes "Stop Limit" as well as "LIMIT"."""
    return text.upper().replace(" ", "_")


def meaning(reject_reason: str) -> str:
    """Return why the venue gave the order up; empty if it did not."""
    return "" if reject_reason == "REJECT_REASON_UNSPECIFIED" else reject_reason
