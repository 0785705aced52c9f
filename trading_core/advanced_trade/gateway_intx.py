"""International derivatives as they were before 2026-09-09: a legacy profile without positions, off by default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from trading_core.advanced_trade.gateway_call import Call, Handler
from trading_core.advanced_trade.gateway_http import ApiError, invalid_argument, not_found
from trading_core.advanced_trade.numbers import parse_number
from trading_core.local_exchange.catalogue import load_listings
from trading_core.money import ZERO

_NOTHING = {"value": ZERO, "currency": "USDC"}
_FIGURES = ("unrealized_pnl", "buying_power", "total_balance", "max_withdrawal_amount")


def _legacy(answer: Callable[[Call], Mapping[str, Any]]) -> Handler:
    """Answer only with the legacy profile switched on: otherwise the venue knows no such user."""

    @wraps(answer)
    def guarded(call: Call) -> Mapping[str, Any]:
        if not call.exchange.config.compat.intx_legacy:
            raise ApiError(403, "PERMISSION_DENIED", "User is not allowed to trade perpetuals on INTX")
        return answer(call)

    return guarded


def get_summary(call: Call) -> Mapping[str, Any]:
    """Answer GetIntxPortfolioSummary."""
    return {
        "portfolios": [_portfolio(call)],
        "summary": dict.fromkeys(_FIGURES, _NOTHING),
    }


def get_positions(call: Call) -> Mapping[str, Any]:
    """Answer GetIntxPositions: there are none."""
    return {"positions": [], "summary": {"aggregated_pnl": _NOTHING}, "portfolio_summary": _portfolio(call)}


def get_position(call: Call) -> Mapping[str, Any]:
    """Answer GetIntxPosition: flat in every product that the venue had."""
    symbol = call.path["symbol"]
    if symbol not in load_listings() or not symbol.endswith("-INTX"):
        raise not_found("position not found")
    return {"position": {"product_id": symbol, "symbol": symbol, "portfolio_uuid": _own(call), "net_size": ZERO}}


def get_balances(call: Call) -> Mapping[str, Any]:
    """Answer GetIntxBalances."""
    return {"portfolio_balances": [{"portfolio_uuid": _own(call), "balances": []}]}


def allocate(call: Call) -> Mapping[str, Any]:
    """Answer AllocatePortfolio."""
    amount = parse_number(call.body.get("amount", ""))
    if amount is None or amount <= 0:
        raise invalid_argument("amount is invalid")
    return {}


def set_collateral(call: Call) -> Mapping[str, Any]:
    """Answer IntxMultiAssetCollateral."""
    return {"multi_asset_collateral_enabled": call.body.get("multi_asset_collateral_enabled", False)}


def _own(call: Call) -> str:
    own = call.exchange.portfolio_id(call.account_id)
    if call.path.get("portfolio_uuid", own) != own:
        raise not_found("portfolio not found")
    return own


def _portfolio(call: Call) -> dict[str, Any]:
    return {"portfolio_uuid": _own(call), "collateral": ZERO, "total_balance": _NOTHING, "buying_power": _NOTHING}


HANDLERS: dict[str, Handler] = {
    "GetIntxPortfolioSummary": _legacy(get_summary),
    "GetIntxPositions": _legacy(get_positions),
    "GetIntxPosition": _legacy(get_position),
    "GetIntxBalances": _legacy(get_balances),
    "AllocatePortfolio": _legacy(allocate),
    "IntxMultiAssetCollateral": _legacy(set_collateral),
}
