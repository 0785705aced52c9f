"""The few v2 routes that third-party clients call on start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from trading_core.advanced_trade.emit import rfc3339
from trading_core.advanced_trade.gateway_call import Call, Handler
from trading_core.clock import NS
from trading_core.money import ONE, plain


def v2_currencies(_: Call) -> Mapping[str, Any]:
    """Answer GET /v2/currencies: fiat."""
    return {"data": [{"id": "USD", "name": "US Dollar", "min_size": "0.01"}]}


def v2_crypto(call: Call) -> Mapping[str, Any]:
    """Answer GET /v2/currencies/crypto."""
    return {
        "data": [
            {"asset_id": str(uuid5(NAMESPACE_URL, code)), "code": code, "name": code, "exponent": 8, "type": "crypto"}
            for code in _codes(call)
        ]
    }


def v2_rates(call: Call) -> Mapping[str, Any]:
    """Answer GET /v2/exchange-rates: units of each currency for one USD."""
    rates = {code: plain(round(ONE / call.exchange.last_price(f"{code}-USD"), 12)) for code in _codes(call)}
    return {"data": {"currency": "USD", "rates": {"USD": "1", **rates}}}


def v2_time(call: Call) -> Mapping[str, Any]:
    """Answer GET /v2/time."""
    seconds = call.now_ns // NS
    return {"data": {"iso": rfc3339(seconds * NS), "epoch": seconds}}


def v2_accounts(call: Call) -> Mapping[str, Any]:
    """Answer GET /v2/accounts: wallets with their totals."""
    return {
        "data": [
            {
                "id": b.account_uuid,
                "name": f"{b.currency} Wallet",
                "type": "fiat" if b.currency == "USD" else "wallet",
                "currency": {"code": b.currency},
                "balance": {"amount": plain(b.total), "currency": b.currency},
            }
            for b in call.exchange.balances(call.account_id)
        ],
        "pagination": {"next_starting_after": None},
    }


def _codes(call: Call) -> list[str]:
    return [p.base_currency for p in call.exchange.products() if p.product_id == f"{p.base_currency}-USD"]


V2_PUBLIC: dict[str, Handler] = {
    "/v2/currencies": v2_currencies,
    "/v2/currencies/crypto": v2_crypto,
    "/v2/exchange-rates": v2_rates,
    "/v2/time": v2_time,
}
V2_PRIVATE: dict[str, Handler] = {"/v2/accounts": v2_accounts}
