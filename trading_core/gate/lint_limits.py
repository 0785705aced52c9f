"""Plan lint of limits: does each bind sometimes and none always, and do they agree with each other?"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from trading_core.gate.lint_model import Bench, LintCheck, PlanFinding, refuse, warn
from trading_core.gate.result import text
from trading_core.money import Notional, Price
from trading_core.plan import ProductLimits
from trading_core.products import Product

SECONDS_PER_MINUTE = 60
STOP_STEP = "stop_limit"
STOP_ROOM_BPS = 20
EXPOSURE_STEP_USUAL = 5  # a rung may be this many times larger than the one below without a reason


def binding_caps(bench: Bench) -> Iterator[PlanFinding]:
    """max_size × price against max_notional, and the smallest order against both, at today's price."""
    for limits in bench.plan.products:
        price, product = bench.prices.get(limits.product_id), bench.products.get(limits.product_id)
        key = f"products.{limits.product_id}"
        if price is None:
            continue
        by_size = _notional(product, limits.max_size, price)
        cap = min(by_size, limits.max_notional)
        yield from _one_binds(limits, by_size, price, key)
        if product is not None and (smallest := smallest_order(product, price)) > cap:
            words = f"the smallest order is ${text(smallest)}, the cap ${text(cap)}: it always binds, raise the cap"
            yield refuse(f"{key}.max_notional", words)
        if bench.plan.entry.notional_min > cap:
            words = f"entries start at ${text(bench.plan.entry.notional_min)}, the cap is ${text(cap)}: none can pass"
            yield refuse(f"{key}.max_notional", words)


def _one_binds(limits: ProductLimits, by_size: Notional, price: Price, key: str) -> Iterator[PlanFinding]:
    size = f"max_size {text(limits.max_size)} is ${text(by_size)} at {text(price)}"
    if by_size > limits.max_notional:
        yield warn(f"{key}.max_size", f"{size}: it never binds, max_notional ${text(limits.max_notional)} does")
    elif by_size < limits.max_notional:
        yield warn(f"{key}.max_notional", f"{size}: max_notional ${text(limits.max_notional)} never binds")


def alias_minimums(bench: Bench) -> Iterator[PlanFinding]:
    """The smallest contract of an alias against the cap of an order."""
    cap = max(limits.max_notional for limits in bench.plan.products)
    for alias in bench.plan.aliases:
        product, price = bench.products.get(alias.alias), bench.prices.get(alias.alias)
        if product is None or price is None or (smallest := smallest_order(product, price)) <= cap:
            continue
        words = f"the smallest order of {alias.alias} is ${text(smallest)}, the cap ${text(cap)}"
        key = f"aliases.{alias.alias}"
        if alias.is_traded or not alias.accepts_minimum_above_cap:
            yield refuse(key, f"{words}: raise the cap, or say accepts_minimum_above_cap and do not trade it")
        else:
            yield warn(key, f"{words}: it is probed and not traded")


def entry_band(bench: Bench) -> Iterator[PlanFinding]:
    """The band of entries is one, and fits into the caps."""
    entry, risk, sum_of_caps = bench.plan.entry, bench.plan.risk, Decimal(0)
    if entry.notional_min > entry.notional_max:
        words = f"notional_min ${text(entry.notional_min)} is above notional_max ${text(entry.notional_max)}"
        yield refuse("entry.notional_min", f"{words}: swap them")
    for limits in bench.plan.products:
        sum_of_caps += limits.max_notional
        if entry.notional_max > limits.max_notional:
            words = f"${text(entry.notional_max)} is above the cap ${text(limits.max_notional)} of {limits.product_id}"
            yield warn("entry.notional_max", f"{words}: larger entries are always cut")
    if entry.notional_max > risk.aggregate_notional_max:
        words = f"one entry of ${text(entry.notional_max)} is above the aggregate"
        yield refuse("risk.aggregate_notional_max", f"{words} ${text(risk.aggregate_notional_max)}: raise it")
    if sum_of_caps > risk.aggregate_notional_max:
        words = f"the caps add up to ${text(sum_of_caps)}, the aggregate is ${text(risk.aggregate_notional_max)}"
        yield warn("risk.aggregate_notional_max", f"{words}: not every symbol can be full at once")


