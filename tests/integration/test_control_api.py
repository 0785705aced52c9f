"""The control API over sockets: who may ask for what, and what becomes of the accounts."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.control_rig import ENDED, LIVE, ControlRig, control_rig
from trading_core.advanced_trade.server_tls import AUTHORITY, CERTIFICATE, KEY, tls_context
from trading_core.control.accounts import account_guard
from trading_core.control.auth import COOKIE, CSRF_HEADER, read_token
from trading_core.control.config import make_settings
from trading_core.errors import ConfigurationError
from trading_core.trading_state import TradingState

ACTIVE, REDUCE_ONLY, HALTED = TradingState
RESUME = {"account": LIVE, "operator": "kim", "reason": "the cause is known"}
CONFIRMATION = "close all positions"
CLOSE = {"account": LIVE, "confirmation": CONFIRMATION, "wait_s": 10}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlRig]:
    with control_rig(tmp_path_factory.mktemp("control"), wrong_tokens_max=100_000) as running:
        yield running


@pytest.fixture
def rig(shared: ControlRig) -> ControlRig:
    """Return the shared server with both accounts ACTIVE and their beats fresh."""
    shared.reset()
    return shared


def test_the_specifications_curl_lines_work_without_a_token_and_reach_every_open_session(rig: ControlRig) -> None:
    assert rig.ask("POST", "/api/reduce-only").status_code == 200
    assert (rig.state(), rig.state(ENDED)) == (REDUCE_ONLY, ACTIVE)
    assert rig.ask("POST", "/api/disable-trading").status_code == 200
    assert rig.state() is HALTED
    last = account_guard(rig.root, LIVE).history()[-1]
    assert last.actor == "control api, local"


def test_without_a_token_risk_is_only_lowered(rig: ControlRig) -> None:
    rig.set_state(HALTED)
    answer = rig.ask("POST", "/api/reduce-only")
    assert (answer.status_code, rig.state()) == (200, HALTED)
    assert answer.json() == {
        "accounts": [{"account": LIVE, "before": "HALTED", "after": "HALTED", "problem": ""}]
    }


@pytest.mark.parametrize("body", [{"account": ENDED}, {"run": "b"}])
def test_a_named_account_or_run_is_the_only_one_meant(rig: ControlRig, body: dict[str, str]) -> None:
    assert rig.ask("POST", "/api/reduce-only", json=body).status_code == 200
    assert (rig.state(), rig.state(ENDED)) == (ACTIVE, REDUCE_ONLY)


@pytest.mark.parametrize("headers", [
    {"Origin": "https://evil.example"}, {"Origin": "http://localhost"}, {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-origin"}, {"X-Forwarded-For": "10.0.0.1"}, {"Forwarded": "for=10.0.0.1"},
    {"Cookie": f"{COOKIE}=guess"}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic a2ltOmtpbQ=="},
    {"Authorization": ""}, {"Referer": "http://evil.example/"},
])
def test_a_browser_a_proxy_or_a_wrong_token_changes_nothing(rig: ControlRig, headers: dict[str, str]) -> None:
    answer = rig.ask("POST", "/api/disable-trading", headers=headers)
    assert (answer.status_code, rig.state()) == (401, ACTIVE)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "[::1"])
def test_a_rebound_name_is_refused(rig: ControlRig, host: str) -> None:
    answer = rig.ask("POST", "/api/reduce-only", headers={"Host": host})
    assert answer.status_code in (400, 421)
    assert rig.state() is ACTIVE


@pytest.mark.parametrize(("method", "path", "body"), [
    ("GET", "/api/status", None), ("POST", "/api/resume", RESUME), ("POST", "/api/close-all", CLOSE),
    ("GET", "/api/close-all/x", None), ("POST", "/api/sign-out", None),
])
@pytest.mark.parametrize("token", [None, "", "wrong", "x" * 10_000])
def test_all_else_needs_the_token(
    rig: ControlRig, method: str, path: str, body: dict[str, str] | None, token: str | None
) -> None:
    rig.set_state(REDUCE_ONLY)
    answer = rig.ask(method, path, token=token, json=body, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, rig.state()) == (401, REDUCE_ONLY)


@pytest.mark.parametrize("path", ["/api/reduce-only", "/api/disable-trading", "/api/close-all", "/api/resume"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_only_post_changes_anything(rig: ControlRig, path: str, method: str) -> None:
    assert rig.ask(method, path, token=rig.token).status_code in (404, 405)
    assert rig.state() is ACTIVE


def test_the_token_is_its_owners_only_and_never_in_an_answer(rig: ControlRig) -> None:
    path = rig.settings.token_path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    answers = [rig.ask("GET", "/api/status", token=rig.token), rig.ask("GET", f"/api/status?token={rig.token}")]
    assert [answer.status_code for answer in answers] == [200, 401]
    trail = (path.parent / "audit.jsonl").read_text("utf-8") if (path.parent / "audit.jsonl").exists() else ""
    assert all(rig.token not in text for text in (*(a.text for a in answers), trail))
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="0644"):
        read_token(path)
    assert rig.ask("GET", "/api/status", token=path.read_text("ascii").strip()).status_code == 422
    path.chmod(0o600)


def test_a_token_that_was_replaced_is_refused_at_once(rig: ControlRig) -> None:
    old = rig.token
    rig.settings.token_path.write_text("n" * 43 + "\n", "ascii")
    assert rig.ask("GET", "/api/status", token=old).status_code == 401
    assert rig.ask("GET", "/api/status", token=rig.token).status_code == 200


def test_wrong_tokens_are_slowed_down_and_do_not_lock_the_operator_out(tmp_path: Path) -> None:
    with control_rig(tmp_path, wrong_tokens_max=10) as rig:
        codes = [rig.ask("GET", "/api/status", token="wrong").status_code for _ in range(12)]
        assert codes == [401] * 10 + [429] * 2
        assert rig.ask("GET", "/api/status", token=rig.token).status_code == 200
        assert rig.ask("POST", "/api/reduce-only").status_code == 200


def test_resume_needs_a_name_and_a_reason_and_is_in_the_accounts_trail(rig: ControlRig) -> None:
    rig.set_state(HALTED)
    for missing in ("account", "operator", "reason"):
        body = {name: value for name, value in RESUME.items() if name != missing}
        assert rig.post("/api/resume", key=missing, json=body).status_code == 422
        assert rig.post("/api/resume", key=f"empty-{missing}", json={**RESUME, missing: " "}).status_code == 422
    assert rig.state() is HALTED
    assert rig.post("/api/resume", key="1", json=RESUME).status_code == 200
    last = account_guard(rig.root, LIVE).history()[-1]
    assert (rig.state(), last.actor, last.reason, last.is_loosening) == (ACTIVE, "kim", RESUME["reason"], True)


def test_a_replayed_resume_is_answered_and_not_done_again_also_after_a_restart(tmp_path: Path) -> None:
    with control_rig(tmp_path) as rig:
        rig.set_state(HALTED)
        assert rig.post("/api/resume", json=RESUME).status_code == 422  # without a key nothing is resumed
        first = rig.post("/api/resume", key="once", json=RESUME)
        rig.ask("POST", "/api/disable-trading")
        again = rig.post("/api/resume", key="once", json=RESUME)
        assert (again.json(), again.headers["idempotent-replay"]) == (first.json(), "true")
        other = rig.post("/api/resume", key="once", json={**RESUME, "reason": "another"})
        assert (other.status_code, rig.state()) == (409, HALTED)
        trail = account_guard(rig.root, LIVE).history()
    with control_rig(tmp_path) as later:
        later.set_state(HALTED)
        assert later.post("/api/resume", key="once", json=RESUME).json() == first.json()
        assert later.state() is HALTED
    assert [r.actor for r in trail].count("kim") == 1


def test_calls_at_once_with_one_key_are_one_call(rig: ControlRig) -> None:
    """A browser that asks again before its answer came must not resume what was halted in between."""
    crowd = 12
    start = threading.Barrier(crowd)

    def call() -> requests.Response:
        start.wait(10)
        return rig.post("/api/resume", key="at-once", json=RESUME)

    before = len(account_guard(rig.root, LIVE).history())
    with ThreadPoolExecutor(crowd) as pool:
        answers = [future.result() for future in [pool.submit(call) for _ in range(crowd)]]
    assert {(a.status_code, a.text) for a in answers} == {(200, answers[0].text)}
    assert sum("idempotent-replay" in a.headers for a in answers) == crowd - 1
    assert len(account_guard(rig.root, LIVE).history()) == before + 1


def test_close_all_wants_the_typed_words_and_says_what_became_of_it(rig: ControlRig) -> None:
    for wrong in ({}, {"confirmation": "yes"}, {"confirmation": CONFIRMATION.upper()}):
        assert rig.post("/api/close-all", key="w", json={"account": LIVE, **wrong}).status_code == 422
    assert rig.state() is ACTIVE
    answer = rig.post("/api/close-all", key="c", json=CLOSE)
    body = answer.json()
    # The session ran in process on a simulated venue, and that process has ended: nothing can be open there.
    assert (answer.status_code, body["is_done"], body["is_flat"]) == (200, True, True), body
    assert body["takeovers"][0]["account"] == LIVE
    assert rig.state() is HALTED
    assert rig.ask("GET", f"/api/close-all/{body['job']}", token=rig.token).json() == body


def test_status_tells_state_session_and_who_set_it(rig: ControlRig) -> None:
    rig.ask("POST", "/api/reduce-only", json={"reason": "I saw something"})
    body = rig.ask("GET", "/api/status", token=rig.token).json()
    first, second = body["accounts"]
    assert (first["account"], first["state"], first["reason"]) == (LIVE, "REDUCE_ONLY", "I saw something")
    assert (first["session"]["run_id"], first["session"]["is_alive"]) == ("a", True)
    assert (second["session"]["has_ended"], second["session"]["is_flat"]) == (True, True)


def test_a_browser_signs_in_and_proves_each_change_with_its_pages_own_word(rig: ControlRig) -> None:
    assert rig.ask("POST", "/api/sign-in", json={"token": "wrong"}).status_code == 401
    signed = rig.ask("POST", "/api/sign-in", json={"token": rig.token})
    cookie = signed.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert rig.token not in cookie
    page = {"Cookie": cookie.partition(";")[0], "Origin": rig.url, "Sec-Fetch-Site": "same-origin"}
    proof = {CSRF_HEADER: signed.json()["csrf"]}
    assert rig.ask("GET", "/api/status", headers=page).status_code == 200
    for bad in (page, {**page, CSRF_HEADER: "x"}, {**page, **proof, "Origin": "https://evil.example"},
                {**page, **proof, "Sec-Fetch-Site": "cross-site"}, {"Cookie": page["Cookie"], **proof}):
        assert rig.ask("POST", "/api/disable-trading", headers=bad).status_code == 401
    assert rig.state() is ACTIVE
    assert rig.ask("POST", "/api/disable-trading", headers={**page, **proof}).status_code == 200
    assert rig.state() is HALTED
    assert rig.ask("POST", "/api/sign-out", headers={**page, **proof}).status_code == 200
    assert rig.ask("GET", "/api/status", headers=page).status_code == 401  # the cookie, shown again


def test_a_setting_wants_the_token_for_everything(tmp_path: Path) -> None:
    with control_rig(tmp_path, is_token_everywhere=True) as rig:
        assert (rig.ask("POST", "/api/reduce-only").status_code, rig.state()) == (401, ACTIVE)
        assert (rig.post("/api/reduce-only").status_code, rig.state()) == (200, REDUCE_ONLY)


@pytest.mark.parametrize("wrong", [
    {"host": "0.0.0.0"}, {"host": "192.0.2.1", "is_token_everywhere": True},
    {"host": "::", "tls_certificate": "c.pem", "tls_key": "k.pem"}, {"tls_certificate": "c.pem"},
    {"host": "example.com"},
])
def test_nothing_listens_beyond_loopback_without_token_and_tls(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        make_settings(**wrong)


def test_beyond_loopback_the_token_travels_in_tls_only(tmp_path: Path) -> None:
    tls_context(tmp_path / "tls", "localhost")  # makes an authority and a certificate
    files = {"tls_certificate": tmp_path / "tls" / CERTIFICATE, "tls_key": tmp_path / "tls" / KEY}
    with control_rig(
        tmp_path, authority=tmp_path / "tls" / AUTHORITY, host="0.0.0.0", is_token_everywhere=True,
        names=("0.0.0.0",), **files,
    ) as rig:
        rig.url = f"https://localhost:{rig.port}"
        assert rig.ask("POST", "/api/reduce-only").status_code == 401
        signed = rig.ask("POST", "/api/sign-in", json={"token": rig.token})
        assert "Secure" in signed.headers["set-cookie"]
        assert (rig.post("/api/reduce-only").status_code, rig.state()) == (200, REDUCE_ONLY)
        with pytest.raises(requests.ConnectionError):
            requests.post(f"http://localhost:{rig.port}/api/reduce-only", timeout=5)


def test_files_that_are_no_certificate_are_told_before_anything_listens(tmp_path: Path) -> None:
    path = tmp_path / "none.pem"
    path.write_text("nothing", "ascii")
    with pytest.raises(ConfigurationError, match="TLS files"), control_rig(
        tmp_path, tls_certificate=path, tls_key=path
    ):
        pass


def test_beyond_loopback_with_token_and_tls_is_allowed() -> None:
    given = make_settings(host="0.0.0.0", is_token_everywhere=True, tls_certificate="c.pem", tls_key="k.pem")
    assert "0.0.0.0" not in given.trusted_names
