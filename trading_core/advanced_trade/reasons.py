"""Which refusals of the venue belong to normal trading and which do not. The values are Coinbase's exact enums."""

from __future__ import annotations

UNKNOWN_REASONS = frozenset({"", "UNKNOWN_FAILURE_REASON", "UNKNOWN_PREVIEW_FAILURE_REASON"})

# Expected: the market moved, or the market was in a state that we are told of and may run into.
EXPECTED_REASONS = frozenset(
    {
        "INVALID_LIMIT_PRICE_POST_ONLY",
        "INVALID_NO_LIQUIDITY",
        "LIMIT_PRICE_TOO_FAR_FROM_MARKET",
        "LIMIT_ORDER_PRICE_EXCEEDS_PRICE_BAND_ON_BUY",
        "LIMIT_ORDER_PRICE_EXCEEDS_PRICE_BAND_ON_SELL",
        "STOP_PRICE_ABOVE_LAST_TRADE_PRICE",
        "STOP_PRICE_BELOW_LAST_TRADE_PRICE",
        "STOP_ALREADY_TRIGGERED",
        "STOP_TRIGGERED",
        "BREACHED_PRICE_LIMIT",
        "NOT_ALLOWED_BY_MARKET_STATE",
        "ORDER_ENTRY_DISABLED",
        "TRADING_DISABLED",
        "PRODUCT_TRADING_HALTED",
        "INVALID_FCM_TRADING_SESSION",
        "FUTURES_AFTER_HOUR_INVALID_ORDER_TYPE",
        "FUTURES_AFTER_HOUR_INVALID_TIME_IN_FORCE",
    }
)

# Unexpected: our own sizing, rounding, limits or set-up should have prevented each of these.
UNEXPECTED_REASONS = frozenset(
    {
        "UNSUPPORTED_ORDER_CONFIGURATION",
        "INVALID_ORDER_CONFIG",
        "INVALID_SIDE",
        "INVALID_PRODUCT_ID",
        "INVALID_SIZE_PRECISION",
        "INVALID_QUOTE_SIZE_PRECISION",
        "INVALID_PRICE_PRECISION",
        "INVALID_LIMIT_PRICE_PRECISION",
        "INVALID_STOP_PRICE_PRECISION",
        "INVALID_LIMIT_PRICE",
        "INVALID_STOP_PRICE",
        "INVALID_PRICE_TOO_LARGE",
        "INVALID_BASE_SIZE_TOO_LARGE",
        "INVALID_BASE_SIZE_TOO_SMALL",
        "INVALID_QUOTE_SIZE_TOO_LARGE",
        "INVALID_QUOTE_SIZE_TOO_SMALL",
        "STOP_PRICE_ABOVE_LIMIT_PRICE",
        "STOP_PRICE_BELOW_LIMIT_PRICE",
        "INSUFFICIENT_FUND",
        "INSUFFICIENT_FUNDS",
        "INSUFFICIENT_FUNDS_FOR_FUTURES",
        "INSUFFICIENT_LEDGER_BALANCE",
        "INVALID_LEDGER_BALANCE",
        "INVALID_REQUEST",
        "INELIGIBLE_PAIR",
        "UNTRADABLE_PRODUCT",
        "GEOFENCING_RESTRICTION",
        "COMMANDER_REJECTED_NEW_ORDER",
        "DUPLICATE_CLIENT_ORDER_ID",
        "IN_LIQUIDATION",
        "INVALID_MARGIN_TYPE",
        "INVALID_MARGIN_HEALTH",
        "INVALID_LEVERAGE",
        "CLOSE_ONLY_FAILURE",
        "OPPOSITE_MARGIN_TYPE_EXISTS",
        "BREACHED_RISK_LIMIT",
        "BREACHED_ACCOUNT_POSITION_LIMIT",
        "BREACHED_COMPANY_POSITION_LIMIT",
        "BREACHED_OPEN_INTEREST_LIMIT",
        "POSITION_SIZE_INCREASE_REJECT",
        "ASSET_BALANCE_INCREASE_REJECT",
        "REDUCE_ONLY_NOT_ALLOWED_ON_VENUE",
        "REDUCE_ONLY_NOT_ALLOWED_ON_SPOT_PRODUCTS",
        "REDUCE_ONLY_INCREASED_POSITION_SIZE",
        "CANNOT_CLOSE_ZERO_POSITION",
        "GTD_ORDERS_MUST_HAVE_END_TIME",
        "END_TIME_IS_IN_THE_PAST",
        "END_TIME_TOO_FAR_IN_FUTURE",
        "END_TIME_AFTER_CONTRACT_EXPIRATION",
        "INVALID_END_TIME",
        # User channel: accepted first, refused later.
        "HOLD_FAILURE",
        "TOO_MANY_OPEN_ORDERS",
        "REJECT_REASON_INSUFFICIENT_FUNDS",
        "RATE_LIMIT_EXCEEDED",
    }
)

# EditOrderFailureReason: the order, or the market, was faster than we were, or it rests as asked already.
EXPECTED_EDIT_REASONS = frozenset(
    {
        "CANNOT_EDIT_TO_BELOW_FILLED_SIZE",
        "EDIT_REQUEST_EQUAL_TO_ORIGINAL_REQUEST",
        "ONLY_OPEN_ORDERS_CAN_BE_EDITED",
        "ORDER_IS_ALREADY_BEING_REPLACED",
        "CANNOT_EDIT_ORDER_PENDING_CANCEL",
        "CANNOT_EDIT_TRIGGERED_ORDER",
        "INSUFFICIENT_TIME_TO_EDIT",
        "EXCEEDED_MAX_ALLOWED_EDIT_REQUEST_COUNT",
    }
)


def is_expected(reason: str) -> bool:
    """Tell whether normal trading may meet the refusal; a reason that no table knows is unexpected."""
    return reason.removeprefix("PREVIEW_") in EXPECTED_REASONS


def is_expected_edit(reason: str, preview_reason: str) -> bool:
    """Tell whether normal trading may meet the refusal of an edit: a race, or what a new order may meet as well."""
    return reason in EXPECTED_EDIT_REASONS or is_expected(preview_reason)


def first_known(*candidates: str) -> str:
    """Return the first reason that says something, else the first that is not empty."""
    for candidate in candidates:
        if candidate not in UNKNOWN_REASONS:
            return candidate
    return next((c for c in candidates if c), "UNKNOWN_FAILURE_REASON")
