"""The raw wire members of a product with what moves: prices, day statistics, funding and session."""

from __future__ import annotations

from copy import deepcopy
from decimal import Decimal
from hashlib import blake2b

from trading_core.clock import iso
from trading_core.local_exchange.catalogue import Listing
from trading_core.local_exchange.fees import HOUR_NS
from trading_core.local_exchange.market import Market
from trading_core.local_exchange.model import DayStats
from trading_core.local_exchange.sessions import Session
from trading_core.money import plain
from trading_core.orders import Side
from trading_core.products import ProductType

DAY_NS = 24 * HOUR_NS
SESSION_STARTS_NS = 21 * HOUR_NS  # 21:00Z to 21:00Z, as captured
FUNDING_STEP = Decimal("0.000001")
PERCENT = Decimal("0.00000000000001")


def funding_rate(listing: Listing, hour_ns: int) -> Decimal:
    """Return the rate that was settled at the hour: the captured rate, give or take."""
    base = listing.product.funding_rate or Decimal(0)
    digest = blake2b(f"{listing.product.product_id}/{hour_ns // HOUR_NS}".encode(), digest_size=2).digest()
    return base + (int.from_bytes(digest, "big") % 21 - 12) * FUNDING_STEP


def live_members(
    listing: Listing, market: Market, stats: DayStats, session: Session, now_ns: int
) -> dict[str, object]:
    """Return the wire's members of the product as they are now."""
    tick = market.product.price_increment
    bid, ask = market.best(Side.BUY), market.best(Side.SELL)
    middle = "" if bid is None or ask is None else plain((bid + ask) * tick / 2)
    members = deepcopy(listing.raw)
    members |= {
        "price": plain(stats.last),
        "price_percentage_change_24h": plain(((stats.last / stats.open - 1) * 100).quantize(PERCENT)),
        "volume_24h": plain(stats.volume),
        "approximate_quote_24h_volume": plain(stats.quote_volume.quantize(Decimal("0.01"))),
    }
    if "high_24h" in members:
        members |= {"high_24h": plain(stats.high), "low_24h": plain(stats.low)}
    if listing.product.product_type is ProductType.FUTURE:
        members["mid_market_price"] = middle
        members["future_product_details"] = _future(listing, members, stats.last, now_ns)
        members["fcm_trading_session_details"] = _session(members, session, now_ns)
    return members


def _future(listing: Listing, members: dict[str, object], last: Decimal, now_ns: int) -> object:
    details = members.get("future_product_details")
    if not isinstance(details, dict):
        return details
    hour = now_ns // HOUR_NS * HOUR_NS
    return details | {
        "funding_rate": plain(funding_rate(listing, hour)),
        "funding_time": _whole(hour),
        "index_price": plain(last),
        "settlement_price": plain(last),
    }


def _session(members: dict[str, object], session: Session, now_ns: int) -> object:
    details = members.get("fcm_trading_session_details")
    if not isinstance(details, dict):
        return details
    opened = (now_ns - SESSION_STARTS_NS) // DAY_NS * DAY_NS + SESSION_STARTS_NS
    closed, is_open = session.closed, session.state.is_open
    open_ns, close_ns = opened, opened + DAY_NS
    if closed is not None and not is_open:
        open_ns, close_ns = closed.end_ns, closed.start_ns
    elif closed is not None:
        close_ns = min(close_ns, closed.start_ns)
    is_maintenance = closed is not None and closed.reason == "EXCHANGE_MAINTENANCE"
    maintenance = None
    if closed is not None and is_maintenance:
        maintenance = {"start_time": _whole(closed.start_ns), "end_time": _whole(closed.end_ns)}
    reason = "EXCHANGE_MAINTENANCE" if closed is None else closed.reason  # production fills it even while open
    return details | {
        "is_session_open": is_open,
        "session_state": f"FCM_TRADING_SESSION_STATE_{session.state}",
        "closed_reason": f"FCM_TRADING_SESSION_CLOSED_REASON_{reason}",
        "open_time": _whole(open_ns),
        "close_time": _whole(close_ns),
        "maintenance": maintenance,
    }


def _whole(ts_ns: int) -> str:
    """Return RFC 3339 in whole seconds."""
    return iso(ts_ns)[:19] + "Z"
