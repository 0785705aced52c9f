"""The control server's application: who may ask, what becomes of it, and what is written down."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from trading_core.control.api import api_routes, error_handlers
from trading_core.control.config import ControlSettings
from trading_core.control.front_door import FrontDoor
from trading_core.control.room import Room


def make_app(settings: ControlSettings, more: Sequence[BaseRoute] = ()) -> Starlette:
    """Return the application with the API's routes and those that are given; makes the token on first use.

    Every handler finds the Room at `room_of(request)`; a page that only shows calls `require_reader` first.
    """
    app = Starlette(
        routes=[*api_routes(), *more],
        middleware=[Middleware(FrontDoor, settings=settings)],
        exception_handlers=error_handlers(),
    )
    app.state.room = Room(settings)
    return app
