"""Pre-trade checks as plain functions, each named after its rule; the only maker of an ApprovedOrder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import msgspec

from trading_core.errors import InvariantBroken
from trading_core.money import BPS, ZERO, Bps, Notional, Price, Size, plain
from trading_core.orders import OrderIntent, OrderType, Purpose, Side, TimeInForce
from trading_core.plan import OrderPolicy, ProductLimits, RiskLimits
from trading_core.products import Product, ProductType
from trading_core.trading_state import TradingState

_SEAL = object()


@dataclass(frozen=True, slots=True)
class ApprovedOrder:
    """An intent that passed every check, with its client order id. Made by this module only."""

    client_order_id: str
    intent: OrderIntent
    seal: object

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise InvariantBroken("an ApprovedOrder is made by trading_core.risk only")


class DenialReason(StrEnum):
    """Why we refused our own intent; one per rule."""

    HALTED = "HALTED"
    REDUCE_ONLY = "REDUCE_ONLY"
    NOT_REDUCING = "NOT_REDUCING"
    PRODUCT_NOT_IN_PLAN = "PRODUCT_NOT_IN_PLAN"
    ORDER_TYPE_NOT_ALLOWED = "ORDER_TYPE_NOT_ALLOWED"
    GTD_GATED = "GTD_GATED"
    TIME_IN_FORCE_NOT_ALLOWED = "TIME_IN_FORCE_NOT_ALLOWED"
    ENTRY_NOT_POST_ONLY = "ENTRY_NOT_POST_ONLY"
    OFF_GRID = "OFF_GRID"
    SIZE_ZERO = "SIZE_ZERO"
    BELOW_MINIMUM = "BELOW_MINIMUM"
    MAX_SIZE = "MAX_SIZE"
    MAX_NOTIONAL = "MAX_NOTIONAL"
    AGGREGATE_NOTIONAL = "AGGREGATE_NOTIONAL"
    LEVERAGE = "LEVERAGE"
    PRICE_COLLAR = "PRICE_COLLAR"
    NO_BOOK = "NO_BOOK"
    STALE_BOOK = "STALE_BOOK"
    SPREAD_TOO_WIDE = "SPREAD_TOO_WIDE"
    INSUFFICIENT_DEPTH = "INSUFFICIENT_DEPTH"
    ORDERS_PER_MINUTE = "ORDERS_PER_MINUTE"
    OPEN_ORDERS = "OPEN_ORDERS"
    DAILY_LOSS = "DAILY_LOSS"
    PRE_FUNDING_QUIET = "PRE_FUNDING_QUIET"
    MARGIN_UTILIZATION = "MARGIN_UTILIZATION"
    MARGIN_BUFFER = "MARGIN_BUFFER"
    OUTCOME_UNRESOLVED = "OUTCOME_UNRESOLVED"
    DUPLICATE_INTENT = "DUPLICATE_INTENT"
    ENTRY_WITHOUT_BRACKET = "ENTRY_WITHOUT_BRACKET"
    BRACKET_MISPLACED = "BRACKET_MISPLACED"
    STOP_IS_LOCAL = "STOP_IS_LOCAL"


@dataclass(frozen=True, slots=True)
class Denial:
    """One refused rule: the sentence names the value and the limit."""

    reason: DenialReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskView:
    """What the checks may look at, as of now. Sizes signed where a position, unsigned where resting."""

    now_ns: int
    state: TradingState
    product: Product
    limits: ProductLimits | None
    risk: RiskLimits
    policy: OrderPolicy
    mid: Price | None
    spread_bps: Bps | None
    staleness_s: Decimal | None
    position: Size
    # Same side as the intent, fills that are not booked yet included; an order of unknown outcome counts in full.
    resting_entry_size: Size
    resting_exit_size: Size
    aggregate_exposure: Notional  # positions plus resting entries over all products, in USD
    equity: Notional
    day_pnl: Notional
    open_orders: int
    orders_last_minute: int
    has_unresolved: bool
    has_twin: bool  # an order with the same product, side, price and purpose is live
    margin_utilization: Decimal
    margin_free: Notional | None  # in USD, less what rests or filled since the reading; None without margin figures
    funding_in_s: int | None

    def is_reducing(self, intent: OrderIntent) -> bool:
        """Tell whether the order can only bring the position nearer to zero."""
        if self.position == 0 or (self.position > 0) == (intent.side is Side.BUY):
            return False
        # Whatever rests against the position takes from it, whether it is called an exit or not.
        return intent.size + self.resting_exit_size + self.resting_entry_size <= abs(self.position)

    def notional(self, intent: OrderIntent) -> Notional:
        """Return what the order is worth at its limit price, or at the middle if it has none."""
        price = intent.limit_price or self.mid or ZERO
        return self.product.notional(intent.size, price)


Rule = Callable[[OrderIntent, RiskView], Denial | None]
_D = DenialReason


def not_halted(intent: OrderIntent, view: RiskView) -> Denial | None:
    """HALTED never submits."""
    return Denial(_D.HALTED, "trading is halted") if view.state is TradingState.HALTED else None


def reduce_only_state(intent: OrderIntent, view: RiskView) -> Denial | None:
    """REDUCE_ONLY never increases."""
    if view.state is TradingState.REDUCE_ONLY and not view.is_reducing(intent):
        return Denial(_D.REDUCE_ONLY, f"state is REDUCE_ONLY and the position is {plain(view.position)}")
    return None


def reduce_only_order(intent: OrderIntent, view: RiskView) -> Denial | None:
    """An order marked as an exit reduces; on spot a sale always does, for nothing can be borrowed."""
    must_reduce = intent.reduce_only or (
        view.product.product_type is ProductType.SPOT and intent.side is Side.SELL
    )
    if must_reduce and not view.is_reducing(intent):
        resting = plain(view.resting_exit_size + view.resting_entry_size)
        return Denial(_D.NOT_REDUCING, f"position is {plain(view.position)}, {resting} already leaving")
    return None


def product_in_plan(intent: OrderIntent, view: RiskView) -> Denial | None:
    """Only the plan's products are traded."""
    if view.limits is None:
        return Denial(_D.PRODUCT_NOT_IN_PLAN, f"the plan does not trade {intent.product_id}")
    return None


