"""What stands before Prefect's application: a write that SQLite refuses is carried out again."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from deployments.prefect_server import BUSY, WaitsWhileBusy


class Locked(Exception):
    """What Prefect answers with 503, and raises after it."""


class Server:
    """An application like Prefect's, mounted like it, that refuses its first so many requests."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.bodies: list[bytes] = []
        api = Starlette(
            routes=[Route("/runs", self.run, methods=["GET", "POST"])], exception_handlers={Exception: self.refuse}
        )
        self.app = Starlette(routes=[Mount("/api", api)])

    async def run(self, request: Request) -> Response:
        """Keep the body; refuse while there are refusals left."""
        self.bodies.append(await request.body())
        if len(self.bodies) <= self.refusals:
            raise Locked
        return JSONResponse({"made": len(self.bodies)})

    async def refuse(self, _request: Request, error: Exception) -> Response:
        """Answer as Prefect does: 503 to what a client should ask again, else 500."""
        return JSONResponse({}, BUSY if isinstance(error, Locked) else 500)

    def asked(self, pauses_s: Iterable[float]) -> TestClient:
        """Return a client whose requests wait so often."""
        return TestClient(WaitsWhileBusy(self.app, tuple(pauses_s)), raise_server_exceptions=False)


@pytest.mark.parametrize("refusals", [0, 1, 2])
def test_a_write_that_is_refused_as_busy_is_carried_out_again_with_its_body(refusals: int) -> None:
    server = Server(refusals)
    answer = server.asked((0, 0)).post("/api/runs", content=b"asked")
    assert (answer.status_code, answer.json()) == (200, {"made": refusals + 1})
    assert server.bodies == [b"asked"] * (refusals + 1)


def test_a_write_that_is_refused_to_the_end_is_refused() -> None:
    server = Server(9)
    assert server.asked((0, 0)).post("/api/runs", content=b"asked").status_code == BUSY
    assert len(server.bodies) == 3


def test_a_read_is_asked_once() -> None:
    server = Server(1)
    assert server.asked((0, 0)).get("/api/runs").status_code == BUSY
    assert len(server.bodies) == 1


def test_any_other_error_is_passed_on_at_once() -> None:
    server = Server(0)
    assert server.asked((0, 0)).post("/api/nothing").status_code == 404
    assert server.bodies == []
