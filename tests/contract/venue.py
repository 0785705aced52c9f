"""A served venue for tests: real sockets, both kinds of keys, and the clients to talk to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import requests
from coinbase.rest import RESTClient
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from tests.contract.conformance import body_problems, frame_problems
from tests.contract.loopback import LoopbackAdapter
from trading_core.advanced_trade.channels_hub import StreamLimits
from trading_core.advanced_trade.credentials import parse_credentials
from trading_core.advanced_trade.gateway import GatewayConfig
from trading_core.advanced_trade.gateway_limits import RateLimits
from trading_core.advanced_trade.jwt_sign import TokenSigner
from trading_core.advanced_trade.keys import DEFAULT_SCOPES, KeyFile, KeyKind, KeyRegistry, Scope, generate_key
from trading_core.advanced_trade.sdk_transport import SigningClient
from trading_core.advanced_trade.server_config import ServeConfig
from trading_core.advanced_trade.server_thread import ServerThread
from trading_core.clock import NS, SystemClock, wall_now_ns
from trading_core.local_exchange.config import AccountConfig, ExchangeConfig
from trading_core.local_exchange.faults import FaultPlan

BASE = "/api/v3/brokerage"
UNLIMITED = GatewayConfig(limits=RateLimits(private_per_s=0, public_per_s=0))
FRAME_WITHIN_S = 30.0


class CheckingClient(RESTClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's own client; every JSON answer is held against the contract, the last one kept as it came."""

    checked = 0
    last: Any = None

    def send_request(self, http_method: str, url_path: str, *args: Any, **kwargs: Any) -> Any:
        """Send the request as the SDK does, and look at the raw answer."""
        answers: list[requests.Response] = []
        self.session.hooks["response"] = [lambda answer, *_, **__: answers.append(answer)]
        try:
            return super().send_request(http_method, url_path, *args, **kwargs)
        finally:
            for answer in answers:
                if answer.headers.get("content-type", "").startswith("application/json"):
                    self.last = answer.json()
                    problems = body_problems(http_method, url_path, answer.status_code, self.last)
                    assert problems == [], (http_method, url_path, problems[:5])
                    self.checked += 1


class Venue:
    """What a test holds of a running venue."""

    def __init__(self, server: ServerThread, keys: dict[KeyKind, KeyFile]) -> None:
        self.server = server
        self.keys = keys
        self.ready = server.ready
        self.url = f"http://{server.ready.rest_host}"
        self.is_conformant = True  # a test of schema drift switches the check off

    def signer(self, kind: KeyKind = KeyKind.ES256) -> TokenSigner:
        """Return what signs with the venue's key of that kind."""
        key = self.keys[kind]
        return TokenSigner(parse_credentials(key.name, key.private_key, "the test"))

    def sdk(self, key: KeyFile | None = None) -> CheckingClient:
        """Return the SDK's client with an ES256 key, speaking plain HTTP to the venue."""
        key = key or self.keys[KeyKind.ES256]
        client = CheckingClient(
            api_key=key.name, api_secret=key.private_key, base_url=self.ready.rest_host, timeout=30
        )
        client.session.mount("https://127.0.0.1:", LoopbackAdapter())
        return client

    def own_client(self, kind: KeyKind) -> SigningClient:
        """Return our subclass of the SDK's client, which signs with either kind of key."""
        return SigningClient(self.ready.rest_host, self.signer(kind), is_tls=False)

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        """Send an unsigned GET."""
        return self._checked(requests.get(self.url + path, timeout=30, **kwargs), path)

    def send(self, method: str, path: str, body: bytes = b"", **kwargs: Any) -> requests.Response:
        """Send a signed request with a raw body."""
        token = self.signer().rest_token(method, self.ready.rest_host, path)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **kwargs.pop("headers", {})}
        answer = requests.request(method, self.url + path, data=body, headers=headers, timeout=30, **kwargs)
        return self._checked(answer, path)

    def faults(self, **plan: Any) -> None:
        """Put a fault plan in force over the control route; none makes the venue healthy."""
        answer = requests.post(f"{self.url}/_control/faults", json=plan or {"name": "none"}, timeout=30)
        assert answer.status_code == 200, answer.text

    def advance(self, seconds: float) -> None:
        """Move a manual venue's time."""
        answer = requests.post(f"{self.url}/_control/advance", json={"seconds": seconds}, timeout=30)
        assert answer.status_code == 200, answer.text

    @contextmanager
    def socket(self, is_user_host: bool = False) -> Iterator[Socket]:
        """Connect a WebSocket client whose every frame is held against the contract."""
        url = self.ready.ws_user_url if is_user_host else self.ready.ws_url
        with connect(url, max_size=None, close_timeout=1) as connection:
            yield Socket(connection, self.signer())

    def _checked(self, answer: requests.Response, path: str) -> requests.Response:
        """Return the answer once it was held against the contract, if it is one of the venue's and JSON."""
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        if self.is_conformant and is_json and path.startswith(BASE):
            method = answer.request.method or "GET"
            problems = body_problems(method, path, answer.status_code, answer.json())
            assert problems == [], (method, path, problems[:5])
        return answer


