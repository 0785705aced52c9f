"""A control server on a free port with accounts in its folder, and clients that may or may not ask."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests

from tests.dead_sessions import NO_PID
from trading_core.clock import NS, wall_now_ns
from trading_core.control.accounts import account_guard
from trading_core.control.app import make_app
from trading_core.control.auth import read_token
from trading_core.control.config import ControlSettings
from trading_core.control.server import ControlThread
from trading_core.heartbeat import Beat, beat_path
from trading_core.run import Endpoint
from trading_core.trading_state import TradingState

TIMEOUT_S = 20
LIVE, ENDED = "rehearsal-a", "rehearsal-b"


@dataclass
class ControlRig:
    """A served control API. The account LIVE has a session that beats, ENDED one that has ended."""

    root: Path
    settings: ControlSettings
    url: str
    authority: Path | None = None  # that signed the server's certificate

    @property
    def port(self) -> int:
        """Return the server's port."""
        return urlsplit(self.url).port or 0

    @property
    def token(self) -> str:
        """Return the server's token."""
        return read_token(self.settings.token_path)

    def ask(self, method: str, path: str, *, token: str | None = None, **more: Any) -> requests.Response:
        """Ask, with the token if one is given."""
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        with requests.Session() as client:
            client.trust_env = False
            if self.authority is not None:
                client.verify = str(self.authority)
            return client.request(method, self.url + path, headers=headers, timeout=TIMEOUT_S, **more)

    def post(self, path: str, *, key: str = "", **more: Any) -> requests.Response:
        """Ask with the right token."""
        headers = {**more.pop("headers", {}), **({"Idempotency-Key": key} if key else {})}
        return self.ask("POST", path, token=self.token, headers=headers, **more)

    def state(self, account: str = LIVE) -> TradingState:
        """Return the account's state, as a session would read it."""
        return account_guard(self.root, account).state

    def reset(self) -> None:
        """Put both accounts back to how they were at the start."""
        write_beat(self.root, LIVE)
        write_beat(self.root, ENDED, has_ended=True, is_flat=True)
        self.set_state(TradingState.ACTIVE)
        self.set_state(TradingState.ACTIVE, ENDED)

    def set_state(self, state: TradingState, account: str = LIVE) -> None:
        """Set the state as an operator would."""
        account_guard(self.root, account).loosen(state, reason="test", operator="test")


@contextmanager
def control_rig(folder: Path, authority: Path | None = None, **changes: Any) -> Iterator[ControlRig]:
    """Yield a served control API with two accounts, both ACTIVE."""
    root = folder / "events"
    settings = ControlSettings(event_store_root=root, artifacts_root=folder / "artifacts", port=0, **changes)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    with ControlThread(make_app(settings), settings) as server:
        rig = ControlRig(root, settings, server.url, authority)
        rig.reset()
        yield rig


def write_beat(root: Path, account: str, **changes: Any) -> Beat:
    """Write the beat of a session on the venue `simulated` whose process has ended."""
    now_ns = wall_now_ns()
    beat = Beat(
        account=account, run_id=account.removeprefix("rehearsal-"), plan="phase2", venue="simulated",
        pid=NO_PID, run_dir=str(root / "no-run"), endpoint=Endpoint().model_dump_json(),
        started_ns=now_ns - 60 * NS, beat_ns=now_ns, lost_after_s=30,
    )
    beat = msgspec.structs.replace(beat, **changes)
    path = beat_path(root, account)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(beat))
    return beat
