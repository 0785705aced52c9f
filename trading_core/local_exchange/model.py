"""What the local exchange talks in: orders, fills, balances and refusals, free of any wire format.

Money, prices and sizes are Decimal; times are nanoseconds since the epoch; sizes of futures are contracts.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

import msgspec

from trading_core.events import BookChanged, TradePrinted
from trading_core.local_exchange.order_config import OrderConfig as OrderConfig
from trading_core.money import ONE, ZERO, Notional, Price, Size
from trading_core.orders import Liquidity, Side
from trading_core.us_calendar import MarginWindow as MarginWindow
from trading_core.us_calendar import MarginWindowType as MarginWindowType

MarketTrade: TypeAlias = TradePrinted  # a public trade; `maker_side` is what the wire calls `side`


class StopDirection(StrEnum):
    """Which way the last trade must cross the stop price."""

    UP = "STOP_DIRECTION_STOP_UP"
    DOWN = "STOP_DIRECTION_STOP_DOWN"


class WireStatus(StrEnum):
    """OrderExecutionStatus as the wire spells it. A partly filled order is OPEN."""

    PENDING = "PENDING"
    OPEN = "OPEN"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"
    QUEUED = "QUEUED"
    CANCEL_QUEUED = "CANCEL_QUEUED"
    EDIT_QUEUED = "EDIT_QUEUED"

    @property
    def is_live(self) -> bool:
        """Tell whether the order may still trade."""
        return self in LIVE


LIVE = frozenset({
    WireStatus.PENDING, WireStatus.OPEN, WireStatus.QUEUED, WireStatus.CANCEL_QUEUED, WireStatus.EDIT_QUEUED,
})


class TriggerStatus(StrEnum):
    """StopTriggerStatus as the wire spells it; INVALID_ORDER_TYPE for orders without a stop."""

    INVALID_ORDER_TYPE = "INVALID_ORDER_TYPE"
    STOP_PENDING = "STOP_PENDING"
    STOP_TRIGGERED = "STOP_TRIGGERED"


class Attached(msgspec.Struct, frozen=True):
    """The bracket that guards what an order fills: a take-profit limit and a stop trigger."""

    limit_price: Price
    stop_price: Price


class Leg(msgspec.Struct, frozen=True):
    """One limit order of a scaled order."""

    price: Price
    size: Size


class Scaled(msgspec.Struct, frozen=True, kw_only=True):
    """How a scaled order spreads over prices; with `custom` legs everything else is ignored."""

    count: int = 0
    min_price: Price = ZERO
    max_price: Price = ZERO
    price_distribution: str = "FLAT"
    size_distribution: str = "EVENLY_SPLIT"
    size_diff: Decimal | None = None
    size_ratio: Decimal | None = None
    custom: tuple[Leg, ...] = ()


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A request to create or preview an order. Exactly one of base_size and quote_size is given.

    `stop_price` is also a bracket's stop_trigger_price. The wire layer has parsed and typed everything;
    whether the values make sense is for the exchange to judge.
    """

    client_order_id: str
    product_id: str
    side: Side
    config: OrderConfig
    base_size: Size | None = None
    quote_size: Notional | None = None
    limit_price: Price | None = None
    stop_price: Price | None = None
    stop_direction: StopDirection | None = None
    post_only: bool = False
    end_ns: int | None = None
    reduce_only: bool = False
    leverage: Decimal | None = None
    margin_type: str = ""
    start_ns: int | None = None  # TWAP
    buckets: int = 0
    bucket_ns: int = 0
    scaled: Scaled | None = None
    legs: tuple[Leg, ...] = ()  # of a scaled order, worked out by the exchange
    attached: Attached | None = None


class Refusal(msgspec.Struct, frozen=True):
    """A business rejection (HTTP 200, success false): Coinbase's two enums and its words."""

    new_order_failure_reason: str
    preview_failure_reason: str
    message: str = ""


class Edit(msgspec.Struct, frozen=True):
    """One accepted edit of an order."""

    price: Price
    size: Size
    accepted_ns: int


class ExchangeOrder(msgspec.Struct, kw_only=True):
    """An order with everything that the REST order and the user channel report. Treat it as read-only.

    The exchange hands out copies: an order inside an event shows its state at that moment.
    `size` is in base units; for an order sized in quote it is what was filled so far. `hold` is what is
    still held, in `hold_currency`.
    """

    order_id: str
    account_id: str
    request: NewOrder
    status: WireStatus
    created_ns: int
    updated_ns: int
    last_fill_ns: int | None = None
    size: Size = ZERO
    limit_price: Price | None = None
    filled_size: Size = ZERO
    filled_value: Notional = ZERO
    number_of_fills: int = 0
    total_fees: Notional = ZERO
    hold: Decimal = ZERO
    hold_currency: str = ""
    maker_rate: Decimal = ZERO
    taker_rate: Decimal = ZERO
    trigger_status: TriggerStatus = TriggerStatus.INVALID_ORDER_TYPE
    pending_cancel: bool = False
    reject_reason: str = "REJECT_REASON_UNSPECIFIED"
    reject_message: str = ""
    cancel_message: str = ""
    edits: tuple[Edit, ...] = ()
    pending_edit: Edit | None = None  # accepted and not applied yet: EDIT_QUEUED
    is_liquidation: bool = False
    contract_size: Size = ONE
    base_currency: str = ""  # of a spot product
    originating_order_id: str = ""  # of an attached bracket: the order that it guards
    attached_order_id: str = ""

    @property
    def average_filled_price(self) -> Price:
        """Return filled value per base unit; zero if nothing was filled."""
        return self.filled_value / self.filled_size / self.contract_size if self.filled_size else ZERO

    @property
    def leaves_size(self) -> Size:
        """Return what may still fill, in base units; zero for an order sized in quote."""
        return ZERO if self.request.base_size is None or not self.status.is_live else self.size - self.filled_size

    @property
    def completion_percentage(self) -> Decimal:
        """Return how much of the order was filled, 0 to 100."""
        if self.request.quote_size is not None and self.request.limit_price is None:
            return min(Decimal(100), self.filled_value / self.request.quote_size * 100)
        return self.filled_size / self.size * 100 if self.size else ZERO


