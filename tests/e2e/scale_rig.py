"""Prefect's server as many machines run it: on PostgreSQL and Redis, two replicas of the API, services beside them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from redis import Redis
from sqlalchemy import create_engine, text

from flows.up import free_port
from tests.e2e.command import wait_for

SERVER = "127.0.0.1:5432"
REDIS = "redis://127.0.0.1:6379"
READY_WITHIN_S = 180.0
PYTHON = (sys.executable, "-m")
AUTH = ("greenlight", "rehearsal-password-of-the-test")


@dataclass
class Cluster:
    """The parts, their environment and what they left. `apis` are the addresses of the replicas."""

    root: Path
    events_url: str
    environ: dict[str, str]
    apis: list[str] = field(default_factory=list)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: str, **extra: str) -> subprocess.Popen[bytes]:
        """Start a part; it is the head of its own process group."""
        with (self.root / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                (*PYTHON, *command), env={**self.environ, **extra}, cwd=self.root, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )
        self.processes[name] = process
        return process

    def once(self, name: str, *command: str, **extra: str) -> None:
        """Run a command to its end; it must succeed."""
        process = self.start(name, *command, **extra)
        assert process.wait(READY_WITHIN_S) == 0, self.log(name)
        del self.processes[name]

    def log(self, name: str) -> str:
        """Return the last words of a part."""
        return (self.root / f"{name}.log").read_text("utf-8", errors="replace")[-3000:]

    def ask(self, method: str, path: str, body: object = None, replica: int = 0) -> Any:
        """Return a replica's answer."""
        answer = requests.request(method, f"{self.apis[replica]}/{path}", json=body, auth=AUTH, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def start_run(self, deployment: str, request: dict[str, Any], replica: int = 0) -> str:
        """Ask for a run as the UI's form does, and return Prefect's id of it."""
        known = self.ask("GET", f"deployments/name/{deployment}", replica=replica)
        body = {"parameters": {"request": request}, "state": {"type": "SCHEDULED"}}
        return str(self.ask("POST", f"deployments/{known['id']}/create_flow_run", body, replica)["id"])

    def states(self) -> dict[str, str]:
        """Return the state of each rollout by our run id."""
        of_rollouts = {"limit": 200, "flows": {"name": {"any_": ["rollout"]}}}
        runs = self.ask("POST", "flow_runs/filter", of_rollouts, replica=1)
        return {run["parameters"]["request"]["run_id"]: run["state"]["name"] for run in runs if run["state"]}


@contextmanager
def cluster(root: Path) -> Iterator[Cluster]:
    """Start the server's parts on databases of their own, and end and drop all of it."""
    with ExitStack() as held:
        prefect_db = held.enter_context(_database(f"greenlight_prefect_{os.getpid()}"))
        events_db = held.enter_context(_database(f"greenlight_events_{os.getpid()}"))
        redis_url = held.enter_context(_redis())
        made = Cluster(root, f"postgresql+psycopg://root@{SERVER}/{events_db}", _environ(root, prefect_db, redis_url))
        held.callback(_end, made)
        made.once("database", "prefect", "server", "database", "upgrade", "-y")
        for number in (1, 2):
            port = free_port()
            words = ("prefect", "server", "start", "--no-services", "--host", "127.0.0.1", "--port", str(port))
            name, api = f"api-{number}", f"http://127.0.0.1:{port}/api"
            made.start(name, *words, PREFECT_HOME=str(root / name))
            made.apis.append(api)
            # One after the other: two that register their block types at once fail on each other's rows.
            assert wait_for(_is_up(made, name, api), READY_WITHIN_S), made.log(name)
            assert made.processes[name].poll() is None, made.log(name)
        made.start("services", "prefect", "server", "services", "start", PREFECT_HOME=str(root / "services"))
        yield made


def _environ(root: Path, prefect_db: str, redis_url: str) -> dict[str, str]:
    auth = ":".join(AUTH)
    ours = ("COINBASE_", "GREENLIGHT_", "PREFECT_", "MAX_IMPACT", "EVENT_STORE", "ARTIFACTS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
        "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://root@{SERVER}/{prefect_db}",
        "PREFECT_API_DATABASE_MIGRATE_ON_START": "false",
        "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE": "prefect_redis.cleanup_queue",
        "PREFECT_REDIS_MESSAGING_URL": redis_url,
        "PREFECT_SERVER_DOCKET_URL": redis_url,
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_API_AUTH_STRING": auth,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_HOME": str(root / "home"),
    }


@contextmanager
def _database(name: str) -> Iterator[str]:
    engine = create_engine(f"postgresql+psycopg://root@{SERVER}/test", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield name
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


@contextmanager
def _redis() -> Iterator[str]:
    """Give the address of a database of Redis that nobody uses, emptied afterwards."""
    numbers = (n for n in range(15, 0, -1) if _connect(n).dbsize() == 0)
    number = next(numbers)
    try:
        yield f"{REDIS}/{number}"
    finally:
        _connect(number).flushdb()


def _connect(number: int) -> Redis:
    return Redis.from_url(f"{REDIS}/{number}")


def _is_up(made: Cluster, name: str, api: str) -> Callable[[], bool]:
    return lambda: made.processes[name].poll() is not None or _answers(api)


def _answers(api: str) -> bool:
    try:
        return requests.get(f"{api}/health", auth=AUTH, timeout=5).ok
    except requests.RequestException:
        return False


def _end(made: Cluster) -> None:
    for name, process in reversed(made.processes.items()):
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(60 if name.startswith("worker") else 20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
