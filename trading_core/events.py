"""Everything that happens in a run, one frozen struct each. Inputs drive the engine, records say what it did."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal, TypeAlias

import msgspec

from trading_core.events_decisions import DRILL as DRILL
from trading_core.events_decisions import BookDoubted as BookDoubted
from trading_core.events_decisions import BracketAdopted as BracketAdopted
from trading_core.events_decisions import CancelRequested as CancelRequested
from trading_core.events_decisions import EditRequested as EditRequested
from trading_core.events_decisions import FundingAccrued as FundingAccrued
from trading_core.events_decisions import FundingSkipped as FundingSkipped
from trading_core.events_decisions import LocalStopChanged as LocalStopChanged
from trading_core.events_decisions import MarginWindowAnnounced as MarginWindowAnnounced
from trading_core.events_decisions import OrderDenied as OrderDenied
from trading_core.events_decisions import OrderReplaced as OrderReplaced
from trading_core.events_decisions import OrderSubmitted as OrderSubmitted
from trading_core.events_decisions import SignalFiltered as SignalFiltered
from trading_core.events_decisions import SignalRaised as SignalRaised
from trading_core.events_decisions import SizedDown as SizedDown
from trading_core.events_decisions import StrategyChosen as StrategyChosen
from trading_core.events_decisions import SymbolTightened as SymbolTightened
from trading_core.events_market import BarClosed as BarClosed
from trading_core.events_market import BookChanged as BookChanged
from trading_core.events_market import Event as Event
from trading_core.events_market import HeartbeatReceived as HeartbeatReceived
from trading_core.events_market import Levels as Levels
from trading_core.events_market import MarginTold as MarginTold
from trading_core.events_market import StatusTold as StatusTold
from trading_core.events_market import StreamChanged as StreamChanged
from trading_core.events_market import StreamState as StreamState
from trading_core.events_market import TouchQuoted as TouchQuoted
from trading_core.events_market import TradePrinted as TradePrinted
from trading_core.events_session import RequestRepeated as RequestRepeated
from trading_core.events_session import SessionReconciled as SessionReconciled
from trading_core.events_session import SessionResumed as SessionResumed
from trading_core.events_session import SessionStarted as SessionStarted
from trading_core.events_session import StrayOrderFound as StrayOrderFound
from trading_core.events_session import TransferBooked as TransferBooked
from trading_core.events_session import TransferFiled as TransferFiled
from trading_core.money import Bps, Notional, Price, Size
from trading_core.orders import Fill, VenueOrder
from trading_core.trading_state import TradingState


# ── orders: what the venue said ─────────────────────────────────────────────────────────────────
class OrderAccepted(Event, frozen=True, kw_only=True, tag=True):
    """The venue accepted the order; latency is from send to answer, in real milliseconds."""

    client_order_id: str
    order_id: str
    latency_ms: Decimal
    attached_order_id: str = ""  # of the bracket that guards its fills


class OrderRejected(Event, frozen=True, kw_only=True, tag=True):
    """The venue refused the order. `reason` is Coinbase's enum, `is_expected` our reading of it."""

    client_order_id: str
    reason: str
    is_expected: bool
    message: str = ""
    latency_ms: Decimal = Decimal(0)


class OrderLost(Event, frozen=True, kw_only=True, tag=True):
    """The order was sent and its outcome is unknown: it counts as full exposure until resolved."""

    client_order_id: str
    cause: str


class OrderNotFound(Event, frozen=True, kw_only=True, tag=True):
    """The venue was asked and does not know the client order id."""

    client_order_id: str


class OrderReported(Event, frozen=True, kw_only=True, tag=True):
    """The venue reports an order, cumulative: on the user channel, or as the answer to a REST question."""

    order: VenueOrder
    is_answer: bool = False


class FillBooked(Event, frozen=True, kw_only=True, tag=True):
    """A fill, confirmed by the fills endpoint; the ledger books it once per entry id."""

    fill: Fill


class CancelAnswered(Event, frozen=True, kw_only=True, tag=True):
    """The venue took or refused a cancel request."""

    client_order_id: str
    is_accepted: bool
    reason: str = ""


