"""Futures operations: balance summary, positions, margin windows and sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from trading_core.advanced_trade.gateway_call import Call, Handler, Sweep
from trading_core.advanced_trade.gateway_http import invalid_argument, not_found
from trading_core.advanced_trade.numbers import parse_number
from trading_core.clock import NS
from trading_core.local_exchange.model import FuturesPosition, FuturesSummary, MarginMeasure
from trading_core.money import plain

SWEEP_DELAY_NS = 24 * 3_600 * NS
SWEEPS_MAX = 100


def get_balance_summary(call: Call) -> Mapping[str, Any]:
    """Answer GetFCMBalanceSummary: money as {value, currency} objects, measures as plain strings."""
    summary = call.exchange.futures_summary(call.account_id)
    amounts = {name: {"value": value, "currency": "USD"} for name, value in _figures(summary).items()}
    return {
        "balance_summary": {
            **amounts,
            "total_pending_transfers_amount": {"value": Decimal(0), "currency": "USD"},
            "funding_pnl": {"value": summary.funding, "currency": "USD"},
            "liquidation_buffer_percentage": summary.liquidation_buffer_percentage,
            "intraday_margin_window_measure": _measure(summary.intraday, "liquidation_buffer"),
            "overnight_margin_window_measure": _measure(summary.overnight, "liquidation_buffer"),
        }
    }


def stream_summary(summary: FuturesSummary) -> dict[str, Any]:
    """Return the summary as the futures_balance_summary channel has it: flat strings."""
    measures = {
        f"{name}_margin_window_measure": {
            key: plain(value) if isinstance(value, Decimal) else value
            for key, value in _measure(measure, "liquidation_buffer_percentage").items()
        }
        for name, measure in (("intraday", summary.intraday), ("overnight", summary.overnight))
    }
    return {
        **{name: plain(value) for name, value in _figures(summary).items()},
        "liquidation_buffer_percentage": plain(summary.liquidation_buffer_percentage),
        **measures,
    }


def stream_position(position: FuturesPosition) -> dict[str, str]:
    """Return a position as the user channel has it."""
    return {
        "product_id": position.product_id,
        "side": "Long" if position.contracts > 0 else "Short",
        "number_of_contracts": plain(abs(position.contracts)),
        "realized_pnl": plain(position.realized_today),
        "unrealized_pnl": plain(position.unrealized),
        "entry_price": plain(position.entry_price),
    }


def get_positions(call: Call) -> Mapping[str, Any]:
    """Answer GetFCMPositions."""
    return {"positions": [_position(call, p) for p in call.exchange.positions(call.account_id)]}


def get_position(call: Call) -> Mapping[str, Any]:
    """Answer GetFCMPosition."""
    product = call.product(call.path["product_id"])
    for position in call.exchange.positions(call.account_id):
        if position.product_id == product.product_id:
            return {"position": _position(call, position)}
    raise not_found("position not found")


def get_margin_setting(call: Call) -> Mapping[str, Any]:
    """Answer GetIntradayMarginSetting."""
    is_opted_in = call.exchange.intraday_margin(call.account_id)
    return {"setting": f"INTRADAY_MARGIN_SETTING_{'INTRADAY' if is_opted_in else 'STANDARD'}"}


def set_margin_setting(call: Call) -> Mapping[str, Any]:
    """Answer SetIntradayMarginSetting."""
    setting = call.body.get("setting", "INTRADAY_MARGIN_SETTING_UNSPECIFIED")
    if setting == "INTRADAY_MARGIN_SETTING_UNSPECIFIED":
        raise invalid_argument("setting is invalid")
    call.exchange.set_intraday_margin(call.account_id, setting == "INTRADAY_MARGIN_SETTING_INTRADAY")
    return {}


def get_margin_window(call: Call) -> Mapping[str, Any]:
    """Answer GetCurrentMarginWindow: the New York clock's, the same for every profile."""
    window = call.exchange.margin_window()
    return {"margin_window": {"margin_window_type": f"MARGIN_WINDOW_TYPE_{window.window}", "end_time": window.end_ns}}


