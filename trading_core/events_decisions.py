"""What the engine decided about orders, stops, symbols, margin windows and funding: records, never inputs."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from trading_core.events_market import Event
from trading_core.money import Bps, Notional, Price, Size
from trading_core.orders import OrderIntent, Side
from trading_core.trading_state import TradingState

DRILL = "reduce-only drill"  # why the protocol tightens a symbol; any other reason is no drill


class SignalRaised(Event, frozen=True, kw_only=True, tag=True):
    """A strategy or a protocol step wants an order."""

    signal_id: str
    source: str
    intent: OrderIntent


class SignalFiltered(Event, frozen=True, kw_only=True, tag=True):
    """A filter of the strategy stopped its own signal: which one, and the figure that it saw."""

    signal_id: str
    filter_name: str
    detail: str


class StrategyChosen(Event, frozen=True, kw_only=True, tag=True):
    """The automatic strategy chose another one, by the figures of the market beside it: means over the products."""

    strategy: str
    before: str  # the strategy until now; empty at the first choice
    regime: str
    spread_bps: Bps
    volatility_bps: Bps
    trend_bps: Bps


class SizedDown(Event, frozen=True, kw_only=True, tag=True):
    """A limit made an order smaller, or refused it whole (adjusted zero)."""

    signal_id: str
    product_id: str
    side: Side
    original_size: Size
    adjusted_size: Size
    original_notional: Notional
    adjusted_notional: Notional
    limit_name: str
    impact_limit_bps: Bps
    model_impact_bps: Bps
    realized_impact_bps: Bps | None
    depth_l1: Notional
    depth_l10: Notional
    spread_bps: Bps


class OrderDenied(Event, frozen=True, kw_only=True, tag=True):
    """We refused our own intent; `reason` names the rule."""

    signal_id: str
    intent: OrderIntent
    reason: str
    detail: str


class OrderSubmitted(Event, frozen=True, kw_only=True, tag=True):
    """An approved order, stored before it is sent."""

    client_order_id: str
    signal_id: str
    intent: OrderIntent
    mid: Price


class BracketAdopted(Event, frozen=True, kw_only=True, tag=True):
    """The venue guards an order of ours by this bracket: an order without a client order id, tracked under one."""

    client_order_id: str  # ours, and never sent
    guards: str  # the client order id of the order whose fills it guards
    order_id: str
    intent: OrderIntent


class LocalStopChanged(Event, frozen=True, kw_only=True, tag=True):
    """A stop that we hold ourselves, for the venue has none for the product: held, triggered or dropped."""

    stop_id: str
    change: Literal["HELD", "TRIGGERED", "DROPPED"]
    intent: OrderIntent
    mark: Price


class OrderReplaced(Event, frozen=True, kw_only=True, tag=True):
    """An order is to make way for another one, which leaves once this one has ended and its fills are booked."""

    client_order_id: str
    intent: OrderIntent
    source: str


class EditRequested(Event, frozen=True, kw_only=True, tag=True):
    """An approved edit of a resting order, stored before it is sent; `intent` is the whole order as asked for."""

    client_order_id: str
    intent: OrderIntent
    source: str
    mid: Price


class SymbolTightened(Event, frozen=True, kw_only=True, tag=True):
    """One product takes reducing orders only, for the rest of the run; the account's own state is not touched."""

    product_id: str
    state: TradingState
    reason: str


class BookDoubted(Event, frozen=True, kw_only=True, tag=True):
    """Our book stayed apart from the venue's own best prices: it is given up until the next snapshot."""

    product_id: str
    apart_bps: Bps
    looks: int
    detail: str


class MarginWindowAnnounced(Event, frozen=True, kw_only=True, tag=True):
    """The margin window changes in so many minutes (negative: did, so long ago), by the venue or by the calendar."""

    minutes_left: int
    transition_ns: int
    window: str  # until the transition
    next_window: str
    source: Literal["venue", "calendar"]


class FundingAccrued(Event, frozen=True, kw_only=True, tag=True):
    """Funding of a position at one funding time, received (negative: paid); booked once for each such time."""

    product_id: str
    funding_ns: int
    position: Size
    mark: Price
    rate: Decimal
    amount: Notional
    is_estimated: bool = False  # at the rate of a later time: the session was down when its own was told


class FundingSkipped(Event, frozen=True, kw_only=True, tag=True):
    """The venue names no funding time for a perpetual future: its pre-funding quiet period cannot be kept."""

    product_id: str


class CancelRequested(Event, frozen=True, kw_only=True, tag=True):
    """We want the order gone; `cause` is auto_cancel, protocol, reduce_only or cleanup."""

    client_order_id: str
    cause: str
