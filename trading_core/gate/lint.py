"""Plan lint: what would waste 24 hours, found before they are spent. Refuses or warns, each time with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from trading_core.gate.catalog import EXERCISED_BY, PRODUCED_BY, STEPS
from trading_core.gate.result import share_text, text
from trading_core.gate.statistics import ALPHA, orders_needed
from trading_core.money import Notional, Price
from trading_core.orders import TimeInForce
from trading_core.plan import Criterion, Kind, Plan, PlanModel, ProductLimits, Stage, Tier
from trading_core.products import Product

SECONDS_PER_MINUTE = 60


class Severity(StrEnum):
    """REFUSE: the plan cannot do what it says. WARN: it can, but somebody should know. SETTLED: the plan says why."""

    REFUSE = "refuse"
    WARN = "warn"
    SETTLED = "settled"


class PlanFinding(PlanModel):
    """One finding: where in the plan, and a sentence with the value, the limit and what to do."""

    severity: Severity
    key: str
    sentence: str
    because: str = ""  # why the plan keeps it, if it is settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What the plan is held against: today's prices, the venue's products, the rung below."""

    plan: Plan
    prices: Mapping[str, Price]
    products: Mapping[str, Product]
    below: Plan | None = None


Check = Callable[[Bench], Iterator[PlanFinding]]


def lint_plan(
    plan: Plan, prices: Mapping[str, Price], products: Mapping[str, Product], below: Plan | None = None
) -> list[PlanFinding]:
    """Return every finding, refusals first. What the plan's `settled` explains is no longer warned about.

    Prices are today's middle by product id, and by alias where one was resolved; what has no price is not
    compared with money. A refusal cannot be settled away, save those that the plan may say explicitly.
    """
    bench = Bench(plan=plan, prices=prices, products=products, below=below)
    findings = [_settled(plan, finding) for check in CHECKS for finding in check(bench)]
    order = list(Severity)
    return sorted(findings, key=lambda f: (order.index(f.severity), f.key, f.sentence))


def _settled(plan: Plan, finding: PlanFinding) -> PlanFinding:
    because = plan.settled.get(finding.key)
    if because is None or finding.severity is Severity.REFUSE:
        return finding
    return finding.model_copy(update={"severity": Severity.SETTLED, "because": because})


def _refuse(key: str, sentence: str) -> PlanFinding:
    return PlanFinding(severity=Severity.REFUSE, key=key, sentence=sentence)


def _warn(key: str, sentence: str) -> PlanFinding:
    return PlanFinding(severity=Severity.WARN, key=key, sentence=sentence)


# ── statistics: can the plan show what it demands? ──────────────────────────────────────────────
def planned_orders(plan: Plan) -> int:
    """Return how many orders the strategy can send in the window: one each `interval_s`."""
    return plan.protocol.window_s // plan.entry.interval_s


def provable_rates(bench: Bench) -> Iterator[PlanFinding]:
    """A rate needs as many orders as the e-process takes without one failure; one failure should be affordable."""
    planned = planned_orders(bench.plan)
    for criterion in _of_kind(bench.plan, Kind.RATE, Kind.LATENCY_QUANTILE):
        if criterion.tier is Tier.NICE or criterion.p0 is None or not _is_share(criterion.p0):
            continue
        needed = max(orders_needed(criterion.p0, 0, criterion.alpha), criterion.n_min or 0)
        spare = orders_needed(criterion.p0, 1, criterion.alpha)
        what = f"{planned} orders are planned, {share_text(criterion.p0)} needs {needed}"
        if planned < needed:
            yield _refuse(_key(criterion), f"{what} even without one failure: lengthen the window")
        elif planned < spare:
            yield _warn(_key(criterion), f"{what}, and {spare} after one failure: then it must be extended")


def provable_windows(bench: Bench) -> Iterator[PlanFinding]:
    """A minimum of minutes or seconds must fit into the window."""
    window_s = bench.plan.protocol.window_s
    for criterion in bench.plan.criteria:
        asked_s = criterion.window_min_s or 0
        if criterion.kind is Kind.TIME_IN_SPEC:
            asked_s = max(asked_s, (criterion.n_min or 0) * SECONDS_PER_MINUTE)
        if asked_s > window_s:
            yield _refuse(_key(criterion), f"it asks for {asked_s} s, the window is {window_s} s: lengthen the window")


