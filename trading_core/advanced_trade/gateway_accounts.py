"""Account operations: balances, fees, key permissions and portfolios."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from trading_core.advanced_trade.gateway_call import Call, Handler, Portfolio
from trading_core.advanced_trade.gateway_http import invalid_argument, not_found
from trading_core.advanced_trade.keys import Scope
from trading_core.local_exchange.model import Balance, FuturesPosition
from trading_core.money import ONE, ZERO, to_cents

OPENED = "2024-01-01T00:00:00Z"
ACCOUNTS_DEFAULT, ACCOUNTS_MAX = 49, 250
DOLLARS = frozenset({"USD", "USDC"})
PORTFOLIOS_MAX = 20


def get_accounts(call: Call) -> Mapping[str, Any]:
    """Answer GetAccounts: the cursor is the uuid of the page's last account."""
    balances = call.exchange.balances(call.account_id)
    start = 0
    if cursor := call.params.get("cursor"):
        uuids = [b.account_uuid for b in balances]
        if cursor not in uuids:
            raise invalid_argument("cursor is invalid")
        start = uuids.index(cursor) + 1
    page = balances[start : start + call.limit(ACCOUNTS_DEFAULT, ACCOUNTS_MAX)]
    has_next = start + len(page) < len(balances)
    return {
        "accounts": [_account(call, balance) for balance in page],
        "has_next": has_next,
        "cursor": page[-1].account_uuid if has_next else "",
        "size": len(page),
    }


def get_account(call: Call) -> Mapping[str, Any]:
    """Answer GetAccount."""
    for balance in call.exchange.balances(call.account_id):
        if balance.account_uuid == call.path["account_uuid"]:
            return {"account": _account(call, balance)}
    raise not_found("account not found")


def get_transaction_summary(call: Call) -> Mapping[str, Any]:
    """Answer GetTransactionSummary: volumes and fees are real JSON numbers here."""
    summary = call.exchange.fee_summary(call.account_id)
    tier = summary.tier
    is_last = tier.volume_to <= tier.volume_from
    volume_to = "" if is_last else tier.volume_to
    return {
        "total_volume": summary.volume,
        "total_fees": summary.fees,
        "fee_tier": {
            "pricing_tier": tier.name,
            "taker_fee_rate": tier.taker_rate,
            "maker_fee_rate": tier.maker_rate,
            "aop_from": ZERO,
            "aop_to": volume_to,
            "usd_from": tier.volume_from,
            "usd_to": volume_to,
            "volume_types_and_range": [
                {
                    "volume_types": ["VOLUME_TYPE_SPOT", "VOLUME_TYPE_US_DERIVATIVES"],
                    "vol_from": tier.volume_from,
                    "vol_to": volume_to,
                }
            ],
        },
        "advanced_trade_only_volume": summary.volume,
        "advanced_trade_only_fees": summary.fees,
        "total_balance": to_cents(_equity(call)),
        "volume_breakdown": [{"volume_type": "VOLUME_TYPE_SPOT", "volume": summary.volume}],
    }


def get_key_permissions(call: Call) -> Mapping[str, Any]:
    """Answer GetApiKeyPermissions."""
    return {
        "can_view": Scope.VIEW in call.scopes,
        "can_trade": Scope.TRADE in call.scopes,
        "can_transfer": Scope.TRANSFER in call.scopes or call.exchange.config.faults.can_transfer,
        "portfolio_uuid": call.exchange.portfolio_id(call.account_id),
        "portfolio_type": "DEFAULT",
    }


def get_portfolios(call: Call) -> Mapping[str, Any]:
    """Answer GetPortfolios."""
    kind = call.params.get("portfolio_type", "UNDEFINED")
    return {"portfolios": [_portfolio(p) for p in _portfolios(call) if kind in ("UNDEFINED", p.type)]}


