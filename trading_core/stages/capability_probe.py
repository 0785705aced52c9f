"""Capability probe: what the venue offers for this plan, asked by metadata and preview, never by an order."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from trading_core.clock import Clock
from trading_core.errors import BadRequest, ConfigurationError
from trading_core.money import BPS, Notional, Price, Size, plain
from trading_core.orders import OrderIntent, OrderType, Purpose, Side, TimeInForce
from trading_core.plan import AliasProbe, Plan, Stage
from trading_core.ports import Venue
from trading_core.products import Product, ProductType
from trading_core.run import RunContext
from trading_core.stages.checklist import CheckSpec, Seen, failed, holds, passed, run_checks
from trading_core.stages.result import CheckStatus, StageResult, StageStatus

AWAY_BPS = Decimal(200)
# Refusals of a preview that say nothing of the order type: the account is small, not the venue.
NOT_ABOUT_THE_TYPE = frozenset({"PREVIEW_INSUFFICIENT_FUND", "PREVIEW_INSUFFICIENT_FUNDS_FOR_FUTURES"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeInput:
    """What the probe looks at."""

    context: RunContext
    venue: Venue
    clock: Clock


def run(given: ProbeInput) -> StageResult:
    """Return the stage's result; only questions are asked."""
    started_ns = given.clock.now_ns()
    plan, venue = given.context.plan, given.venue
    specs = [
        CheckSpec(
            name="increments_known", needed="each product tradable, with increments and sizes that fit the plan's caps",
            remedy="choose another product, or raise the cap in the plan with a reason",
            look=lambda: _increments(plan, venue),
        ),
        CheckSpec(
            name="alias_resolved", needed="each alias resolves by metadata to one product",
            remedy="see the venue's products: name the alias in the plan as the venue does today",
            look=lambda: _aliases(plan, venue),
        ),
        CheckSpec(
            name="order_types_previewed", needed="the venue previews each order type of the plan without an error",
            remedy="remove the order type from the plan, or trade another product", after=("increments_known",),
            look=lambda: _order_types(plan, venue),
        ),
        CheckSpec(
            name="gtd_gated_by_probe", needed="no GTD order can be encoded for a preview",
            remedy="the codec must refuse GTD", after=("increments_known",), look=lambda: _gtd(plan, venue),
        ),
        CheckSpec(
            name="schema_drift", needed="answers with just the members of the contract",
            remedy="compare the contract under trading_core/advanced_trade/contract with the venue's",
            look=lambda: _drift(venue),
        ),
    ]
    result = run_checks(specs, given.clock.now_ns)
    return StageResult(
        stage=Stage.CAPABILITY_PROBE,
        status=StageStatus.PASSED if result.has_passed else StageStatus.FAILED,
        started_ns=started_ns,
        ended_ns=given.clock.now_ns(),
        summary=result.summary,
        checks=result.checks,
        observations=result.observations,
    )


def resolve_alias(alias: str, products: list[Product]) -> Product:
    """Return the perpetual that an alias such as BTC-PERP means today, by metadata; raises ConfigurationError.

    US perpetual-style futures win over retired international ones.
    """
    exact = [p for p in products if p.product_id == alias or (p.alias and p.alias == alias)]
    root = alias.split("-")[0]
    perpetuals = [
        p for p in products
        if p.product_type is ProductType.FUTURE and p.is_perpetual and p.base_currency == root and p.venue == "FCM"
    ]
    found = exact or perpetuals
    if len(found) != 1:
        names = ", ".join(p.product_id for p in found) or "no product"
        raise ConfigurationError(f"alias {alias} means {names}: it must mean exactly one")
    return found[0]


def _increments(plan: Plan, venue: Venue) -> Seen:
    words = []
    for limits in plan.products:
        product = venue.product(limits.product_id)
        mid = _mid(venue, product)
        smallest = max(product.notional(product.base_min_size, mid), product.quote_min_size)
        if not product.is_tradable:
            return failed(f"{product.product_id} is not tradable now")
        if smallest > limits.max_notional or product.base_min_size > limits.max_size:
            return failed(
                f"the smallest order of {product.product_id} is ${smallest:.2f}, above the cap of "
                f"${plain(limits.max_notional)}"
            )
        words.append(
            f"{product.product_id}: tick {plain(product.price_increment)}, lot {plain(product.base_increment)}, "
            f"smallest ${smallest:.2f}"
        )
    return passed("; ".join(words))