def gtd_gated(intent: OrderIntent, view: RiskView) -> Denial | None:
    """GTD is never sent."""
    return Denial(_D.GTD_GATED, "GTD is gated") if intent.time_in_force is TimeInForce.GTD else None


def order_type_allowed(intent: OrderIntent, view: RiskView) -> Denial | None:
    """Only the plan's order types and times in force."""
    if intent.order_type not in view.policy.order_types:
        return Denial(_D.ORDER_TYPE_NOT_ALLOWED, f"{intent.order_type} is not in the plan's order types")
    if intent.time_in_force not in view.policy.time_in_force:
        return Denial(_D.TIME_IN_FORCE_NOT_ALLOWED, f"{intent.time_in_force} is not in the plan's list")
    return None


def on_grid(intent: OrderIntent, view: RiskView) -> Denial | None:
    """Price and size are multiples of the product's increments, and there is a size."""
    if intent.size <= 0:
        return Denial(_D.SIZE_ZERO, "nothing is left to send")
    prices = [p for p in (intent.limit_price, intent.stop_price) if p is not None]
    if intent.order_type is not OrderType.MARKET and intent.limit_price is None:
        return Denial(_D.OFF_GRID, "a limit order needs a price")
    if all(view.product.is_on_grid(p, intent.size) for p in prices or [ZERO]):
        return None
    return Denial(_D.OFF_GRID, f"{plain(intent.size)} at {intent.limit_price} is off the product's grid")


def above_minimum(intent: OrderIntent, view: RiskView) -> Denial | None:
    """The venue's smallest order."""
    product = view.product
    if intent.size < product.base_min_size or view.notional(intent) < product.quote_min_size:
        return Denial(_D.BELOW_MINIMUM, f"${plain(view.notional(intent))} is below the venue's minimum")
    return None


def fresh_book(intent: OrderIntent, view: RiskView) -> Denial | None:
    """A stale or missing book means no order."""
    if view.mid is None or view.staleness_s is None:
        return Denial(_D.NO_BOOK, "there is no usable book")
    if view.staleness_s > view.risk.stale_after_s:
        limit = plain(view.risk.stale_after_s)
        return Denial(_D.STALE_BOOK, f"the book is {plain(view.staleness_s)} s old (limit {limit} s)")
    return None


def entry_post_only(intent: OrderIntent, view: RiskView) -> Denial | None:
    """Where the plan says so, entries only make liquidity."""
    is_plain_limit = intent.order_type is OrderType.LIMIT
    if view.policy.is_entry_post_only and is_plain_limit and not intent.post_only:
        return Denial(_D.ENTRY_NOT_POST_ONLY, "the plan's entries are post-only")
    return None


