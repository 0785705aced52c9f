"""Structured logs: one object a line with the run's id, and no secret in any field."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from trading_core.logs import REDACTED, Redactor, logging_to

PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIabcdefgh\nijklmnopqrstuv==\n-----END EC PRIVATE KEY-----\n"
TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJvcmcifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"key {PEM} end", f"key {REDACTED}\n end"),
        (f"Authorization: Bearer {TOKEN}", f"Authorization: Bearer {REDACTED}"),
        (f"jwt={TOKEN}&x=1", f"jwt={REDACTED}&x=1"),
        ("json://user:hunter22@host/path", f"json://{REDACTED}@host/path"),
        ("the line MHcCAQEEIabcdefgh alone", f"the line {REDACTED} alone"),
        ("order gl0123-00001 at 50,000.01", "order gl0123-00001 at 50,000.01"),
    ],
)
def test_what_is_or_looks_like_a_secret_is_taken_out(text: str, left: str) -> None:
    assert Redactor([PEM]).redact(text) == left


def test_each_line_is_an_object_with_the_runs_id_and_the_fields(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "run.jsonl"
    with logging_to(path, Redactor([PEM]), run_id="run-1"):
        log = logging.getLogger("trading_core.test")
        log.info("order_denied", extra={"reason": f"no {TOKEN}", "client_order_id": "gl-1", "count": 3})
        log.error("failed with %s", PEM)
        logging.getLogger("somebody.else").error("not ours")
    logging.getLogger("trading_core.test").error("too late")
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [line["event"] for line in lines] == ["order_denied", f"failed with {REDACTED}\n"]
    assert (lines[0]["run_id"], lines[0]["client_order_id"], lines[0]["count"]) == ("run-1", "gl-1", 3)
    assert lines[0]["reason"] == f"no {REDACTED}"


def test_a_trace_shows_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with logging_to(path, Redactor([PEM])):
        try:
            raise ValueError(f"cannot parse {PEM}")
        except ValueError:
            logging.getLogger("trading_core.test").exception("broken")
    text = path.read_text("utf-8")
    assert "ValueError" in text
    assert "MHcCAQ" not in text