class EditAnswered(Event, frozen=True, kw_only=True, tag=True):
    """The venue took or refused an edit; a refused one, also one that we withheld, leaves the order as it was."""

    client_order_id: str
    is_accepted: bool
    reason: str = ""
    is_expected: bool = True
    latency_ms: Decimal | None = None


class EditLost(Event, frozen=True, kw_only=True, tag=True):
    """No answer to an edit: the order may rest as it was or as asked."""

    client_order_id: str
    cause: str


class SubmitWithheld(Event, frozen=True, kw_only=True, tag=True):
    """The session did not send an approved order: the state was tightened, or the store is not durable."""

    client_order_id: str
    reason: str


# ── account, time, control ──────────────────────────────────────────────────────────────────────
class AccountRead(Event, frozen=True, kw_only=True, tag=True):
    """The venue's own figures: totals (available plus hold) by currency, positions in contracts, margin.

    Margin available is what is left of the margin that there is, after what is used.
    """

    balances: dict[str, Decimal]
    positions: dict[str, Decimal]
    margin_used: Notional
    margin_available: Notional
    margin_window: str
    open_orders: int
    margin_level: str = ""
    clock_offset_s: Decimal | None = None  # venue's clock minus ours
    margin_window_ends_ns: int | None = None
    funding: Notional | None = None  # that the venue has counted so far, in cash or not; None if it does not say


class FeeTierRead(Event, frozen=True, kw_only=True, tag=True):
    """The account's fee tier from the transaction summary; rates are fractions."""

    tier: str
    maker_rate: Decimal
    taker_rate: Decimal


class FundingRead(Event, frozen=True, kw_only=True, tag=True):
    """The rate that the venue settled a perpetual future at, at its last funding time."""

    product_id: str
    funding_ns: int
    rate: Decimal


class ClockTicked(Event, frozen=True, kw_only=True, tag=True):
    """A second of venue time passed."""


class StateChanged(Event, frozen=True, kw_only=True, tag=True):
    """The trading state is now this one."""

    state: TradingState
    reason: str
    actor: str


class RunEnding(Event, frozen=True, kw_only=True, tag=True):
    """From here on the engine only leaves: cancels what rests, closes what is open."""

    reason: str


class ArtifactsSaved(Event, frozen=True, kw_only=True, tag=True):
    """The artifacts were saved as of now: rows by artifact name. The evidence of the five-minute saves."""

    rows: dict[str, int]


class TailRepaired(Event, frozen=True, kw_only=True, tag=True):
    """The end of the stored chain was torn: it goes on behind `last_good_seq`, the rest is in quarantine.

    `set_aside` counts the rows that were moved there, by table; `missing` the events that were counted as stored
    and are nowhere. `detail` says what was found.
    """

    last_good_seq: int
    set_aside: dict[str, int]
    missing: int
    detail: str


class VenueFailed(Event, frozen=True, kw_only=True, tag=True):
    """A question to the venue failed; `kind` is the error's class name."""

    kind: str
    detail: str


# ── records: what the engine decided ────────────────────────────────────────────────────────────
class SnapshotTaken(Event, frozen=True, kw_only=True, tag=True):
    """Our books beside the venue's, at one moment. Money in quote currency."""

    equity: Notional
    opening_equity: Notional
    realized: Notional
    unrealized: Notional
    fees: Notional
    funding: Notional
    transfers: Notional
    positions: dict[str, Decimal]
    marks: dict[str, Decimal]
    venue_balances: dict[str, Decimal]
    expected_balances: dict[str, Decimal]
    drift: Notional
    is_quiescent: bool
    margin_used: Notional
    margin_available: Notional
    margin_utilization: Decimal
    margin_window: str
    margin_source: Literal["venue", "calendar"] = "venue"  # who says which window holds
    open_orders: int
    staleness_s: dict[str, Decimal]
    spread_bps: dict[str, Decimal]


class GuardrailTripped(Event, frozen=True, kw_only=True, tag=True):
    """A guardrail latched; the state tightens to `state`."""

    name: str
    observed: str
    limit: str
    state: TradingState
    detail: str = ""  # what the figure counts, such as the last rejection's reason


