"""What `greenlight doctor` looks at. It changes nothing, and each finding that is not well says what to do."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from flows.up import HOST, listens
from flows.up_files import read_up
from trading_core.control.accounts import STATE_FILE, list_accounts
from trading_core.errors import GreenlightError
from trading_core.prepare import LOCK_FILE
from trading_core.settings import Settings
from trading_core.state_repair import damage_of
from trading_core.storage.event_reader import list_runs

PYTHON_NEEDED = (3, 11)
PORTS = {"Prefect": 4200, "dashboard": 8080, "local exchange": 8765}
DISK_FREE_GB = 5  # a day of Stage 3 with its ticks takes a fifth of it
LOCKED = ("prefect", "fastapi", "coinbase-advanced-py", "great-expectations", "pandas", "pydantic", "websockets")


class Health(StrEnum):
    """How one thing is."""

    WELL = "well"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True)
class Found:
    """One thing that was looked at."""

    what: str
    health: Health
    found: str
    remedy: str = ""


def examine(settings: Settings, home: Path) -> list[Found]:
    """Return every finding, in the order in which a person would mend them."""
    found = [_python(), *_versions(), *_ports(home), _database(home), _event_store(settings), _clock()]
    return [*found, _disk(settings.event_store_root), *_leftovers(settings, home)]


def _python() -> Found:
    is_new = sys.version_info >= PYTHON_NEEDED
    words = ".".join(map(str, sys.version_info[:3]))
    return Found("Python", Health.WELL if is_new else Health.BROKEN, words, "" if is_new else "install 3.11 or newer")


def _versions() -> list[Found]:
    if not LOCK_FILE.exists():
        return [Found("versions", Health.WARNING, "no constraints.txt", "work in a checkout to compare with the lock")]
    pairs = (line.split("==") for line in LOCK_FILE.read_text("utf-8").split())
    locked = {name.lower().replace("_", "-"): pinned for name, pinned in pairs}
    wrong = {name: words for name in LOCKED if (words := _differs(name, locked.get(name, "")))}
    if not wrong:
        return [Found("versions", Health.WELL, f"{len(LOCKED)} packages as locked")]
    return [Found(name, Health.BROKEN, words, "make clean, then make rollout") for name, words in wrong.items()]


def _differs(name: str, locked: str) -> str:
    try:
        there = version(name)
    except PackageNotFoundError:
        return f"not installed (locked: {locked})"
    return "" if there == locked else f"{there} (locked: {locked})"


def _ports(home: Path) -> list[Found]:
    up = read_up(home)
    if up is not None and up.supervisor.is_running:
        return [Found("ports", Health.WELL, f"up: {up.api_url}, {up.dashboard_url}")]
    taken = [
        Found(f"port of {name}", Health.WARNING, f"{HOST}:{port} is taken by another program",
              "end it, or give greenlight up another port")
        for name, port in PORTS.items() if listens(port)
    ]
    return taken or [Found("ports", Health.WELL, "not up; " + ", ".join(map(str, PORTS.values())) + " are free")]


def _database(home: Path) -> Found:
    path = home / "prefect.db"
    if not path.exists():
        return Found("Prefect's database", Health.WELL, "not made yet")
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
        try:
            answer = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.Error as e:
        answer = str(e)
    size = f"{path.stat().st_size / 2**20:.0f} MiB"
    if answer == "ok":
        return Found("Prefect's database", Health.WELL, size)
    return Found("Prefect's database", Health.BROKEN, answer[:200], f"greenlight down, then move {path} away")


def _event_store(settings: Settings) -> Found:
    if not settings.store.is_server and not settings.store.path.exists():
        return Found("event store", Health.WELL, "not made yet")
    try:
        runs = list_runs(settings.store)
    except GreenlightError as e:
        return Found("event store", Health.BROKEN, str(e)[:300], "copy it away before anything else; see the runbook")
    unsealed = sum(not run.is_sealed for run in runs)
    return Found("event store", Health.WELL, f"{len(runs)} runs, {unsealed} of them not sealed")


def _clock() -> Found:
    """Return whether the machine keeps its clock in step; by how much it is off only the venue can say."""
    try:
        asked = subprocess.run(
            ["timedatectl", "show", "--property=NTPSynchronized", "--value"],
            capture_output=True, text=True, timeout=5, check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return Found("clock", Health.WARNING, "nothing says if NTP is in step", "preflight compares with the venue")
    if asked.stdout.strip() == "yes":
        return Found("clock", Health.WELL, "NTP is in step")
    return Found("clock", Health.BROKEN, "NTP is not in step", "timedatectl set-ntp true; tokens fail over 5 s")


def _disk(root: Path) -> Found:
    there = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    free_gb = shutil.disk_usage(there).free / 1e9
    if free_gb >= DISK_FREE_GB:
        return Found("disk", Health.WELL, f"{free_gb:.0f} GB free at {there}")
    return Found("disk", Health.BROKEN, f"{free_gb:.1f} GB free at {there} (limit {DISK_FREE_GB} GB)", "make room")


def _leftovers(settings: Settings, home: Path) -> list[Found]:
    looks: tuple[Callable[[], Found | None], ...] = (
        lambda: _killed_up(home), lambda: _lost_sessions(settings), lambda: _damaged_states(settings)
    )
    return [f for look in looks if (f := look()) is not None] or [Found("leftovers", Health.WELL, "none")]


def _killed_up(home: Path) -> Found | None:
    up = read_up(home)
    if up is None or up.supervisor.is_running:
        return None
    left = [child.name for child in up.children if child.is_running]
    health = Health.BROKEN if left else Health.WARNING
    return Found("leftovers", health, f"a killed up left: {', '.join(left) or 'its record only'}", "greenlight down")


def _lost_sessions(settings: Settings) -> Found | None:
    lost = [a.name for a in list_accounts(settings.event_store_root) if a.has_open_session and not _beats(a.beat)]
    if not lost:
        return None
    return Found(
        "sessions", Health.BROKEN, f"never said that they ended: {', '.join(lost)[:200]}",
        "look at the venue; greenlight emergency close-all, or run again under the same run id",
    )


def _damaged_states(settings: Settings) -> Found | None:
    root = settings.event_store_root
    for account in list_accounts(root):
        try:
            words = damage_of(root / "accounts" / account.name / STATE_FILE).words
        except GreenlightError as e:
            return Found("trading state", Health.BROKEN, str(e), "make the file readable; until then it is HALTED")
        if words:
            return Found(
                "trading state", Health.BROKEN, f"of account {account.name}: {words}; it is HALTED",
                f"greenlight state repair --account {account.name} --operator NAME --reason WHY",
            )
    return None


def _beats(beat: object) -> bool:
    pid = getattr(beat, "pid", None)
    return isinstance(pid, int) and Path(f"/proc/{pid}").exists()