def _aliases(plan: Plan, venue: Venue) -> Seen:
    products = venue.products()
    words = []
    for alias in plan.aliases:
        product = resolve_alias(alias.alias, products)
        words.append(f"{alias.alias} is {product.product_id}, {_smallest_words(plan, alias, venue, product)}")
        if _is_above_cap(plan, alias, venue, product):
            return failed(f"{words[-1]}, and the plan does not say that this is meant")
    return passed("; ".join(words) or "the plan names no alias")


def _smallest_words(plan: Plan, alias: AliasProbe, venue: Venue, product: Product) -> str:
    cost = product.notional(product.base_min_size, _mid(venue, product))
    use = "traded" if alias.is_traded else "probed only"
    return f"one contract ${cost:.2f} against a cap of ${plain(_cap(plan))}, {use}"


def _is_above_cap(plan: Plan, alias: AliasProbe, venue: Venue, product: Product) -> bool:
    cost = product.notional(product.base_min_size, _mid(venue, product))
    return cost > _cap(plan) and (alias.is_traded or not alias.accepts_minimum_above_cap)


def _cap(plan: Plan) -> Notional:
    return max(limits.max_notional for limits in plan.products)


def _order_types(plan: Plan, venue: Venue) -> Seen:
    refused, asked = [], 0
    for limits in plan.products:
        product = venue.product(limits.product_id)
        for intent in _previews(plan, product, _mid(venue, product)):
            errors = [e for e in venue.preview(intent).errors if e not in NOT_ABOUT_THE_TYPE]
            asked += 1
            if errors:
                name = f"{intent.order_type} {intent.time_in_force}{' post-only' if intent.post_only else ''}"
                refused.append(f"{product.product_id} {name}: {', '.join(errors)}")
    return holds(not refused and asked > 0, "; ".join(refused) or f"{asked} previews without an error")


def _previews(plan: Plan, product: Product, mid: Price) -> list[OrderIntent]:
    """Return one order for each combination that the plan allows, away from the market."""
    intents = []
    for order_type in plan.policy.order_types:
        for time_in_force in plan.policy.time_in_force:
            if order_type is OrderType.MARKET or (
                order_type is not OrderType.LIMIT and time_in_force is not TimeInForce.GTC
            ):
                continue  # market orders are for emergencies only, and never probed; what waits for a stop is GTC
            intents.append(_intent(plan, product, mid, order_type, time_in_force))
    return intents


def _intent(
    plan: Plan, product: Product, mid: Price, order_type: OrderType, time_in_force: TimeInForce
) -> OrderIntent:
    is_stop = order_type in (OrderType.STOP_LIMIT, OrderType.BRACKET)
    away = AWAY_BPS / BPS
    stop = product.round_price(mid * (1 + away), Side.SELL) if is_stop else None
    # A stop-limit and an immediate order need a price above the market, a resting one a price below it.
    is_above = order_type is OrderType.STOP_LIMIT or time_in_force in (TimeInForce.IOC, TimeInForce.FOK)
    price = product.round_price(mid * (1 + 2 * away if is_above else 1 - away), Side.BUY)
    return OrderIntent(
        product_id=product.product_id,
        side=Side.BUY,
        size=_size(plan, product, price),
        limit_price=price,
        stop_price=stop,
        purpose=Purpose.ENTRY,
        order_type=order_type,
        time_in_force=time_in_force,
        post_only=order_type is OrderType.LIMIT and time_in_force is TimeInForce.GTC,
    )


def _size(plan: Plan, product: Product, price: Price) -> Size:
    return max(product.size_for(plan.entry.notional_max, price), product.base_min_size)


def _gtd(plan: Plan, venue: Venue) -> Seen:
    product = venue.product(plan.products[0].product_id)
    mid = _mid(venue, product)
    try:
        venue.preview(_intent(plan, product, mid, OrderType.LIMIT, TimeInForce.GTD))
    except ConfigurationError as e:
        return passed(f"refused before it left: {e}")
    except BadRequest as e:
        return failed(f"a GTD order reached the venue: {e}")
    return failed("a GTD order reached the venue's preview")


def _drift(venue: Venue) -> Seen:
    drift = venue.schema_drift()
    if not drift:
        return passed("every member known, none missing")
    shown = "; ".join(drift[:5]) + (f" and {len(drift) - 5} more" if len(drift) > 5 else "")
    return Seen(CheckStatus.WARNED, shown)


def _mid(venue: Venue, product: Product) -> Price:
    book = venue.book(product.product_id, 1)
    if not book.bids or not book.asks:
        raise BadRequest(f"the book of {product.product_id} is empty")
    return (book.bids[0][0] + book.asks[0][0]) * product.price_increment / 2