class GuardrailWatched(Event, frozen=True, kw_only=True, tag=True):
    """How well a guardrail was watched up to now: evaluations with a figure, the longest gap, the worst figure."""

    name: str
    evaluations: int
    longest_gap_s: Decimal
    worst: Decimal | None
    limit: Decimal


class AlertRaised(Event, frozen=True, kw_only=True, tag=True):
    """A threshold of the plan was crossed."""

    name: str
    severity: str
    detail: str


class AlertCleared(Event, frozen=True, kw_only=True, tag=True):
    """The figure behind a raised alert is well inside its limit again."""

    name: str
    severity: str
    detail: str


class CheckpointReached(Event, frozen=True, kw_only=True, tag=True):
    """A checkpoint of the plan, hours after trading began. `late_s` is negative for one that the run's end brought."""

    at_h: int
    late_s: Decimal
    figures: dict[str, Decimal]  # equity, orders so far, e-process, and each watched metric


class FiguresTaken(Event, frozen=True, kw_only=True, tag=True):
    """What people watch, as of one tick. Maps are by product, `watched` by metric; money in quote currency."""

    state: TradingState
    equity: Notional
    pnl: Notional
    day_pnl: Notional
    margin_utilization: Decimal
    open_orders: int
    positions: dict[str, Size]
    unrealized: dict[str, Notional]
    marks: dict[str, Price]
    seen_ns: dict[str, int]  # the last change of each book: the time of the mark, from which its age follows
    spread_bps: dict[str, Bps]
    depth_l10: dict[str, Notional]  # over ten levels, the thinner side
    liquidity: dict[str, Decimal]  # 100: the plan's largest entry would not move the price; 0: it is at the limit
    watched: dict[str, Decimal]


class StepEnded(Event, frozen=True, kw_only=True, tag=True):
    """A step of the stage's protocol ended; `is_shown` tells whether its effect was provoked and seen."""

    step: str
    is_shown: bool
    detail: str
    measurements: dict[str, Decimal] = {}


AnyEvent: TypeAlias = (
    BookChanged | TradePrinted | StreamChanged | HeartbeatReceived | TouchQuoted | StatusTold | BarClosed
    | MarginTold | BookDoubted | TransferFiled | TransferBooked | OrderAccepted | OrderRejected | OrderLost
    | OrderNotFound | OrderReported | FillBooked | CancelAnswered | SubmitWithheld | AccountRead | FeeTierRead
    | ClockTicked | StateChanged | RunEnding | ArtifactsSaved | TailRepaired | VenueFailed | SignalRaised | SizedDown
    | FundingRead | EditAnswered | EditLost | EditRequested
    | OrderDenied | OrderSubmitted | SignalFiltered | StrategyChosen | BracketAdopted | LocalStopChanged | OrderReplaced
    | SymbolTightened | MarginWindowAnnounced | FundingAccrued | FundingSkipped
    | CancelRequested | SnapshotTaken | GuardrailTripped | GuardrailWatched | AlertRaised | AlertCleared
    | CheckpointReached | FiguresTaken | StepEnded
    | SessionStarted | SessionResumed | SessionReconciled | StrayOrderFound | RequestRepeated
)
# Kept in packed blocks, not row by row: what comes every second or oftener.
Tick: TypeAlias = BookChanged | TradePrinted | HeartbeatReceived | TouchQuoted | ClockTicked
# For isinstance: a union would be built at each call.
MARKET = (BookChanged, TradePrinted, HeartbeatReceived)
TICKS = (*MARKET, TouchQuoted, ClockTicked)

_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_encoder = msgspec.json.Encoder(order="sorted", decimal_format="string")


def encode(event: Event) -> bytes:
    """Return the canonical JSON of an event: sorted keys, decimals as strings."""
    return _encoder.encode(event)


def encode_lines(events: Sequence[Event]) -> bytes:
    """Return the canonical JSON of each event, and a newline after each."""
    return _encoder.encode_lines(events)


def decode(payload: bytes) -> AnyEvent:
    """Return the event of a canonical JSON payload."""
    return _decoder.decode(payload)