def get_portfolio_breakdown(call: Call) -> Mapping[str, Any]:
    """Answer GetPortfolioBreakdown: equity in USD; spot positions carry JSON numbers."""
    portfolio = _find(call)
    if portfolio.uuid != call.exchange.portfolio_id(call.account_id):
        cash = sum((v for name, v in portfolio.funds.items() if name in DOLLARS), ZERO)
        crypto = sum((v * _price(call, name) for name, v in portfolio.funds.items() if name not in DOLLARS), ZERO)
        balances = _balances(cash, crypto, ZERO, ZERO)
        return {"breakdown": {"portfolio": _portfolio(portfolio), "portfolio_balances": balances}}
    spot = [_spot_position(call, balance) for balance in call.exchange.balances(call.account_id) if balance.total]
    cash = sum((s["total_balance_fiat"] for s in spot if s["is_cash"]), ZERO)
    crypto = sum((s["total_balance_fiat"] for s in spot if not s["is_cash"]), ZERO)
    positions = call.exchange.positions(call.account_id)
    # Funding that has accrued shows in the positions until it is paid in cash.
    unrealized = sum((p.unrealized for p in positions), call.exchange.accrued_funding(call.account_id))
    futures = call.exchange.futures_summary(call.account_id).futures_usd
    total = cash + crypto + unrealized
    for row in spot:
        row["allocation"] = row["total_balance_fiat"] / total if total else ZERO
    return {
        "breakdown": {
            "portfolio": _portfolio(portfolio),
            "portfolio_balances": _balances(cash, crypto, futures, unrealized),
            "spot_positions": spot,
            "futures_positions": [_futures_position(call, p) for p in positions],
        }
    }


def create_portfolio(call: Call) -> Mapping[str, Any]:
    """Answer CreatePortfolio. Portfolios besides the account's own are names without money."""
    name = _name(call)
    made = call.state.portfolios
    if len(made) >= PORTFOLIOS_MAX:
        raise invalid_argument(f"at most {PORTFOLIOS_MAX} portfolios are allowed")
    if any(p.name == name for p in _portfolios(call)):
        raise invalid_argument("portfolio name is already in use")
    portfolio = Portfolio(name, str(uuid5(NAMESPACE_URL, f"{call.exchange.user_id(call.account_id)}/{len(made)}")))
    made.append(portfolio)
    return {"portfolio": _portfolio(portfolio)}


def edit_portfolio(call: Call) -> Mapping[str, Any]:
    """Answer EditPortfolio."""
    portfolio = _find_own(call)
    portfolio.name = _name(call)
    return {"portfolio": _portfolio(portfolio)}


def delete_portfolio(call: Call) -> Mapping[str, Any]:
    """Answer DeletePortfolio."""
    _find_own(call).deleted = True
    return {}


def _account(call: Call, balance: Balance) -> Mapping[str, Any]:
    is_fiat = balance.currency == "USD"
    return {
        "uuid": balance.account_uuid,
        "name": f"Cash ({balance.currency})" if is_fiat else f"{balance.currency} Wallet",
        "currency": balance.currency,
        "available_balance": {"value": balance.available, "currency": balance.currency},
        "default": True,
        "active": True,
        "created_at": OPENED,
        "updated_at": OPENED,
        "type": "ACCOUNT_TYPE_FIAT" if is_fiat else "ACCOUNT_TYPE_CRYPTO",
        "ready": True,
        "hold": {"value": balance.hold, "currency": balance.currency},
        "retail_portfolio_id": call.exchange.portfolio_id(call.account_id),
        "platform": "ACCOUNT_PLATFORM_CONSUMER",
    }


def _equity(call: Call) -> Decimal:
    spot = sum((b.total * _price(call, b.currency) for b in call.exchange.balances(call.account_id)), ZERO)
    accrued = call.exchange.accrued_funding(call.account_id)
    return spot + sum((p.unrealized for p in call.exchange.positions(call.account_id)), accrued)


