"""Control routes of a served venue, on loopback and only if switched on: faults, state and time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web
from pydantic import ValidationError

from trading_core.advanced_trade.emit import dumps
from trading_core.clock import NS
from trading_core.errors import ConfigurationError
from trading_core.local_exchange.faults import FaultPlan, load_faults
from trading_core.money import plain

if TYPE_CHECKING:
    from trading_core.advanced_trade.server import VenueServer

ADVANCE_S_MAX = 86_400


def add_control_routes(app: web.Application, server: VenueServer) -> None:
    """Add `/_control/state` (GET), `/_control/faults` (GET, POST) and `/_control/advance` (POST) to the app."""

    async def state(_: web.Request) -> web.Response:
        return _json(venue_state(server))

    async def faults(request: web.Request) -> web.Response:
        if request.method == "POST":
            plan = _plan(await _body(request))
            try:
                server.exchange.set_faults(plan)
            except ConfigurationError as e:
                raise _refused(str(e)) from e
        return _json(server.exchange.config.faults.model_dump(mode="json"))

    async def advance(request: web.Request) -> web.Response:
        seconds = (await _body(request)).get("seconds")
        if not isinstance(seconds, int | float) or not 0 <= seconds <= ADVANCE_S_MAX:
            raise _refused(f"seconds was {seconds!r}: give 0 to {ADVANCE_S_MAX}")
        if not server.config.is_manual:
            raise _refused("time runs by itself here: start the server with is_manual to move it")
        server.clock.wait_until(server.clock.now_ns() + int(seconds * NS))
        server.step()
        return _json(venue_state(server))

    app.router.add_get("/_control/state", state)
    app.router.add_route("*", "/_control/faults", faults)
    app.router.add_post("/_control/advance", advance)


def venue_state(server: VenueServer) -> dict[str, Any]:
    """Return what an operator or a test wants to see of the venue: times, faults, sockets, open orders, positions."""
    exchange = server.exchange
    return {
        "now_ns": exchange.now_ns,
        "faults": exchange.config.faults.name,
        "connections": len(server.hub),
        "accounts": {
            account_id: {
                "open_orders": [o.order_id for o in exchange.open_orders(account_id)],
                "orders": len(exchange.orders(account_id)),
                "fills": len(exchange.fills(account_id)),
                "positions": {p.product_id: plain(p.contracts) for p in exchange.positions(account_id)},
                "balances": {b.currency: plain(b.total) for b in exchange.balances(account_id)},
            }
            for account_id in exchange.account_ids()
        },
    }


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        return msgspec.json.decode(await request.read(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise _refused(f"the body is no JSON object ({e})") from e


def _plan(body: dict[str, Any]) -> FaultPlan:
    """Return a preset (`{"name": …, "seed": …}`) or, with any other member, the plan that the body spells out."""
    try:
        if set(body) <= {"name", "seed"}:
            return load_faults(str(body.get("name", "none")), int(body.get("seed", 1)))
        return FaultPlan.model_validate(body)
    except (ConfigurationError, ValidationError, TypeError, ValueError) as e:
        raise _refused(str(e)) from e


def _json(body: dict[str, Any]) -> web.Response:
    return web.Response(body=dumps(body), content_type="application/json")


def _refused(why: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=dumps({"error": why}).decode(), content_type="application/json")
