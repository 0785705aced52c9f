"""Brackets attached to an order: what guards a fill before anything was filled."""

from __future__ import annotations

from trading_core.local_exchange.model import (
    Attached,
    ExchangeOrder,
    NewOrder,
    OrderConfig,
    TriggerStatus,
    WireStatus,
)


def attached_to(order: ExchangeOrder, attached: Attached, order_id: str, now_ns: int) -> ExchangeOrder:
    """Return the bracket of the other side: PENDING and without a size until the order has ended."""
    request = order.request
    is_spot = order.base_currency != ""
    return ExchangeOrder(
        order_id=order_id,
        account_id=order.account_id,
        request=NewOrder(
            client_order_id="",
            product_id=request.product_id,
            side=request.side.opposite,
            config=OrderConfig.TRIGGER_BRACKET_GTC,
            base_size=order.size,
            limit_price=attached.limit_price,
            stop_price=attached.stop_price,
        ),
        status=WireStatus.PENDING,
        created_ns=now_ns,
        updated_ns=now_ns,
        limit_price=attached.limit_price,
        hold_currency=order.base_currency if is_spot else order.hold_currency,
        maker_rate=order.maker_rate,
        taker_rate=order.taker_rate,
        trigger_status=TriggerStatus.STOP_PENDING,
        contract_size=order.contract_size,
        originating_order_id=order.order_id,
    )
