"""One Prefect server for all end-to-end tests, and folders of its own for each."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.command import Home, left_behind, wait_for

SERVER_WITHIN_S = 180.0
ENDS_WITHIN_S = 20.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def prefect_api_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server on a free loopback port, ended with the session."""
    folder = tmp_path_factory.mktemp("prefect")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(folder), "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING", "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    }
    prefect = str(Path(sys.executable).parent / "prefect")
    command = [prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}/api"
        has_come = wait_for(lambda: server.poll() is not None or _is_healthy(url), SERVER_WITHIN_S)
        assert has_come
        assert server.poll() is None, (folder / "server.log").read_text("utf-8")
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(ENDS_WITHIN_S)


@pytest.fixture
def home(tmp_path: Path, prefect_api_url: str) -> Iterator[Home]:
    """Folders of the test; when it ends, none of its commands and none of their children may be left."""
    made = Home(tmp_path, prefect_api_url)
    yield made
    assert wait_for(lambda: not left_behind(made), ENDS_WITHIN_S), f"still running: {left_behind(made)}"


@pytest.fixture
def bare_home(tmp_path: Path) -> Home:
    """Folders for commands that must end before Prefect is needed: its address leads nowhere."""
    return Home(tmp_path, "http://127.0.0.1:1/api")


def _is_healthy(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=2).ok
    except requests.RequestException:
        return False