def _price(call: Call, currency: str) -> Decimal:
    """Return what one unit is worth in USD; zero for a currency without a market here."""
    if currency in DOLLARS:
        return ONE
    try:
        return call.exchange.last_price(f"{currency}-USD")
    except KeyError:
        return ZERO


def _portfolios(call: Call) -> list[Portfolio]:
    own = Portfolio("Default", call.exchange.portfolio_id(call.account_id), "DEFAULT")
    return [own, *(p for p in call.state.portfolios if not p.deleted)]


def _find(call: Call) -> Portfolio:
    for portfolio in _portfolios(call):
        if portfolio.uuid == call.path["portfolio_uuid"]:
            return portfolio
    raise not_found("portfolio not found")


def _find_own(call: Call) -> Portfolio:
    portfolio = _find(call)
    if portfolio.type == "DEFAULT":
        raise invalid_argument("the default portfolio cannot be changed")
    return portfolio


def _name(call: Call) -> str:
    name: str = call.body.get("name", "")
    if not name:
        raise invalid_argument("portfolio name is required")
    return name


def _portfolio(portfolio: Portfolio) -> dict[str, Any]:
    return {"name": portfolio.name, "uuid": portfolio.uuid, "type": portfolio.type, "deleted": portfolio.deleted}


def _balances(cash: Decimal, crypto: Decimal, futures: Decimal, unrealized: Decimal) -> dict[str, Any]:
    figures = {
        "total_balance": cash + crypto + unrealized,
        "total_futures_balance": futures,
        "total_cash_equivalent_balance": cash,
        "total_crypto_balance": crypto,
        "futures_unrealized_pnl": unrealized,
        "perp_unrealized_pnl": ZERO,
        "total_equities_balance": ZERO,
    }
    return {name: {"value": to_cents(value), "currency": "USD"} for name, value in figures.items()}


def _spot_position(call: Call, balance: Balance) -> dict[str, Any]:
    price, is_cash = _price(call, balance.currency), balance.currency in DOLLARS
    return {
        "asset": balance.currency,
        "account_uuid": balance.account_uuid,
        "total_balance_fiat": balance.total * price,
        "total_balance_crypto": balance.total,
        "available_to_trade_fiat": balance.available * price,
        "is_cash": is_cash,
        "available_to_trade_crypto": balance.available,
        "account_type": "ACCOUNT_TYPE_FIAT" if balance.currency == "USD" else "ACCOUNT_TYPE_WALLET",
        "available_to_transfer_fiat": balance.available * price,
        "available_to_transfer_crypto": balance.available,
        "available_to_send_fiat": balance.available * price,
        "available_to_send_crypto": balance.available,
    }


def _futures_position(call: Call, position: FuturesPosition) -> dict[str, Any]:
    product = call.exchange.product(position.product_id)
    side = "LONG" if position.contracts > 0 else "SHORT"
    return {
        "product_id": position.product_id,
        "contract_size": product.contract_size,
        "side": f"FUTURES_POSITION_SIDE_{side}",
        "amount": abs(position.contracts),
        "avg_entry_price": position.entry_price,
        "current_price": position.current_price,
        "unrealized_pnl": position.unrealized,
        "underlying_asset": product.base_currency,
        "product_name": product.display_name,
        "venue": "FCM",
        "notional_value": product.notional(abs(position.contracts), position.current_price),
        "price_increment": product.price_increment,
    }


HANDLERS: dict[str, Handler] = {
    "GetAccounts": get_accounts,
    "GetAccount": get_account,
    "GetTransactionSummary": get_transaction_summary,
    "GetApiKeyPermissions": get_key_permissions,
    "GetPortfolios": get_portfolios,
    "GetPortfolioBreakdown": get_portfolio_breakdown,
    "CreatePortfolio": create_portfolio,
    "EditPortfolio": edit_portfolio,
    "DeletePortfolio": delete_portfolio,
}