def complete_bounds(bench: Bench) -> Iterator[PlanFinding]:
    """Each kind has the bounds that it is judged by; shares lie between 0 and 1."""
    by_share = (Kind.RATE, Kind.LATENCY_QUANTILE, Kind.TIME_IN_SPEC)
    for criterion in bench.plan.criteria:
        if criterion.kind in by_share and not _is_share(criterion.p0):
            yield _refuse(_key(criterion), f"p0 is {text(criterion.p0)}: write a share between 0 and 1")
        if criterion.kind is Kind.LATENCY_QUANTILE and criterion.quantile_limit is None:
            yield _refuse(_key(criterion), "it has no quantile_limit: write the milliseconds of the quantile p0")
        if criterion.kind is Kind.COMPOSITION and not _is_share(criterion.limit):
            yield _refuse(_key(criterion), f"limit is {text(criterion.limit)}: write a share between 0 and 1")
        if not 0 < criterion.alpha <= ALPHA:
            yield _refuse(_key(criterion), f"alpha is {text(criterion.alpha)} (limit {text(ALPHA)}): lower it")


def latency_has_quantile(bench: Bench) -> Iterator[PlanFinding]:
    """A latency limit means nothing without a quantile."""
    for criterion in bench.plan.criteria:
        if "latency" in criterion.metric and criterion.kind not in (Kind.LATENCY_QUANTILE, Kind.COMPARISON):
            words = f"{criterion.metric} is judged as {criterion.kind}: a latency limit needs a quantile"
            yield _refuse(_key(criterion), words)


def grey_zone_below_limit(bench: Bench) -> Iterator[PlanFinding]:
    """The grey zone starts below the limit."""
    for criterion in bench.plan.criteria:
        if criterion.warn_above is None:
            continue
        if criterion.limit is None or criterion.warn_above >= criterion.limit:
            words = f"warn_above {text(criterion.warn_above)} is not below the limit {text(criterion.limit)}"
            yield _refuse(_key(criterion), words)


def agreeing_thresholds(bench: Bench) -> Iterator[PlanFinding]:
    """Acceptance and rejection are one figure: of two musts on it, one can never decide."""
    pair = {"order_acceptance", "order_rejected_share"}
    musts = [c for c in bench.plan.criteria if c.metric in pair and c.tier is Tier.MUST and c.p0 is not None]
    if len({c.p0 for c in musts}) > 1:
        looser = min(musts, key=lambda c: (c.p0 or 0, c.name))
        words = f"{share_text(looser.p0 or Decimal(0))} can never decide beside the stricter one on the same orders"
        yield _warn(_key(looser), words)


# ── evidence: can it be produced at all? ────────────────────────────────────────────────────────
def producible_metrics(bench: Bench) -> Iterator[PlanFinding]:
    """A criterion names a metric that its stage produces, and each name once."""
    names = [criterion.name for criterion in bench.plan.criteria]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield _refuse(f"criteria.{name}", "the name is used twice: each criterion needs its own")
    for criterion in bench.plan.criteria:
        stages = PRODUCED_BY.get(criterion.metric)
        if stages is None:
            yield _refuse(_key(criterion), f"nobody produces the metric {criterion.metric}: check its spelling")
        elif criterion.stage not in stages:
            made = " or ".join(stages)
            yield _refuse(_key(criterion), f"{criterion.stage} does not produce {criterion.metric}: {made} does")


def exercised_musts(bench: Bench) -> Iterator[PlanFinding]:
    """What must be seen must be provoked by a step of the protocol."""
    for criterion in _of_kind(bench.plan, Kind.EXERCISED):
        step = EXERCISED_BY.get(criterion.metric)
        if criterion.tier is Tier.NICE or criterion.stage is not Stage.LIVE_MICRO_TEST:
            continue
        say = _refuse if criterion.tier is Tier.MUST else _warn
        if step is None:
            yield say(_key(criterion), "no step of any protocol provokes it: it can only happen by itself")
        elif step not in bench.plan.protocol.steps:
            yield say(_key(criterion), f"no step provokes it: add {step!r} to the protocol's steps")


