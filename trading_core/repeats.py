"""Says of which order a request was sent again, so that retries are counted for each order."""

from __future__ import annotations

from trading_core.commands import AskOrder, CancelOrder, Command, EditOrder, FetchFills, SubmitOrder
from trading_core.events_session import RequestRepeated


def repeats_of(command: Command, times: int, ts_ns: int) -> list[RequestRepeated]:
    """Return the event for a command about one order; none for a question about the account."""
    client_order_id = order_id = ""
    match command:
        case SubmitOrder(order=order):
            client_order_id = order.client_order_id
        case EditOrder(order=order, order_id=order_id):
            client_order_id = order.client_order_id
        case AskOrder() | CancelOrder():
            client_order_id, order_id = command.client_order_id, command.order_id
        case FetchFills():
            order_id = command.order_id
        case _:
            return []
    name = type(command).__name__
    return [RequestRepeated(
        ts_ns=ts_ns, request=name, times=times, client_order_id=client_order_id, order_id=order_id
    )]
