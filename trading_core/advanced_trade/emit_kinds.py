"""The parts of an order that only some kinds have, between the wire and the exchange: slices, legs, brackets."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from trading_core.advanced_trade.numbers import parse_number
from trading_core.clock import NS
from trading_core.local_exchange.model import Attached, ExchangeOrder, Leg, OrderConfig, Refusal, Scaled
from trading_core.money import ZERO, floor_to

_ATTACHED = "trigger_bracket_gtc"
_COUNT_DIGITS_MAX = 6


def parse_attached(body: dict[str, Any]) -> Attached | Refusal | None:
    """Return the bracket of an attached_order_configuration: without a size, as it takes that of the fills."""
    given = {key: value for key, value in body.items() if value is not None}
    if not given:
        return None
    if list(given) != [_ATTACHED]:
        return Refusal("INVALID_ORDER_TYPE_FOR_ATTACHED", "PREVIEW_INVALID_ORDER_TYPE_FOR_ATTACHED")
    fields = given[_ATTACHED]
    if fields.get("base_size"):
        return Refusal("ATTACHED_ORDER_SIZE_MUST_BE_NIL", "PREVIEW_ATTACHED_ORDER_SIZE_MUST_BE_NIL")
    prices = [parse_number(fields.get(name, "")) for name in ("limit_price", "stop_trigger_price")]
    limit_price, stop_price = prices
    if limit_price is None or stop_price is None:
        return Refusal("ATTACHED_ORDER_MUST_HAVE_POSITIVE_PRICES", "PREVIEW_ATTACHED_ORDER_MUST_HAVE_POSITIVE_PRICES")
    return Attached(limit_price, stop_price)


def parse_buckets(fields: dict[str, Any], start_ns: int | None, end_ns: int | None) -> tuple[int, int]:
    """Return number and duration of a TWAP's slices; what is missing follows from start and end."""
    count = _count(fields.get("number_buckets", ""))
    duration = parse_number(fields.get("bucket_duration", "").removesuffix("s"))
    bucket_ns = int(duration * NS) if duration is not None and duration > 0 else 0
    span_ns = end_ns - start_ns if start_ns is not None and end_ns is not None else 0
    if not count and bucket_ns:
        count = max(0, span_ns) // bucket_ns
    if not bucket_ns and count:
        bucket_ns = max(0, span_ns) // count
    return count, bucket_ns


def parse_scaled(fields: dict[str, Any]) -> Scaled:
    """Return how a scaled order is to be spread; what is missing stays at its zero and is refused later."""
    return Scaled(
        count=int(fields.get("num_orders", 0)),
        min_price=parse_number(fields.get("min_price", "")) or ZERO,
        max_price=parse_number(fields.get("max_price", "")) or ZERO,
        price_distribution=fields.get("price_distribution", "FLAT"),
        size_distribution=fields.get("size_distribution", "EVENLY_SPLIT"),
        size_diff=parse_number(fields.get("size_diff", "")),
        size_ratio=parse_number(fields.get("size_ratio", "")),
        custom=tuple(
            Leg(parse_number(row.get("limit_price", "")) or ZERO, parse_number(row.get("base_size", "")) or ZERO)
            for row in fields.get("orders", ())
        ),
    )


def twap_fields(order: ExchangeOrder) -> dict[str, Any]:
    """Return what a TWAP's configuration shows beyond sizes, limit and end."""
    request = order.request
    if request.config is not OrderConfig.TWAP or not request.buckets:
        return {}
    size = request.quote_size if request.base_size is None else request.base_size
    return {
        "start_time": request.start_ns,
        "number_buckets": str(request.buckets),
        "bucket_size": None if size is None else floor_to(size / request.buckets, Decimal("0.00000001")),
        "bucket_duration": f"{request.bucket_ns // NS}s",
    }


def scaled_fields(order: ExchangeOrder) -> dict[str, Any]:
    """Return what a scaled order's configuration shows beyond its size: the spread and the orders that it became."""
    scaled = order.request.scaled
    if scaled is None:
        return {}
    return {
        "orders": [{"base_size": leg.size, "limit_price": leg.price} for leg in order.request.legs],
        "num_orders": len(order.request.legs),
        "min_price": scaled.min_price,
        "max_price": scaled.max_price,
        "price_distribution": scaled.price_distribution,
        "size_distribution": scaled.size_distribution,
        "size_diff": scaled.size_diff,
        "size_ratio": scaled.size_ratio,
    }


def attached_fields(order: ExchangeOrder) -> dict[str, Any] | None:
    """Return the attached_order_configuration that an order was placed with, or None."""
    attached = order.request.attached
    if attached is None:
        return None
    return {_ATTACHED: {"limit_price": attached.limit_price, "stop_trigger_price": attached.stop_price}}


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _COUNT_DIGITS_MAX else 0