def known_steps(bench: Bench) -> Iterator[PlanFinding]:
    """Each step of the protocol exists."""
    for step in bench.plan.protocol.steps:
        if step not in STEPS:
            yield _refuse("protocol.steps", f"nobody knows the step {step!r}: choose from {', '.join(sorted(STEPS))}")


def a_must_at_all(bench: Bench) -> Iterator[PlanFinding]:
    """An empty gate lets nothing through."""
    if not any(criterion.tier is Tier.MUST for criterion in bench.plan.criteria):
        yield _refuse("criteria", "no criterion is a must: such a gate is always NO-GO")


def gtd_is_gated(bench: Bench) -> Iterator[PlanFinding]:
    """GTD is refused on every rung."""
    if TimeInForce.GTD in bench.plan.policy.time_in_force:
        yield _refuse("policy.time_in_force", "it names GTD, which is gated on every rung: remove it")


# ── limits: does each bind sometimes, and none always? ──────────────────────────────────────────
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
            yield _refuse(f"{key}.max_notional", words)
        if bench.plan.entry.notional_min > cap:
            words = f"entries start at ${text(bench.plan.entry.notional_min)}, the cap is ${text(cap)}: none can pass"
            yield _refuse(f"{key}.max_notional", words)


def _one_binds(limits: ProductLimits, by_size: Notional, price: Price, key: str) -> Iterator[PlanFinding]:
    size = f"max_size {text(limits.max_size)} is ${text(by_size)} at {text(price)}"
    if by_size > limits.max_notional:
        yield _warn(f"{key}.max_size", f"{size}: it never binds, max_notional ${text(limits.max_notional)} does")
    elif by_size < limits.max_notional:
        yield _warn(f"{key}.max_notional", f"{size}: max_notional ${text(limits.max_notional)} never binds")


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
            yield _refuse(key, f"{words}: raise the cap, or say accepts_minimum_above_cap and do not trade it")
        else:
            yield _warn(key, f"{words}: it is probed and not traded")


def entry_band(bench: Bench) -> Iterator[PlanFinding]:
    """The band of entries is one, and fits into the caps."""
    entry, risk, sum_of_caps = bench.plan.entry, bench.plan.risk, Decimal(0)
    if entry.notional_min > entry.notional_max:
        words = f"notional_min ${text(entry.notional_min)} is above notional_max ${text(entry.notional_max)}"
        yield _refuse("entry.notional_min", f"{words}: swap them")
    for limits in bench.plan.products:
        sum_of_caps += limits.max_notional
        if entry.notional_max > limits.max_notional:
            words = f"${text(entry.notional_max)} is above the cap ${text(limits.max_notional)} of {limits.product_id}"
            yield _warn("entry.notional_max", f"{words}: larger entries are always cut")
    if entry.notional_max > risk.aggregate_notional_max:
        words = f"one entry of ${text(entry.notional_max)} is above the aggregate"
        yield _refuse("risk.aggregate_notional_max", f"{words} ${text(risk.aggregate_notional_max)}: raise it")
    if sum_of_caps > risk.aggregate_notional_max:
        words = f"the caps add up to ${text(sum_of_caps)}, the aggregate is ${text(risk.aggregate_notional_max)}"
        yield _warn("risk.aggregate_notional_max", f"{words}: not every symbol can be full at once")


def stop_tests(bench: Bench) -> Iterator[PlanFinding]:
    """The stop test of a symbol fits into its caps."""
    for product_id, size in sorted(bench.plan.protocol.stop_test_sizes.items()):
        limits, price = bench.plan.limits(product_id), bench.prices.get(product_id)
        key = f"protocol.stop_test_sizes.{product_id}"
        if limits is None:
            yield _refuse(key, "the plan does not trade it: remove the test or add the product")
            continue
        if size > limits.max_size:
            yield _refuse(key, f"{text(size)} is above max_size {text(limits.max_size)}: lower the test")
        cost = Decimal(0) if price is None else _notional(bench.products.get(product_id), size, price)
        if cost > limits.max_notional:
            words = f"{text(size)} cost ${text(cost)} today, the cap is ${text(limits.max_notional)}"
            yield _warn(key, f"{words}: the test will be sized down")