def get_sweeps(call: Call) -> Mapping[str, Any]:
    """Answer GetFCMSweeps: what is scheduled and not yet due."""
    return {
        "sweeps": [
            {
                "id": sweep.id,
                "requested_amount": {"value": sweep.usd_amount or "0", "currency": "USD"},
                "should_sweep_all": not sweep.usd_amount,
                "status": "PENDING",
                "scheduled_time": sweep.scheduled_ns,
            }
            for sweep in call.state.sweeps
            if sweep.scheduled_ns > call.now_ns
        ]
    }


def schedule_sweep(call: Call) -> Mapping[str, Any]:
    """Answer ScheduleFCMSweep: at most one is pending; an empty amount sweeps all."""
    amount = call.body.get("usd_amount", "")
    number = parse_number(amount) if amount else None
    if amount and (number is None or number <= 0):
        raise invalid_argument("usd_amount is invalid")
    pending = [s for s in call.state.sweeps if s.scheduled_ns > call.now_ns]
    if pending:
        raise invalid_argument("a sweep is already pending")
    if len(call.state.sweeps) >= SWEEPS_MAX:
        call.state.sweeps.clear()
    name = f"{call.exchange.user_id(call.account_id)}/sweep/{call.now_ns}"
    call.state.sweeps.append(Sweep(str(uuid5(NAMESPACE_URL, name)), amount, call.now_ns + SWEEP_DELAY_NS))
    return {"success": True}


def cancel_sweep(call: Call) -> Mapping[str, Any]:
    """Answer CancelFCMSweep."""
    pending = any(s.scheduled_ns > call.now_ns for s in call.state.sweeps)
    call.state.sweeps.clear()
    return {"success": pending}


def _figures(summary: FuturesSummary) -> dict[str, Decimal]:
    return {
        "futures_buying_power": summary.buying_power,
        "total_usd_balance": summary.total_usd,
        "cbi_usd_balance": summary.spot_usd,
        "cfm_usd_balance": summary.futures_usd,
        "total_open_orders_hold_amount": summary.open_orders_hold,
        "unrealized_pnl": summary.unrealized,
        "daily_realized_pnl": summary.realized_today,
        "initial_margin": summary.initial_margin,
        "available_margin": summary.available_margin,
        "liquidation_threshold": summary.liquidation_threshold,
        "liquidation_buffer_amount": summary.liquidation_buffer,
    }


def _measure(measure: MarginMeasure, buffer_member: str) -> dict[str, Any]:
    return {
        "margin_window_type": f"FCM_MARGIN_WINDOW_TYPE_{measure.window}",
        "margin_level": f"MARGIN_LEVEL_TYPE_{measure.level}",
        "initial_margin": measure.initial_margin,
        "maintenance_margin": measure.maintenance_margin,
        buffer_member: measure.liquidation_buffer,
        "total_hold": measure.total_hold,
        "futures_buying_power": measure.buying_power,
    }


def _position(call: Call, position: FuturesPosition) -> Mapping[str, Any]:
    details = call.exchange.product_extras(position.product_id).get("future_product_details")
    expiry = details.get("contract_expiry") if isinstance(details, dict) else None
    return {
        "product_id": position.product_id,
        "expiration_time": expiry,
        "side": "LONG" if position.contracts > 0 else "SHORT",
        "number_of_contracts": abs(position.contracts),
        "current_price": position.current_price,
        "avg_entry_price": position.entry_price,
        "unrealized_pnl": position.unrealized,
        "daily_realized_pnl": position.realized_today,
    }


HANDLERS: dict[str, Handler] = {
    "GetFCMBalanceSummary": get_balance_summary,
    "GetFCMPositions": get_positions,
    "GetFCMPosition": get_position,
    "GetIntradayMarginSetting": get_margin_setting,
    "SetIntradayMarginSetting": set_margin_setting,
    "GetCurrentMarginWindow": get_margin_window,
    "GetFCMSweeps": get_sweeps,
    "ScheduleFCMSweep": schedule_sweep,
    "CancelFCMSweep": cancel_sweep,
}
