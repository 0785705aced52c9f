"""What goes wrong on purpose: one frozen, seeded plan that the exchange and its server consult."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from trading_core.errors import ConfigurationError


class FaultPlan(BaseModel):
    """Every fault with its strength; the default is a healthy venue. Shares are 0 to 1, per request or frame.

    The core acts on the first part, the server on everything from the clock on. `seed` drives every draw: see `draw`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "none"
    seed: int = Field(default=1, ge=0)

    # Rejections by enum, from the given order of the run on (0 is the first).
    reject_share: float = Field(default=0.0, ge=0, le=1)
    reject_reason: str = "INSUFFICIENT_FUND"
    reject_products: tuple[str, ...] = ()  # empty: all
    reject_from_order: int = Field(default=0, ge=0)

    # The market stands still and nothing is emitted between these seconds after the start; heartbeats go on.
    stale_from_s: float | None = None
    stale_for_s: float | None = None  # None: for good
    # The price jumps by this share for good at this second after the start.
    gap_at_s: float | None = None
    gap_share: float = 0.0
    depth_share: float = Field(default=1.0, gt=0, le=1)  # thin book: all sizes times this
    halted_products: tuple[str, ...] = ()  # ORDER_ENTRY_DISABLED
    margin_call_at_s: float | None = None  # from then on a position is at the edge of liquidation
    liquidation_at_s: float | None = None  # and from then on beyond it: the venue closes what is open
    # No product trades between these seconds after the start; futures orders queue, others are refused.
    maintenance_from_s: float | None = None
    maintenance_for_s: float = Field(default=60.0, gt=0)
    # The published book is crossed by some ticks between these seconds; matching is not affected.
    crossed_from_s: float | None = None
    crossed_for_s: float | None = None  # None: for good
    crossed_ticks: int = Field(default=5, gt=0)
    # Book changes get lost at the venue between these seconds, without a gap in any numbering; snapshots are right.
    book_lost_from_s: float | None = None
    book_lost_for_s: float | None = None  # None: for good
    # These products go offline at this second after the start: the status says so, and no order is taken.
    offline_products: tuple[str, ...] = ()
    offline_from_s: float = Field(default=0.0, ge=0)
    # An accepted order fails a moment later.
    fail_after_accept_share: float = Field(default=0.0, ge=0, le=1)
    fail_reason: str = "HOLD_FAILURE"
    # Cancels take this long (venue time) and may lose against fills; or surely meet a partial fill.
    cancel_delay_ms: int = Field(default=0, ge=0)
    cancel_meets_fill_share: float = Field(default=0.0, ge=0, le=1)
    # Accepted edits are applied this much later (venue time), if they still can be; until then the old order may fill.
    edit_delay_ms: int = Field(default=0, ge=0)
    edit_meets_fill_share: float = Field(default=0.0, ge=0, le=1)

    # The venue's own clock, as GET /time and every timestamp of the server show it.
    clock_offset_ms: int = 0

    # REST.
    latency_ms: int = Field(default=0, ge=0)
    latency_jitter_ms: int = Field(default=0, ge=0)
    unauthorized_share: float = Field(default=0.0, ge=0, le=1)
    rate_limited_share: float = Field(default=0.0, ge=0, le=1)
    rate_limited_as_html: bool = False
    server_error_share: float = Field(default=0.0, ge=0, le=1)
    server_error_as_html: bool = False
    create_booked_but_500_share: float = Field(default=0.0, ge=0, le=1)
    create_booked_but_500_pushes_user: bool = True
    create_reset_before_share: float = Field(default=0.0, ge=0, le=1)
    create_reset_after_share: float = Field(default=0.0, ge=0, le=1)
    edit_done_but_500_share: float = Field(default=0.0, ge=0, le=1)
    hang_share: float = Field(default=0.0, ge=0, le=1)
    hang_s: float = Field(default=30.0, ge=0)
    removed_members: tuple[str, ...] = ()  # schema drift: these members vanish from every body
    added_members: tuple[str, ...] = ()  # and these appear
    renamed_members: tuple[tuple[str, str], ...] = ()  # and these go by another name: (old, new)
    can_transfer: bool = False  # key_permissions says that the key may move money

    # WebSocket.
    frame_drop_share: float = Field(default=0.0, ge=0, le=1)
    frame_duplicate_share: float = Field(default=0.0, ge=0, le=1)
    frame_reorder_share: float = Field(default=0.0, ge=0, le=1)
    close_every_s: float | None = None
    close_code: int = 1001  # 1006: abort without a close frame

    @property
    def clock_offset_ns(self) -> int:
        """Return the offset of the venue's clock in nanoseconds."""
        return self.clock_offset_ms * 1_000_000

    def draw(self, kind: str, counter: int) -> float:
        """Return a number in [0, 1) for the `counter`-th event of a kind: the same plan, the same draws."""
        x = (self.seed * 0x9E3779B97F4A7C15 + counter * 0xBF58476D1CE4E5B9 + _name_hash(kind)) % 2**64
        for _ in range(2):
            x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
            x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
        return (x ^ (x >> 31)) / 2**64

    def hits(self, kind: str, counter: int, share: float) -> bool:
        """Tell whether the `counter`-th event of a kind is hit by a fault of that share."""
        return share > 0 and self.draw(kind, counter) < share


def _name_hash(kind: str) -> int:
    value = 0xCBF29CE484222325
    for byte in kind.encode():
        value = ((value ^ byte) * 0x100000001B3) % 2**64
    return value