def coherent_envelopes(bench: Bench) -> Iterator[PlanFinding]:
    """What a GO authorises covers what the rung does, and a restriction restricts."""
    plan = bench.plan
    if plan.risk.aggregate_notional_max > plan.envelope.aggregate_notional_max:
        words = f"${text(plan.risk.aggregate_notional_max)} is above the envelope's"
        yield _refuse("risk.aggregate_notional_max", f"{words} ${text(plan.envelope.aggregate_notional_max)}: lower it")
    restricted = plan.restricted_envelope
    if restricted and restricted.aggregate_notional_max >= plan.envelope.aggregate_notional_max:
        yield _refuse("restricted_envelope.aggregate_notional_max", "it is not below the full envelope: lower it")
    if restricted and not restricted.obligations:
        yield _refuse("restricted_envelope.obligations", "there is none: a CONDITIONAL owes something by a date")


def exposure_step(bench: Bench) -> Iterator[PlanFinding]:
    """How much larger this rung's exposure is than what the rung below authorises."""
    if bench.below is None:
        return
    before, after = bench.below.envelope.aggregate_notional_max, bench.plan.envelope.aggregate_notional_max
    allowed = bench.plan.exposure_step_max
    if after > before * allowed:
        words = f"exposure grows from ${text(before)} to ${text(after)}, {text(after / before)} times"
        yield _refuse("exposure_step_max", f"{words} (limit {text(allowed)}): add a rung or lower the envelope")
    elif allowed > 5:
        yield _warn("exposure_step_max", f"a step of {text(allowed)} times is above the usual 5")


def coherent_times(bench: Bench) -> Iterator[PlanFinding]:
    """Times and counts that belong together do not contradict each other."""
    plan = bench.plan
    protocol, risk = plan.protocol, plan.risk
    if protocol.snapshot_every_s > protocol.save_every_s:
        yield _refuse("protocol.save_every_s", "saves come more often than snapshots: there is nothing to save")
    if protocol.save_every_s > protocol.window_s:
        yield _refuse("protocol.save_every_s", f"{protocol.save_every_s} s is longer than the window: lower it")
    per_minute = Decimal(SECONDS_PER_MINUTE) / plan.entry.interval_s
    if per_minute > risk.orders_per_minute_max:
        words = f"entries leave {text(per_minute)} times a minute (limit {risk.orders_per_minute_max})"
        yield _refuse("risk.orders_per_minute_max", f"{words}: it always binds")
    if plan.rollback.close_all_after_min >= plan.rollback.disable_after_min:
        yield _refuse("rollback.disable_after_min", "trading is disabled before all is closed: swap the times")


def guardrails_match(bench: Bench) -> Iterator[PlanFinding]:
    """A guardrail on the day's loss is no looser than the limit that it guards."""
    for guardrail in bench.plan.guardrails:
        if guardrail.metric == "daily_loss" and guardrail.limit > bench.plan.risk.daily_loss_max:
            words = f"${text(guardrail.limit)} is above risk.daily_loss_max ${text(bench.plan.risk.daily_loss_max)}"
            yield _refuse(f"guardrails.{guardrail.name}", f"{words}: the guardrail would never act first")


CHECKS: tuple[Check, ...] = (
    provable_rates, provable_windows, complete_bounds, latency_has_quantile, grey_zone_below_limit,
    agreeing_thresholds, producible_metrics, exercised_musts, known_steps, a_must_at_all, gtd_is_gated,
    binding_caps, alias_minimums, entry_band, stop_tests, coherent_envelopes, exposure_step, coherent_times,
    guardrails_match,
)


def smallest_order(product: Product, price: Price) -> Notional:
    """Return what the smallest order that the venue takes is worth."""
    return max(product.notional(product.base_min_size, price), product.quote_min_size)


def _notional(product: Product | None, size: Decimal, price: Price) -> Notional:
    return size * price if product is None else product.notional(size, price)


def _is_share(value: Decimal | None) -> bool:
    return value is not None and 0 < value < 1


def _of_kind(plan: Plan, *kinds: Kind) -> Iterable[Criterion]:
    return (criterion for criterion in plan.criteria if criterion.kind in kinds)


def _key(criterion: Criterion) -> str:
    return f"criteria.{criterion.name}"
