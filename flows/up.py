"""Starts everything that a person needs, waits, and stops it in order: whatever trades first, Prefect's server last."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import requests

from flows.answers import STOPPED
from flows.up_files import Up, auth_string, forget_up, running_up, started, write_up
from flows.up_flows import RUNS_WITHIN_S, await_runs, stop_runs
from flows.up_runs import settle_runs
from trading_core.clock import NS, SystemClock, pause
from trading_core.errors import ConfigurationError, GreenlightError
from trading_core.settings import Settings

HOST = "127.0.0.1"
POOL = "greenlight"
READY_WITHIN_S = 180.0  # Prefect's server on a loaded machine of two cores
LOOK_EVERY_S = 0.2
OTHERS_WITHIN_S = 20.0
PYTHON = (sys.executable, "-m")
LOGS = "logs"
ENDED_WITH_UP = {
    "type": "CANCELLED", "name": STOPPED, "message": "greenlight up was stopped: the run ends reduce-only and flat",
}
LEFT = {"type": "CRASHED", "name": "Crashed", "message": "its worker is gone: see the account's trading state"}


class NotUp(GreenlightError):
    """A part did not come up, or ended by itself."""


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """Where the parts listen; 0 takes a free port."""

    home: Path
    settings: Settings
    port: int = 4200
    control_port: int = 0
    exchange_port: int = 0


@dataclass
class Supervisor:
    """Starts the parts one after another, each the head of its own process group, and ends what it started."""

    options: UpOptions
    say: Callable[[str], None]
    _running: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)
    _is_asked_to_stop: bool = False
    _server: tuple[str, str] | None = None  # address and password, once it answers

    def run(self) -> None:
        """Start, tell, wait for a signal or the end of a part, and stop. Raises NotUp if a part failed."""
        if (up := running_up(self.options.home)) is not None:
            raise ConfigurationError(f"it is up already, process {up.supervisor.pid}: run greenlight down first")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        try:
            self._start_all()
            self._watch()
        except InterruptedError:
            self.say("stopping before everything was up")
        finally:
            self._stop_all()
            forget_up(self.options.home)

    def _start_all(self) -> None:
        options = self.options
        port = options.port or free_port()
        control_port, exchange_port = options.control_port or free_port(), options.exchange_port or free_port()
        api_url, dashboard_url = f"http://{HOST}:{port}/api", f"http://{HOST}:{control_port}"
        environ = self._environ(port, api_url, dashboard_url)
        self._start("server", (*PYTHON, "deployments.prefect_server"), environ)
        self._write(api_url, dashboard_url)
        self._wait_for("server", lambda: answers(f"{api_url}/health", environ))
        self._server = api_url, environ["PREFECT_API_AUTH_STRING"]
        # What a killed `up` left: no worker of this machine runs it any more.
        settle_runs(*self._server, POOL, LEFT, options.settings.event_store_root)
        self._once("deployments", (*PYTHON, "deployments.deploy"), environ)
        worker = (*PYTHON, "prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", _worker_name())
        self._start("worker", worker, environ)
        cli = (*PYTHON, "flows.cli")
        keys = ("--keys", str(options.home.parent / "exchange"))
        self._start("exchange", (*cli, "exchange", "serve", "--port", str(exchange_port), *keys), environ)
        self._start("control", (*cli, "control", "serve", "--port", str(control_port)), environ)
        self._start("watchdog", (*cli, "watchdog"), environ)
        self._write(api_url, dashboard_url)
        self._wait_for("exchange", lambda: listens(exchange_port))
        self._wait_for("control", lambda: listens(control_port))
        self.say(f"Prefect    http://{HOST}:{port} (password in {options.home / 'auth'})")
        self.say(f"dashboard  {dashboard_url} (token in {options.settings.event_store_root / 'control' / 'token'})")
        self.say(f"exchange   {HOST}:{exchange_port} (key files in var/exchange)")
        self.say("up: Ctrl+C stops everything; runs end reduce-only and flat")

    def _environ(self, port: int, api_url: str, dashboard_url: str) -> dict[str, str]:
        """Return the environment of every part: loopback, password on, quiet, and folders that do not depend on cwd."""
        settings, home = self.options.settings, self.options.home
        auth = auth_string(home)
        return {
            **os.environ,
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": api_url,
            "PREFECT_API_AUTH_STRING": auth,
            "PREFECT_SERVER_API_AUTH_STRING": auth,
            "PREFECT_SERVER_API_HOST": HOST,
            "PREFECT_SERVER_API_PORT": str(port),
            # Without it the UI of another port asks the default one.
            "PREFECT_SERVER_UI_API_URL": api_url,
            # Leases outlive a restart of the server: a run keeps its account.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            "PREFECT_LOCAL_STORAGE_PATH": str(home / "storage"),
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "GREENLIGHT_DASHBOARD_URL": dashboard_url,
            "EVENT_STORE_ROOT": str(settings.event_store_root.absolute()),
            "ARTIFACTS_ROOT": str(settings.artifacts_root.absolute()),
        }

    def _start(self, name: str, command: tuple[str, ...], environ: Mapping[str, str]) -> None:
        self._check()
        logs = self.options.home / LOGS
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append((name, process))

    def _once(self, name: str, command: tuple[str, ...], environ: Mapping[str, str]) -> None:
        self._start(name, command, environ)
        _, process = self._running[-1]
        while process.poll() is None:
            self._check(except_of=name)
            pause(LOOK_EVERY_S)
        if process.returncode != 0:
            raise NotUp(self._last_words(name, process.returncode))
        self._running.pop()

    def _wait_for(self, name: str, is_ready: Callable[[], bool]) -> None:
        clock = SystemClock()
        deadline_ns = clock.stopwatch_ns() + int(READY_WITHIN_S * NS)
        while not is_ready():
            self._check()
            if clock.stopwatch_ns() >= deadline_ns:
                raise NotUp(f"{name} did not answer within {READY_WITHIN_S:g} s: {self._last_words(name, None)}")
            pause(LOOK_EVERY_S)

    def _watch(self) -> None:
        while not self._is_asked_to_stop:
            self._check()
            pause(LOOK_EVERY_S)

    def _check(self, except_of: str = "") -> None:
        if self._is_asked_to_stop:
            raise InterruptedError
        for name, process in self._running:
            if name != except_of and process.poll() is not None:
                raise NotUp(self._last_words(name, process.returncode))

    def _last_words(self, name: str, code: int | None) -> str:
        path = self.options.home / LOGS / f"{name}.log"
        words = path.read_text("utf-8", errors="replace").strip()[-500:]
        return f"{name} ended with code {code} (log: {path}): {words or 'it said nothing'}"

    def _write(self, api_url: str, dashboard_url: str) -> None:
        children = [started(name, process.pid) for name, process in self._running]
        up = Up(
            api_url=api_url, dashboard_url=dashboard_url, supervisor=started("up", os.getpid()), children=children
        )
        write_up(self.options.home, up)

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._is_asked_to_stop = True

    def _stop_all(self) -> None:
        """End the worker first and wait for its runs; the watchdog looks on until they are flat; the server is last."""
        for name in ("deployments", "worker", "control", "exchange", "watchdog", "server"):
            for running_name, process in self._running:
                if running_name == name:
                    self._stop(name, process)
        self._running.clear()

    def _stop(self, name: str, process: subprocess.Popen[bytes]) -> None:
        if name == "worker":
            self._stop_worker(process)
            return
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(OTHERS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.say(f"{name} did not end within {OTHERS_WITHIN_S:g} s and is killed")
        end_group(process)

    def _stop_worker(self, process: subprocess.Popen[bytes]) -> None:
        """Kill the worker, which would kill its flows if it were asked to end, and have the runs end flat."""
        end_group(process)
        api_url = self._server[0] if self._server is not None else ""
        asked = stop_runs(api_url, self.options.settings.event_store_root)
        if self._server is not None:
            settle_runs(*self._server, POOL, ENDED_WITH_UP, None)  # before the flows are through: it tells them why
        if asked:
            self.say("waiting for the runs to end reduce-only and flat")
        for one in await_runs(asked):
            self.say(f"{one.name} (process {one.pid}) still runs after {RUNS_WITHIN_S:g} s: look at the venue")


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


def listens(port: int) -> bool:
    """Tell whether something on loopback takes connections at the port."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


def answers(url: str, environ: Mapping[str, str]) -> bool:
    """Tell whether Prefect's API answers, with the password."""
    user, _, password = environ["PREFECT_SERVER_API_AUTH_STRING"].partition(":")
    try:
        return requests.get(url, auth=(user, password), timeout=2).ok
    except requests.RequestException:
        return False


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the part's own process group, which nobody else is in."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _worker_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"
