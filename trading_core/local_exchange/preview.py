"""What a preview answers: the order's cost, or why it would be refused."""

from __future__ import annotations

from decimal import Decimal

from trading_core.local_exchange.market import Market, Walk
from trading_core.local_exchange.model import ExchangeOrder, NewOrder, PreviewResult, Refusal
from trading_core.money import ZERO, Price
from trading_core.orders import Side


def preview_of(
    drafted: tuple[ExchangeOrder, Walk] | Refusal, request: NewOrder, market: Market | None, margin_rate: Decimal
) -> PreviewResult:
    """Return the answer; a market of None means that the product is not listed. Spot has a margin rate of zero."""
    if isinstance(drafted, Refusal) or market is None:
        reason = drafted.preview_failure_reason if isinstance(drafted, Refusal) else "PREVIEW_INVALID_PRODUCT_ID"
        return PreviewResult(
            errors=(reason,),
            order_total=request.quote_size or ZERO,
            commission_total=ZERO,
            base_size=request.base_size or ZERO,
            quote_size=request.quote_size or ZERO,
            best_bid=_best(market, Side.BUY),
            best_ask=_best(market, Side.SELL),
            average_filled_price=ZERO,
            slippage=ZERO,
        )
    return _accepted(*drafted, market, margin_rate)


def _accepted(order: ExchangeOrder, walk: Walk, market: Market, margin_rate: Decimal) -> PreviewResult:
    request, product = order.request, market.product
    size = walk.lots * product.base_increment
    value = walk.units * product.price_increment * product.base_increment * product.contract_size
    average = value / size / product.contract_size if size else ZERO
    fee = value * order.taker_rate
    if not request.config.is_market and order.limit_price is not None:
        rest = product.notional(order.size - size, order.limit_price)
        size, value, fee = order.size, value + rest, fee + rest * order.maker_rate
    touch = _best(market, request.side.opposite)
    slippage = abs(average - touch) / touch if average and touch else ZERO
    return PreviewResult(
        errors=(),
        order_total=value + fee * request.side.sign,
        commission_total=fee,
        base_size=size,
        quote_size=value,
        best_bid=_best(market, Side.BUY),
        best_ask=_best(market, Side.SELL),
        average_filled_price=average,
        slippage=slippage,
        margin_total=value * margin_rate,
    )


def _best(market: Market | None, side: Side) -> Price | None:
    ticks = None if market is None else market.best(side)
    return None if ticks is None or market is None else ticks * market.product.price_increment