def bracket_in_place(intent: OrderIntent, view: RiskView) -> Denial | None:
    """Where the plan guards entries, none leaves without its bracket; its prices lie on both sides of the entry."""
    attached, price = intent.attached, intent.limit_price
    if attached is None:
        is_owed = view.policy.bracket is not None and intent.order_type is OrderType.LIMIT
        return Denial(_D.ENTRY_WITHOUT_BRACKET, "the plan's entries carry a bracket") if is_owed else None
    if price is None or intent.order_type is not OrderType.LIMIT:
        return Denial(_D.BRACKET_MISPLACED, f"a bracket guards a limit order, this is {intent.order_type}")
    gain, loss = ((p - price) * intent.side.sign for p in (attached.take_profit, attached.stop_loss))
    is_on_grid = all(view.product.is_on_grid(p, ZERO) for p in (attached.take_profit, attached.stop_loss))
    if gain > 0 > loss and attached.stop_loss > 0 and is_on_grid:
        return None
    words = f"takes profit at {plain(attached.take_profit)}, stops at {plain(attached.stop_loss)}"
    return Denial(_D.BRACKET_MISPLACED, f"{words}: not around {plain(price)}, or off the grid")


def stop_at_venue(intent: OrderIntent, view: RiskView) -> Denial | None:
    """A product whose stops we hold ourselves never has one at the venue as well."""
    if intent.order_type is OrderType.STOP_LIMIT and intent.product_id in view.policy.local_stops:
        return Denial(_D.STOP_IS_LOCAL, f"stops of {intent.product_id} are held locally")
    return None


def max_size(intent: OrderIntent, view: RiskView) -> Denial | None:
    """The product's cap in base units, position and resting orders counted."""
    after = abs(view.position) + view.resting_entry_size + intent.size
    if view.limits is not None and after > view.limits.max_size:
        return Denial(_D.MAX_SIZE, f"{plain(after)} would be above max_size {plain(view.limits.max_size)}")
    return None


def max_notional(intent: OrderIntent, view: RiskView) -> Denial | None:
    """The product's cap in USD, position and resting orders counted."""
    # What is held is worth the middle, however far away the new order is priced.
    price = intent.limit_price or view.mid or ZERO
    held = view.product.notional(abs(view.position), view.mid or price)
    after = held + view.product.notional(view.resting_entry_size + intent.size, price)
    if view.limits is not None and after > view.limits.max_notional:
        return Denial(_D.MAX_NOTIONAL, f"${after:.2f} would be above ${plain(view.limits.max_notional)}")
    return None


def aggregate_notional(intent: OrderIntent, view: RiskView) -> Denial | None:
    """The cap over all products together."""
    after = view.aggregate_exposure + view.notional(intent)
    limit = view.risk.aggregate_notional_max
    return Denial(_D.AGGREGATE_NOTIONAL, f"${after:.2f} in all (limit ${plain(limit)})") if after > limit else None


def leverage(intent: OrderIntent, view: RiskView) -> Denial | None:
    """Exposure over equity."""
    after = view.aggregate_exposure + view.notional(intent)
    if after > view.equity * view.risk.leverage_max:
        return Denial(_D.LEVERAGE, f"${after:.2f} exposure on ${view.equity:.2f} equity is above the limit")
    return None


def price_collar(intent: OrderIntent, view: RiskView) -> Denial | None:
    """A price that would trade far through the middle is a mistake; a passive price is not."""
    if intent.limit_price is None or view.mid is None or view.mid == 0:
        return None
    through = (intent.limit_price - view.mid) / view.mid * BPS * intent.side.sign
    if through > view.risk.price_collar_bps:
        limit = plain(view.risk.price_collar_bps)
        return Denial(_D.PRICE_COLLAR, f"price is {through:.1f} bps through the middle (limit {limit})")
    return None


def spread_in_limit(intent: OrderIntent, view: RiskView) -> Denial | None:
    """No entry into a wide market."""
    if view.spread_bps is not None and view.spread_bps > view.risk.spread_bps_max:
        limit = plain(view.risk.spread_bps_max)
        return Denial(_D.SPREAD_TOO_WIDE, f"spread is {view.spread_bps:.2f} bps (limit {limit})")
    return None


def orders_per_minute(intent: OrderIntent, view: RiskView) -> Denial | None:
    """How many orders may leave in a minute."""
    limit = view.risk.orders_per_minute_max
    count = view.orders_last_minute
    return Denial(_D.ORDERS_PER_MINUTE, f"{count} in the last minute (limit {limit})") if count >= limit else None


def open_orders(intent: OrderIntent, view: RiskView) -> Denial | None:
    """How many orders may rest at once."""
    limit = view.risk.open_orders_max
    count = view.open_orders
    return Denial(_D.OPEN_ORDERS, f"{count} open (limit {limit})") if count >= limit else None


