"""After a whole run at the local exchange, no artifact, log or database holds its key, and no served page its token."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import requests

from tests.chaos.local_session import local_run, short_plan
from tests.dashboard_runs import settings_of
from trading_core.alert_book import AlertBook
from trading_core.alert_desk import AlertDesk
from trading_core.alert_sinks import LogSink
from trading_core.bootstrap import account_name
from trading_core.control.app import make_app
from trading_core.control.auth import read_token
from trading_core.control.pages import dashboard_routes
from trading_core.control.server import ControlThread
from trading_core.logs import Redactor, logging_to

PARTS = 24  # letters of a secret that count as the secret


def pieces(secret: str) -> set[bytes]:
    """Return what would betray a secret: each of its long words, plain and in base64."""
    words = {w for line in secret.replace("\\n", "\n").splitlines() for w in line.split() if len(w) >= PARTS}
    return {w.encode() for w in words} | {base64.b64encode(w.encode()).rstrip(b"=") for w in words}


def holders(root: Path, secret: set[bytes], except_of: set[Path]) -> list[str]:
    """Return the files below the folder that hold a piece of the secret."""
    files = [p for p in root.rglob("*") if p.is_file() and p not in except_of]
    assert len(files) > 5
    return [str(path) for path in files for piece in secret if piece in path.read_bytes()]


def test_no_file_of_a_run_holds_its_key_or_the_token(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with local_run(tmp_path, "secrets", short_plan(window_s=60)) as local:
        key_file = local.endpoint.key_file
        assert key_file is not None
        key = json.loads(key_file.read_text("utf-8"))["privateKey"]
        with ControlThread(make_app(settings, dashboard_routes(settings)), settings) as room:
            token = read_token(settings.token_path)
            process = local.start()
            book = AlertBook(local.context.event_store_root, account_name(local.context))
            with logging_to(local.context.run_dir / "logs" / "alerts.jsonl", Redactor([key]), run_id="secrets"):
                local.end(process)
                desk = AlertDesk(local.context.store, "secrets", book, [LogSink()])
                desk.look()
                desk.close()
            head = {"authorization": f"Bearer {token}"}
            said = [requests.get(room.url + p, headers=head, timeout=20).content for p in ("/metrics", "/history", "/")]
            requests.post(f"{room.url}/api/reduce-only", headers=head, json={}, timeout=20)
    lines = (local.context.run_dir / "logs" / "alerts.jsonl").read_text("utf-8").splitlines()
    orders = [json.loads(line) for line in lines if '"OrderAccepted"' in line]
    assert orders
    assert all(order["run_id"] == "secrets" and order["client_order_id"] for order in orders)
    kept = {key_file, settings.token_path}
    assert holders(tmp_path, pieces(key), kept) == []
    assert holders(tmp_path, {token.encode()}, kept) == []
    assert [page for page in said if token.encode() in page] == []
