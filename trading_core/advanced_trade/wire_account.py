"""What the account has, owes and may do: accounts, futures, fee tier, key permissions."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import msgspec

from trading_core.advanced_trade.wire import Amount, moment_ns, money, number
from trading_core.events import FeeTierRead
from trading_core.ports import KeyPermissions


class AccountBody(msgspec.Struct, frozen=True):
    """One currency; what is available excludes what is held by open orders."""

    currency: str
    available_balance: Amount | None
    hold: Amount | None


class AccountsBody(msgspec.Struct, frozen=True):
    """GET /accounts, one page."""

    accounts: list[AccountBody]
    has_next: bool
    cursor: str = ""


class MarginMeasure(msgspec.Struct, frozen=True):
    """How the account stands in one margin window."""

    margin_level: str


class BalanceSummary(msgspec.Struct, frozen=True):
    """The futures account."""

    initial_margin: Amount | str | None
    available_margin: Amount | str | None
    funding_pnl: Amount | str | None = None
    intraday_margin_window_measure: MarginMeasure | None = None
    overnight_margin_window_measure: MarginMeasure | None = None


class BalanceSummaryBody(msgspec.Struct, frozen=True):
    """GET /cfm/balance_summary; null for an account without futures."""

    balance_summary: BalanceSummary | None


class PositionBody(msgspec.Struct, frozen=True):
    """One futures position in contracts."""

    product_id: str
    side: str
    number_of_contracts: str


class PositionsBody(msgspec.Struct, frozen=True):
    """GET /cfm/positions."""

    positions: list[PositionBody]


class MarginWindow(msgspec.Struct, frozen=True):
    """The margin window that holds now."""

    margin_window_type: str
    end_time: str = ""


class MarginWindowBody(msgspec.Struct, frozen=True):
    """GET /cfm/intraday/current_margin_window."""

    margin_window: MarginWindow | None


class FeeTier(msgspec.Struct, frozen=True):
    """The fee tier; rates are fractions."""

    pricing_tier: str
    maker_fee_rate: str
    taker_fee_rate: str


class TransactionSummaryBody(msgspec.Struct, frozen=True):
    """GET /transaction_summary. Its totals are JSON numbers, so they are not read."""

    fee_tier: FeeTier


class PermissionsBody(msgspec.Struct, frozen=True):
    """GET /key_permissions."""

    can_view: bool
    can_trade: bool
    can_transfer: bool
    portfolio_uuid: str


def totals_of(accounts: list[AccountBody]) -> dict[str, Decimal]:
    """Return available plus hold by currency."""
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for account in accounts:
        totals[account.currency] += money(account.available_balance, "Account.available_balance.value")
        totals[account.currency] += money(account.hold, "Account.hold.value")
    return dict(totals)


def positions_of(body: PositionsBody) -> dict[str, Decimal]:
    """Return contracts by product, short ones negative; closed positions are left out."""
    signed = {
        p.product_id: (-1 if p.side == "SHORT" else 1)
        * number(p.number_of_contracts, "FCMPosition.number_of_contracts")
        for p in body.positions
    }
    return {product_id: contracts for product_id, contracts in signed.items() if contracts != 0}


def window_of(body: MarginWindowBody) -> str:
    """Return INTRADAY, OVERNIGHT, WEEKEND or TRANSITION; empty if the venue does not say."""
    return body.margin_window.margin_window_type.removeprefix("MARGIN_WINDOW_TYPE_") if body.margin_window else ""


def window_end_of(body: MarginWindowBody) -> int | None:
    """Return when the window ends; None if the venue does not say."""
    text = body.margin_window.end_time if body.margin_window else ""
    return moment_ns(text, "MarginWindow.end_time") if text else None


def level_of(summary: BalanceSummary, window: str) -> str:
    """Return BASE, WARNING, DANGER or LIQUIDATION for the window that holds."""
    intraday, overnight = summary.intraday_margin_window_measure, summary.overnight_margin_window_measure
    measure = intraday if window == "INTRADAY" else overnight
    return measure.margin_level.removeprefix("MARGIN_LEVEL_TYPE_") if measure else ""


def fee_tier_of(body: TransactionSummaryBody, ts_ns: int) -> FeeTierRead:
    """Return the fee tier as an event."""
    tier = body.fee_tier
    return FeeTierRead(
        ts_ns=ts_ns,
        tier=tier.pricing_tier,
        maker_rate=number(tier.maker_fee_rate, "FeeTier.maker_fee_rate"),
        taker_rate=number(tier.taker_fee_rate, "FeeTier.taker_fee_rate"),
    )


def permissions_of(body: PermissionsBody) -> KeyPermissions:
    """Return what the key may do."""
    return KeyPermissions(body.can_view, body.can_trade, body.can_transfer, body.portfolio_uuid)