def daily_loss(intent: OrderIntent, view: RiskView) -> Denial | None:
    """Realized, unrealized, fees and funding since 00:00 UTC."""
    limit = view.risk.daily_loss_max
    if -view.day_pnl >= limit:
        return Denial(_D.DAILY_LOSS, f"the day's loss is ${-view.day_pnl:.2f} (limit ${plain(limit)})")
    return None


def pre_funding_quiet(intent: OrderIntent, view: RiskView) -> Denial | None:
    """No entry shortly before funding; an unknown funding time skips the rule."""
    quiet = view.risk.pre_funding_quiet_s
    if view.funding_in_s is not None and view.funding_in_s < quiet:
        return Denial(_D.PRE_FUNDING_QUIET, f"funding is in {view.funding_in_s} s (quiet {quiet} s)")
    return None


def margin_in_limit(intent: OrderIntent, view: RiskView) -> Denial | None:
    """Margin in use over margin there is."""
    limit = view.risk.margin_utilization_max
    if view.margin_utilization >= limit:
        return Denial(_D.MARGIN_UTILIZATION, f"{view.margin_utilization:.1%} in use (limit {limit:.0%})")
    return None


def margin_buffer(intent: OrderIntent, view: RiskView) -> Denial | None:
    """An entry into a future leaves the plan's buffer free, even if the venue asked for its whole notional."""
    if view.product.product_type is not ProductType.FUTURE:
        return None
    if view.margin_free is None:
        return Denial(_D.MARGIN_BUFFER, "the venue tells no margin: check that the account trades futures")
    after, limit = view.margin_free - view.notional(intent), view.risk.margin_buffer_min
    if after < limit:
        return Denial(_D.MARGIN_BUFFER, f"${after:.2f} of margin would stay free (at least ${plain(limit)})")
    return None


def outcome_resolved(intent: OrderIntent, view: RiskView) -> Denial | None:
    """While the outcome of an order is unknown, its symbol takes no new entry."""
    if view.has_unresolved:
        return Denial(_D.OUTCOME_UNRESOLVED, "an earlier order's outcome is not yet known")
    return None


def not_duplicate(intent: OrderIntent, view: RiskView) -> Denial | None:
    """The same entry is not sent twice at once."""
    return Denial(_D.DUPLICATE_INTENT, "the same entry is already resting") if view.has_twin else None


# Order matters: the first refusal is the reason that is recorded.
FOR_EVERY_ORDER: tuple[Rule, ...] = (
    not_halted, reduce_only_state, product_in_plan, gtd_gated, order_type_allowed, stop_at_venue, on_grid,
    reduce_only_order, above_minimum, fresh_book, price_collar,
)
FOR_ENTRIES: tuple[Rule, ...] = (
    entry_post_only, bracket_in_place, outcome_resolved, daily_loss, spread_in_limit, max_size, max_notional,
    aggregate_notional, leverage, pre_funding_quiet, margin_in_limit, margin_buffer, open_orders, orders_per_minute,
    not_duplicate,
)


def review(intent: OrderIntent, view: RiskView) -> Denial | None:
    """Return the first rule that refuses the order, or None. Reducing exits skip the entry rules."""
    rules = FOR_EVERY_ORDER if view.is_reducing(intent) else FOR_EVERY_ORDER + FOR_ENTRIES
    return next((denial for rule in rules if (denial := rule(intent, view)) is not None), None)


def approve(intent: OrderIntent, view: RiskView, client_order_id: str) -> ApprovedOrder | Denial:
    """Return the order, sealed, or the first rule that refuses it."""
    denial = review(intent, view)
    return ApprovedOrder(client_order_id, intent, _SEAL) if denial is None else denial


def approve_edit(asked: OrderIntent, filled: Size, view: RiskView, client_order_id: str) -> ApprovedOrder | Denial:
    """Return the whole order as it would be after the edit, sealed, or the first rule that refuses its rest.

    The view leaves the order itself out: either it rests as it was, and was approved so, or as asked.
    """
    denial = review(msgspec.structs.replace(asked, size=asked.size - filled), view)
    return ApprovedOrder(client_order_id, asked, _SEAL) if denial is None else denial


def approve_emergency(intent: OrderIntent, position: Size, client_order_id: str) -> ApprovedOrder:
    """Return an order of the emergency ladder: it passes in every state, but only if it reduces."""
    reduces = position != 0 and (position > 0) == (intent.side is Side.SELL) and intent.size <= abs(position)
    if intent.purpose is not Purpose.EMERGENCY or not reduces:
        raise InvariantBroken(f"an emergency order must reduce the position of {plain(position)}")
    return ApprovedOrder(client_order_id, intent, _SEAL)
