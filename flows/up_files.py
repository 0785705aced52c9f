"""What `greenlight up` leaves on the disk: Prefect's password, and which processes it started."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import msgspec

from trading_core.errors import ConfigurationError

TOKEN_BYTES = 24
USER = "greenlight"
AUTH_FILE = "auth"
UP_FILE = "up.json"
PROC = Path("/proc")


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A process with the moment at which it started: the same number later may be another process."""

    name: str
    pid: int
    start_ticks: int

    @property
    def is_running(self) -> bool:
        """Tell whether this very process is there; one gone when it was named, or that nobody reaped, is not."""
        return self.start_ticks >= 0 and start_ticks_of(self.pid) == self.start_ticks


class Up(msgspec.Struct, frozen=True, kw_only=True):
    """What one `greenlight up` started, and where it answers."""

    api_url: str
    dashboard_url: str
    supervisor: Started
    children: list[Started]


def start_ticks_of(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; -1 if it does not run."""
    try:
        fields = (PROC / str(pid) / "stat").read_text("ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if not fields or fields[0] in ("Z", "X") else int(fields[19])


def started(name: str, pid: int) -> Started:
    """Return the running process of that number as a name that stays its own."""
    return Started(name=name, pid=pid, start_ticks=start_ticks_of(pid))


def auth_string(home: Path) -> str:
    """Return Prefect's user and password; made at first use, for its owner only.

    Raises ConfigurationError if others may read the file, or it holds no password.
    """
    path = home / AUTH_FILE
    try:
        home.mkdir(parents=True, exist_ok=True)
        os.chmod(home, 0o700)  # Prefect's database has the key of its own secrets
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_auth(home)
    except OSError as e:
        raise ConfigurationError(f"password file {path} cannot be made ({e.strerror}): set PREFECT_HOME") from e
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{USER}:{secrets.token_urlsafe(TOKEN_BYTES)}\n")
    return read_auth(home)


def read_auth(home: Path) -> str:
    """Return Prefect's user and password; raises ConfigurationError if they cannot be used."""
    path = home / AUTH_FILE
    try:
        mode, text = path.stat().st_mode & 0o777, path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigurationError(f"password file {path} cannot be read ({e}): remove it and start again") from e
    if mode & 0o077:
        raise ConfigurationError(f"password file {path} has mode {mode:04o} (limit 0600): remove it and start again")
    if len(text.partition(":")[2]) < TOKEN_BYTES:
        raise ConfigurationError(f"password file {path} holds no password: remove it and start again")
    return text


def write_up(home: Path, up: Up) -> None:
    """Write down what was started, for `down`, `doctor` and for runs that want to show in the UI."""
    beside = home / f"{UP_FILE}.{os.getpid()}"
    beside.write_bytes(msgspec.json.encode(up))
    beside.replace(home / UP_FILE)


def read_up(home: Path) -> Up | None:
    """Return what the last `up` started; None if there was none, or its file says nothing."""
    try:
        return msgspec.json.decode((home / UP_FILE).read_bytes(), type=Up)
    except (OSError, msgspec.DecodeError):
        return None


def running_up(home: Path) -> Up | None:
    """Return what is up now; None if its supervisor is gone."""
    up = read_up(home)
    return up if up is not None and up.supervisor.is_running else None


def forget_up(home: Path) -> None:
    """Remove the record; nothing happens if there is none."""
    (home / UP_FILE).unlink(missing_ok=True)