class ExchangeFill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of an account's order; `entry_id` is its key, `sequence` orders all fills."""

    entry_id: str
    trade_id: str
    order_id: str
    client_order_id: str
    account_id: str
    product_id: str
    side: Side
    price: Price
    size: Size
    commission: Notional
    liquidity: Liquidity
    ts_ns: int
    sequence: int


class Balance(msgspec.Struct, frozen=True):
    """What an account has of a currency; total = available + hold. `account_uuid` is the wire's account id."""

    currency: str
    available: Decimal
    hold: Decimal
    account_uuid: str

    @property
    def total(self) -> Decimal:
        """Return available plus hold."""
        return self.available + self.hold


class FeeTier(msgspec.Struct, frozen=True):
    """One row of the fee table: from this 30-day volume in USD on. Rates are fractions."""

    name: str
    volume_from: Notional
    volume_to: Notional
    maker_rate: Decimal
    taker_rate: Decimal


class FeeSummary(msgspec.Struct, frozen=True):
    """The account's tier now, with its trailing 30-day volume and fees in USD."""

    tier: FeeTier
    volume: Notional
    fees: Notional


class CancelResult(msgspec.Struct, frozen=True):
    """The answer to one id of a batch cancel; UNKNOWN_CANCEL_FAILURE_REASON means none."""

    order_id: str
    success: bool
    failure_reason: str = "UNKNOWN_CANCEL_FAILURE_REASON"


class EditResult(msgspec.Struct, frozen=True):
    """The answer to an edit: EditOrderFailureReason and PreviewFailureReason, empty strings if none."""

    success: bool
    edit_failure_reason: str = ""
    preview_failure_reason: str = ""


class PreviewResult(msgspec.Struct, frozen=True, kw_only=True):
    """What an order would meet; `errors` are PreviewFailureReason values, empty if it would be accepted."""

    errors: tuple[str, ...]
    order_total: Notional
    commission_total: Notional
    base_size: Size
    quote_size: Notional
    best_bid: Price | None
    best_ask: Price | None
    average_filled_price: Price
    slippage: Decimal
    margin_total: Notional = ZERO


class BookView(msgspec.Struct, frozen=True):
    """A book, best first, with its last trade; prices and sizes in Decimal."""

    product_id: str
    bids: tuple[tuple[Price, Size], ...]
    asks: tuple[tuple[Price, Size], ...]
    last: Price
    ts_ns: int


class ExchangeCandle(msgspec.Struct, frozen=True):
    """One bar of printed trades; `start_s` is its opening time in UNIX seconds."""

    start_s: int
    low: Price
    high: Price
    open: Price
    close: Price
    volume: Size


class DayStats(msgspec.Struct, frozen=True):
    """The trailing 24 hours of a product."""

    open: Price
    high: Price
    low: Price
    last: Price
    volume: Size
    quote_volume: Notional


class FuturesPosition(msgspec.Struct, frozen=True, kw_only=True):
    """An account's position; `contracts` is signed, negative when short."""

    product_id: str
    contracts: Size
    entry_price: Price
    current_price: Price
    unrealized: Notional
    realized_today: Notional


class MarginLevel(StrEnum):
    """How close the account is to liquidation, without the wire's prefix."""

    BASE = "BASE"
    WARNING = "WARNING"
    DANGER = "DANGER"
    LIQUIDATION = "LIQUIDATION"


class MarginMeasure(msgspec.Struct, frozen=True, kw_only=True):
    """Margin under one window's rates, in USD; `liquidation_buffer` is a percentage."""

    window: MarginWindowType
    level: MarginLevel
    initial_margin: Notional
    maintenance_margin: Notional
    liquidation_buffer: Decimal
    total_hold: Notional
    buying_power: Notional


class FuturesSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The futures balance summary of an account, in USD."""

    buying_power: Notional
    total_usd: Notional
    spot_usd: Notional
    futures_usd: Notional
    open_orders_hold: Notional
    unrealized: Notional
    realized_today: Notional
    initial_margin: Notional
    available_margin: Notional
    liquidation_threshold: Notional
    liquidation_buffer: Notional
    liquidation_buffer_percentage: Decimal
    funding: Notional
    intraday: MarginMeasure
    overnight: MarginMeasure


class OrderChanged(msgspec.Struct, frozen=True, kw_only=True):
    """An account's order is now in this state (a copy)."""

    ts_ns: int
    account_id: str
    order: ExchangeOrder


class FillMade(msgspec.Struct, frozen=True, kw_only=True):
    """An account's order was filled, wholly or in part."""

    ts_ns: int
    account_id: str
    fill: ExchangeFill


class FundingPaid(msgspec.Struct, frozen=True, kw_only=True):
    """An hour's funding was accrued: positive amounts were received by the account."""

    ts_ns: int
    account_id: str
    product_id: str
    funding_ns: int
    rate: Decimal
    amount: Notional


ExchangeEvent: TypeAlias = BookChanged | TradePrinted | OrderChanged | FillMade | FundingPaid