def stop_tests(bench: Bench) -> Iterator[PlanFinding]:
    """The stop test of a symbol fits into its caps, and its price into the collar."""
    protocol, collar = bench.plan.protocol, bench.plan.risk.price_collar_bps
    # The limit lies beyond the stop: without room for it the collar denies every stop test.
    if STOP_STEP in protocol.steps and protocol.stop_distance_bps + STOP_ROOM_BPS > collar:
        words = f"{text(collar)} is not above the stop distance of {text(protocol.stop_distance_bps)} with room for"
        yield refuse("risk.price_collar_bps", f"{words} the limit ({STOP_ROOM_BPS}): raise it")
    for product_id, size in sorted(bench.plan.protocol.stop_test_sizes.items()):
        limits, price = bench.plan.limits(product_id), bench.prices.get(product_id)
        key = f"protocol.stop_test_sizes.{product_id}"
        if limits is None:
            yield refuse(key, "the plan does not trade it: remove the test or add the product")
            continue
        if size > limits.max_size:
            yield refuse(key, f"{text(size)} is above max_size {text(limits.max_size)}: lower the test")
        cost = Decimal(0) if price is None else _notional(bench.products.get(product_id), size, price)
        if cost > limits.max_notional:
            words = f"{text(size)} cost ${text(cost)} today, the cap is ${text(limits.max_notional)}"
            yield warn(key, f"{words}: the test will be sized down")


def coherent_envelopes(bench: Bench) -> Iterator[PlanFinding]:
    """What a GO authorises covers what the rung does, and a restriction restricts."""
    plan = bench.plan
    if plan.risk.aggregate_notional_max > plan.envelope.aggregate_notional_max:
        words = f"${text(plan.risk.aggregate_notional_max)} is above the envelope's"
        yield refuse("risk.aggregate_notional_max", f"{words} ${text(plan.envelope.aggregate_notional_max)}: lower it")
    restricted = plan.restricted_envelope
    if restricted and restricted.aggregate_notional_max >= plan.envelope.aggregate_notional_max:
        yield refuse("restricted_envelope.aggregate_notional_max", "it is not below the full envelope: lower it")
    if restricted and not restricted.obligations:
        yield refuse("restricted_envelope.obligations", "there is none: a CONDITIONAL owes something by a date")


def exposure_step(bench: Bench) -> Iterator[PlanFinding]:
    """How much larger this rung's exposure is than what the rung below authorises."""
    if bench.below is None:
        return
    before, after = bench.below.envelope.aggregate_notional_max, bench.plan.envelope.aggregate_notional_max
    allowed = bench.plan.exposure_step_max
    if after > before * allowed:
        words = f"exposure grows from ${text(before)} to ${text(after)}, {text(after / before)} times"
        yield refuse("exposure_step_max", f"{words} (limit {text(allowed)}): add a rung or lower the envelope")
    elif allowed > EXPOSURE_STEP_USUAL:
        yield warn("exposure_step_max", f"a step of {text(allowed)} times is above the usual {EXPOSURE_STEP_USUAL}")


def coherent_times(bench: Bench) -> Iterator[PlanFinding]:
    """Times and counts that belong together do not contradict each other."""
    plan = bench.plan
    protocol, risk = plan.protocol, plan.risk
    if protocol.snapshot_every_s > protocol.save_every_s:
        yield refuse("protocol.save_every_s", "saves come more often than snapshots: there is nothing to save")
    if protocol.save_every_s > protocol.window_s:
        yield refuse("protocol.save_every_s", f"{protocol.save_every_s} s is longer than the window: lower it")
    per_minute = Decimal(SECONDS_PER_MINUTE) / plan.entry.interval_s
    if per_minute > risk.orders_per_minute_max:
        words = f"entries leave {text(per_minute)} times a minute (limit {risk.orders_per_minute_max})"
        yield refuse("risk.orders_per_minute_max", f"{words}: it always binds")
    if plan.rollback.close_all_after_min >= plan.rollback.disable_after_min:
        yield refuse("rollback.disable_after_min", "trading is disabled before all is closed: swap the times")


def guardrails_match(bench: Bench) -> Iterator[PlanFinding]:
    """A guardrail on the day's loss is no looser than the limit that it guards."""
    for guardrail in bench.plan.guardrails:
        if guardrail.metric == "daily_loss" and guardrail.limit > bench.plan.risk.daily_loss_max:
            words = f"${text(guardrail.limit)} is above risk.daily_loss_max ${text(bench.plan.risk.daily_loss_max)}"
            yield refuse(f"guardrails.{guardrail.name}", f"{words}: the guardrail would never act first")


LIMIT_CHECKS: tuple[LintCheck, ...] = (
    binding_caps, alias_minimums, entry_band, stop_tests, coherent_envelopes, exposure_step, coherent_times,
    guardrails_match,
)


def smallest_order(product: Product, price: Price) -> Notional:
    """Return what the smallest order that the venue takes is worth."""
    return max(product.notional(product.base_min_size, price), product.quote_min_size)


def _notional(product: Product | None, size: Decimal, price: Price) -> Notional:
    return size * price if product is None else product.notional(size, price)
