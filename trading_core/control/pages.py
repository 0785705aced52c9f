"""The dashboard's routes: the page, its feed, the history, acknowledgements, and what Prometheus asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from trading_core.alert_book import acknowledge
from trading_core.control.api import read_body
from trading_core.control.auth import COOKIE, csrf_of
from trading_core.control.bodies import Words
from trading_core.control.config import ControlSettings
from trading_core.control.feed import VIEWERS_MAX, Hub
from trading_core.control.history import list_history, served_file
from trading_core.control.metrics import readiness, scrape
from trading_core.control.room import require_reader, room_of
from trading_core.errors import ConfigurationError
from trading_core.plan import PlanModel

STATIC = Path(__file__).parent / "static"
ASSETS = {"dashboard.css": "text/css; charset=utf-8", "dashboard.js": "text/javascript; charset=utf-8"}
# A report is our own HTML, but what it shows came from a venue: it may style itself, and nothing else.
REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; sandbox allow-popups"


class Acknowledge(PlanModel):
    """Which alert, who has seen it, and what they found."""

    alert_id: Annotated[str, Field(min_length=1, max_length=300)]
    by: Words
    note: Annotated[str, Field(max_length=300)] = ""


def dashboard_routes(settings: ControlSettings) -> list[BaseRoute]:
    """Return the routes that make_app is given beside the API's."""
    hub = Hub(settings)
    return [
        Route("/", page, methods=["GET"]),
        Route("/static/{name}", asset, methods=["GET"]),
        Route("/session", session, methods=["GET"]),
        Route("/feed", Watching(hub).feed, methods=["GET"]),
        Route("/curve", Watching(hub).curve, methods=["GET"]),
        Route("/metrics", Watching(hub).metrics, methods=["GET"]),
        Route("/history", history, methods=["GET"]),
        Route("/reports/{plan}/{run}/{name}", report, methods=["GET"]),
        Route("/api/alerts/ack", ack, methods=["POST"]),
        Route("/health", health, methods=["GET"]),
        Route("/ready", ready, methods=["GET"]),
    ]


class Watching:
    """The routes that read the hub's views."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def feed(self, request: Request) -> Response:
        """Stream a run's view until the viewer leaves."""
        require_reader(request)
        if self._hub.viewers >= VIEWERS_MAX:
            raise HTTPException(503, f"{VIEWERS_MAX} pages are watching (the limit): close one")
        watch = await self._hub.watch(request.query_params.get("run", ""))
        return StreamingResponse(
            self._hub.stream(watch), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )

    async def curve(self, request: Request) -> Response:
        """Return the points of the curves so far."""
        require_reader(request)
        watch = await self._hub.watch(request.query_params.get("run", ""))
        return JSONResponse({"run": watch.context.run_id, "points": watch.points()})

    async def metrics(self, request: Request) -> Response:
        """Return the figures as Prometheus reads them; a run that cannot be read leaves its figures out."""
        require_reader(request)
        try:
            watch = await self._hub.watch("")
        except ConfigurationError:
            watch = None
        text = await run_in_threadpool(scrape, self._hub.settings, watch, self._hub.viewers)
        return Response(text, media_type=CONTENT_TYPE_LATEST)


async def page(_: Request) -> Response:
    """Return the page. It shows nothing until its reader is known."""
    return FileResponse(STATIC / "dashboard.html", media_type="text/html; charset=utf-8")


async def asset(request: Request) -> Response:
    """Return the page's style or script."""
    name = request.path_params["name"]
    if name not in ASSETS:
        raise HTTPException(404, "there is no such file")
    return FileResponse(STATIC / name, media_type=ASSETS[name])


async def session(request: Request) -> Response:
    """Tell a page whether it is signed in, and give it its own proof: another site cannot read this answer."""
    asked = room_of(request).auth.caller_of(request) if request.cookies.get(COOKIE) else None
    if asked is None or not asked.is_known:
        return JSONResponse({"is_signed_in": False})
    return JSONResponse({"is_signed_in": True, "csrf": csrf_of(request.cookies[COOKIE])})


async def history(request: Request) -> Response:
    """Return the latest runs with their verdicts."""
    require_reader(request)
    return JSONResponse({"runs": await run_in_threadpool(list_history, room_of(request).settings)})


async def report(request: Request) -> Response:
    """Return one file of a run that people read."""
    require_reader(request)
    given = request.path_params
    try:
        path, kind = served_file(room_of(request).settings, given["plan"], given["run"], given["name"])
    except ConfigurationError as e:
        raise HTTPException(404, str(e)) from e
    return FileResponse(path, media_type=kind, headers={"content-security-policy": REPORT_POLICY})


async def ack(request: Request) -> Response:
    """Note that a person has seen an alert."""
    require_reader(request)
    body = await read_body(request, Acknowledge)
    root = room_of(request).settings.event_store_root
    alert = await run_in_threadpool(lambda: acknowledge(root, body.alert_id, by=body.by, note=body.note))
    return JSONResponse({"alert_id": alert.alert_id, "acknowledged_by": alert.acknowledged_by})


async def health(_: Request) -> Response:
    """Tell that the process lives."""
    return JSONResponse({"status": "alive"})


async def ready(request: Request) -> Response:
    """Tell whether the store can be read and every session that should beat does; 503 with the reason if not."""
    problem = await run_in_threadpool(readiness, room_of(request).settings)
    return JSONResponse({"is_ready": not problem, "problem": problem}, 503 if problem else 200)