PRESETS: dict[str, FaultPlan] = {
    plan.name: plan
    for plan in (
        FaultPlan(),
        FaultPlan(name="reject_all", reject_share=1.0),
        FaultPlan(name="reject_symbol", reject_share=1.0, reject_products=("SOL-USD",), reject_from_order=20),
        FaultPlan(name="reject_some", reject_share=0.3, reject_reason="INVALID_LIMIT_PRICE_POST_ONLY"),
        FaultPlan(name="reject_unknown", reject_share=0.3, reject_reason="COMMANDER_REJECTED_NEW_ORDER"),
        FaultPlan(name="stale_feed", stale_from_s=0.0),
        FaultPlan(name="stale_feed_later", stale_from_s=60.0, stale_for_s=60.0),
        FaultPlan(name="clock_off_3s", clock_offset_ms=3_000),
        FaultPlan(name="clock_off_10s", clock_offset_ms=10_000),
        FaultPlan(name="clock_behind_10s", clock_offset_ms=-10_000),
        FaultPlan(name="outcome_unknown", create_booked_but_500_share=0.2),
        FaultPlan(
            name="outcome_unknown_silent",
            create_booked_but_500_share=0.2,
            create_booked_but_500_pushes_user=False,
        ),
        FaultPlan(name="reset_before_create", create_reset_before_share=0.2),
        FaultPlan(name="reset_after_create", create_reset_after_share=0.2),
        FaultPlan(name="rate_limited", rate_limited_share=0.3),
        FaultPlan(name="rate_limited_html", rate_limited_share=0.3, rate_limited_as_html=True),
        FaultPlan(name="unauthorized_sometimes", unauthorized_share=0.05),
        FaultPlan(name="server_errors", server_error_share=0.1),
        FaultPlan(name="slow", latency_ms=800, latency_jitter_ms=200),
        FaultPlan(name="hang", hang_share=0.05),
        FaultPlan(name="schema_drift", removed_members=("success_response",), added_members=("order_id_v2",)),
        FaultPlan(name="key_can_transfer", can_transfer=True),
        FaultPlan(name="frames_lost", frame_drop_share=0.01),
        FaultPlan(name="frames_disordered", frame_duplicate_share=0.01, frame_reorder_share=0.01),
        FaultPlan(name="socket_closes", close_every_s=30.0),
        FaultPlan(name="socket_aborts", close_every_s=30.0, close_code=1006),
        FaultPlan(name="schema_rename", renamed_members=(("order_id", "order_uid"),)),
        FaultPlan(name="margin_call", margin_call_at_s=0.0),
        FaultPlan(name="liquidation", liquidation_at_s=0.0),
        FaultPlan(name="maintenance", maintenance_from_s=60.0, maintenance_for_s=120.0),
        FaultPlan(name="crossed_book", crossed_from_s=30.0, crossed_for_s=60.0),
        FaultPlan(name="book_lost", book_lost_from_s=30.0, book_lost_for_s=20.0),
        FaultPlan(name="goes_offline", offline_products=("BTC-USD", "BIP-20DEC30-CDE"), offline_from_s=60.0),
        FaultPlan(name="fails_after_accept", fail_after_accept_share=0.3),
        FaultPlan(name="cancel_race", cancel_delay_ms=500, cancel_meets_fill_share=0.5),
        FaultPlan(
            name="edit_race", edit_delay_ms=500, edit_meets_fill_share=0.5, edit_done_but_500_share=0.2
        ),
        FaultPlan(name="price_gap", gap_at_s=60.0, gap_share=-0.08),
        FaultPlan(name="thin_book", depth_share=0.02),
        FaultPlan(name="halted", halted_products=("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD")),
    )
}


def load_faults(name: str, seed: int = 1) -> FaultPlan:
    """Return the preset of that name with the seed; raises ConfigurationError with the names that exist."""
    try:
        return PRESETS[name].model_copy(update={"seed": seed})
    except KeyError:
        known = ", ".join(sorted(PRESETS))
        raise ConfigurationError(f"fault plan {name!r} does not exist: choose one of {known}") from None


# The reasons of a new order that have no preview reason of the same name, and what stands for them.
_PREVIEW_OF = {
    "INSUFFICIENT_FUNDS": "PREVIEW_INSUFFICIENT_FUNDS_FOR_FUTURES",
    "UNSUPPORTED_ORDER_CONFIGURATION": "PREVIEW_INVALID_ORDER_CONFIG",
    "ORDER_ENTRY_DISABLED": "PREVIEW_NOT_ALLOWED_BY_MARKET_STATE",
    "STOP_ALREADY_TRIGGERED": "PREVIEW_STOP_TRIGGERED",
}
_WITHOUT_PREVIEW = frozenset(
    {
        "UNKNOWN_FAILURE_REASON",
        "INELIGIBLE_PAIR",
        "INVALID_REQUEST",
        "COMMANDER_REJECTED_NEW_ORDER",
        "OPEN_BRACKET_ORDERS",
        "CANNOT_CLOSE_ZERO_POSITION",
        "MODIFY_POSITION_WORKFLOW_ALREADY_RUNNING",
        "DUPLICATE_CLIENT_ORDER_ID",
    }
)


def preview_reason(reason: str) -> str:
    """Return the PreviewFailureReason that the venue sends beside a NewOrderFailureReason."""
    if reason in _WITHOUT_PREVIEW or reason.startswith("RFQ_"):
        return "UNKNOWN_PREVIEW_FAILURE_REASON"
    return _PREVIEW_OF.get(reason, f"PREVIEW_{reason}")