class Socket:
    """A client of the streams."""

    def __init__(self, connection: Connection, signer: TokenSigner) -> None:
        self.connection = connection
        self._signer = signer
        self.numbers: list[int] = []

    def subscribe(
        self, channel: str, product_ids: list[str] | None = None, *, signed: bool = False, **more: Any
    ) -> None:
        """Send a subscribe frame."""
        frame: dict[str, Any] = {"type": "subscribe", "channel": channel, **more}
        if product_ids is not None:
            frame["product_ids"] = product_ids
        if signed:
            frame["jwt"] = self._signer.stream_token()
        self.connection.send(json.dumps(frame))

    def receive(self, timeout_s: float = FRAME_WITHIN_S) -> dict[str, Any]:
        """Return the next frame, checked."""
        frame: dict[str, Any] = json.loads(self.connection.recv(timeout=timeout_s))
        problems = frame_problems(frame)
        assert problems == [], (frame.get("channel"), problems[:5])
        if "sequence_num" in frame:
            self.numbers.append(frame["sequence_num"])
        return frame

    def until(self, channel: str, kind: str | None = None) -> dict[str, Any]:
        """Return the next frame of the channel (and event type), skipping others."""
        clock = SystemClock()
        deadline_ns = clock.stopwatch_ns() + int(FRAME_WITHIN_S * NS)
        while clock.stopwatch_ns() < deadline_ns:
            frame = self.receive()
            if frame.get("channel") == channel and (kind is None or frame["events"][0].get("type") == kind):
                return frame
        raise AssertionError(f"no {channel} frame within {FRAME_WITHIN_S} s")


@contextmanager
def running_venue(
    faults: FaultPlan | None = None,
    scopes: frozenset[Scope] = DEFAULT_SCOPES,
    accounts: tuple[AccountConfig, ...] = (AccountConfig(),),
    start_ns: int | None = None,
    exchange: dict[str, Any] | None = None,
    **changes: Any,
) -> Iterator[Venue]:
    """Serve a venue on a free loopback port in a thread; rate limits off, control route on unless told otherwise."""
    keys, registry = {}, KeyRegistry()
    for number, kind in enumerate(KeyKind):
        keys[kind] = generate_key(kind, Random(number))
        registry.register(keys[kind], scopes=scopes)
    config = ServeConfig(
        exchange=ExchangeConfig(
            start_ns=wall_now_ns() if start_ns is None else start_ns,
            faults=faults or FaultPlan(), accounts=accounts, **(exchange or {}),
        ),
        **{
            "gateway": UNLIMITED, "has_control": True,
            "streams": StreamLimits(connections_per_s=0, messages_per_s=0), **changes,
        },
    )
    with ServerThread(config, registry) as server:
        yield Venue(server, keys)
