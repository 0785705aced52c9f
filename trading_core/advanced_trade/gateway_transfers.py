"""Money that moves without an order: converts, transfers between portfolios, payment methods."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from trading_core.advanced_trade.gateway_call import Call, Convert, Handler
from trading_core.advanced_trade.gateway_http import ApiError, invalid_argument, not_found
from trading_core.advanced_trade.numbers import parse_number
from trading_core.money import ONE, floor_to

OPENED = "2024-01-01T00:00:00Z"
CENT, COIN_STEP = Decimal("0.01"), Decimal("0.00000001")
CONVERTS_MAX = 1_000


def create_quote(call: Call) -> Mapping[str, Any]:
    """Answer CreateConvertQuote: the last trade's price, without a fee."""
    _check_allowed(call)
    amount = parse_number(call.body.get("amount", ""))
    source, target = (_currency(call, call.body.get(name, "")) for name in ("from_account", "to_account"))
    if amount is None or amount <= 0 or source == target:
        raise invalid_argument("amount or accounts are invalid")
    step = CENT if target == "USD" else COIN_STEP
    received = floor_to(amount * _price(call, source) / _price(call, target), step)
    name = f"{call.exchange.user_id(call.account_id)}/convert/{len(call.state.converts)}"
    quote = Convert(str(uuid5(NAMESPACE_URL, name)), source, target, amount, received)
    if len(call.state.converts) >= CONVERTS_MAX:
        raise invalid_argument(f"at most {CONVERTS_MAX} quotes are allowed")
    call.state.converts[quote.id] = quote
    return {"trade": _trade(call, quote)}


def get_trade(call: Call) -> Mapping[str, Any]:
    """Answer GetConvertTrade."""
    _check_allowed(call)
    return {"trade": _trade(call, _find(call))}


def commit_trade(call: Call) -> Mapping[str, Any]:
    """Answer CommitConvertTrade: a quote is used once."""
    _check_allowed(call)
    quote = _find(call)
    if quote.is_done:
        raise invalid_argument("trade is already committed")
    if not call.exchange.transfer(call.account_id, quote.source, -quote.amount):
        raise invalid_argument("insufficient funds in source account")
    call.exchange.transfer(call.account_id, quote.target, quote.received)
    quote.is_done = True
    return {"trade": _trade(call, quote)}


def move_funds(call: Call) -> Mapping[str, Any]:
    """Answer MovePortfolioFunds: from the account's own portfolio to one that it made, or back."""
    funds = call.body.get("funds") or {}
    amount, currency = parse_number(funds.get("value", "")), funds.get("currency", "")
    source, target = (call.body.get(f"{end}_portfolio_uuid", "") for end in ("source", "target"))
    own = call.exchange.portfolio_id(call.account_id)
    made = {p.uuid: p for p in call.state.portfolios if not p.deleted}
    if source != own and source not in made:
        raise invalid_argument("source is not enabled for trading")
    if target == source or (target != own and target not in made):
        raise invalid_argument("target is not enabled for trading")
    if amount is None or amount <= 0:
        raise invalid_argument("amount is invalid")
    has_moved = True
    if source == own:
        has_moved = call.exchange.transfer(call.account_id, currency, -amount)
    elif has_moved := made[source].funds.get(currency, Decimal(0)) >= amount:
        made[source].funds[currency] -= amount
    if not has_moved:
        raise invalid_argument("[PORTFOLIO_ERROR_CODE_INSUFFICIENT_FUNDS] insufficient funds in source account")
    if target == own:
        call.exchange.transfer(call.account_id, currency, amount)
    else:
        kept = made[target].funds
        kept[currency] = kept.get(currency, Decimal(0)) + amount
    return {"source_portfolio_uuid": source, "target_portfolio_uuid": target}


def get_payment_methods(call: Call) -> Mapping[str, Any]:
    """Answer GetPaymentMethods: the account's own cash is the only one."""
    return {"payment_methods": [_cash(call)]}


def get_payment_method(call: Call) -> Mapping[str, Any]:
    """Answer GetPaymentMethod."""
    method = _cash(call)
    if call.path["payment_method_id"] != method["id"]:
        raise not_found("payment method not found")
    return {"payment_method": method}


def _check_allowed(call: Call) -> None:
    if not call.exchange.config.compat.converts_allowed:
        raise ApiError(403, "PERMISSION_DENIED", "User is not allowed to convert crypto")


def _currency(call: Call, account: str) -> str:
    """Return the currency of an account that is named by its uuid or by the currency itself."""
    for balance in call.exchange.balances(call.account_id):
        if account in (balance.account_uuid, balance.currency):
            return balance.currency
    raise invalid_argument("account is not available")


def _price(call: Call, currency: str) -> Decimal:
    if currency in ("USD", "USDC"):
        return ONE
    try:
        return call.exchange.last_price(f"{currency}-USD")
    except KeyError:
        raise invalid_argument("account is not available") from None


def _find(call: Call) -> Convert:
    if call.path["trade_id"] not in call.state.converts:
        raise not_found("trade not found")
    return call.state.converts[call.path["trade_id"]]


def _trade(call: Call, quote: Convert) -> Mapping[str, Any]:
    wallets = {b.currency: b.account_uuid for b in call.exchange.balances(call.account_id)}
    given = {"value": quote.amount, "currency": quote.source}
    return {
        "id": quote.id,
        "status": "TRADE_STATUS_COMPLETED" if quote.is_done else "TRADE_STATUS_CREATED",
        "user_entered_amount": given,
        "amount": given,
        "subtotal": given,
        "total": {"value": quote.received, "currency": quote.target},
        "source_currency": quote.source,
        "target_currency": quote.target,
        "source_id": wallets[quote.source],
        "target_id": wallets[quote.target],
        "exchange_rate": {"value": quote.received / quote.amount, "currency": quote.target},
    }


def _cash(call: Call) -> dict[str, Any]:
    wallet = next(b for b in call.exchange.balances(call.account_id) if b.currency == "USD")
    return {
        "id": str(uuid5(NAMESPACE_URL, f"{wallet.account_uuid}/payment")), "type": "FIAT_ACCOUNT",
        "name": "Cash (USD)", "currency": "USD", "verified": True, "allow_buy": True, "allow_sell": True,
        "allow_deposit": False, "allow_withdraw": False, "created_at": OPENED, "updated_at": OPENED,
    }


HANDLERS: dict[str, Handler] = {
    "CreateConvertQuote": create_quote,
    "GetConvertTrade": get_trade,
    "CommitConvertTrade": commit_trade,
    "MovePortfolioFunds": move_funds,
    "GetPaymentMethods": get_payment_methods,
    "GetPaymentMethod": get_payment_method,
}
