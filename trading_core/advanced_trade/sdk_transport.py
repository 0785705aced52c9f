"""REST through the official SDK's raw get, post, put and delete; only this module knows the SDK."""

from __future__ import annotations

import ipaddress
import logging
from random import Random
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from coinbase.constants import USER_AGENT
from coinbase.rest import RESTClient

from trading_core.advanced_trade.broker_pace import PacedTransport
from trading_core.advanced_trade.broker_retry import RETRIES_MAX, RetryingTransport
from trading_core.advanced_trade.broker_transport import Body, Query, Urgency, error_of
from trading_core.advanced_trade.foreign_errors import FOREIGN, unavailable
from trading_core.advanced_trade.jwt_sign import TokenSigner
from trading_core.advanced_trade.rest_connections import RestConnections, Timeouts
from trading_core.clock import Clock, pause
from trading_core.errors import ConfigurationError, VenueUnavailable
from trading_core.run import VenueName

# The SDK has none of its own. A session whose loop stands for the plan's time without a beat counts as dead.
TIMEOUTS = Timeouts(connect_s=3, read_s=10, whole_s=15)
VENUES_ON_THE_NET = frozenset({VenueName.SANDBOX, VenueName.PAPER, VenueName.LIVE})
PATH_LETTERS = "/-_.~:@!$&'()*+,;=%"  # what may stand in a path as it is; ids of the venue are put into paths

# The SDK would print every refused request to stderr before it raises; we raise, so that is said once.
logging.getLogger("coinbase.RESTClient").setLevel(logging.CRITICAL)


class SigningClient(RESTClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's client with our signature (both key types, parsed once) and our connections: docs/adr/0028.

    Every call of the SDK ends in `send_request`, which raises a VenueError where the SDK would raise requests' errors.
    """

    def __init__(self, host: str, signer: TokenSigner | None, *, is_tls: bool = True) -> None:
        # The SDK would read keys from the environment at import: it is given a name and no secret at all.
        key_name = signer.key_name if signer else ""
        super().__init__(api_key=key_name, api_secret="", base_url=host)
        self.timeouts = TIMEOUTS
        self._signer = signer
        self.session.adapters.clear()  # the SDK's own session reaches nobody
        self.connections = RestConnections(host, is_tls=is_tls)
        self._head = (
            f"HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\nAccept: application/json\r\n"
            "Accept-Encoding: identity\r\nContent-Type: application/json\r\n"
        )

    def set_headers(self, method: str, path: str) -> dict[str, str]:
        """Return the headers that differ from request to request: the signature, if there is a key."""
        if self._signer is None:
            return {}
        return {"Authorization": f"Bearer {self._signer.rest_token(method, self.base_url, path)}"}

    def send_request(
        self, http_method: str, url_path: str, params: dict[str, Any] | None, headers: dict[str, str],
        data: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Send one request, once, and return the answer's members; raises a VenueError for everything else."""
        asked = f"{http_method} {url_path}"
        try:
            answer = self.connections.send(
                http_method, self._encoded(http_method, url_path, params, headers, data), self.timeouts
            )
            if not 200 <= answer.status < 300:
                raise error_of(answer.status, answer.body, asked, retry_after=answer.retry_after, date=answer.date)
            members = msgspec.json.decode(answer.body)
        except FOREIGN as e:
            raise unavailable(e, asked) from e
        if not isinstance(members, dict):
            raise VenueUnavailable(f"{asked} was answered with a JSON {type(members).__name__}, not an object")
        return members

    def close(self) -> None:
        """Close the connections. May be called twice."""
        self.connections.close()

    def _encoded(
        self, method: str, path: str, params: dict[str, Any] | None, headers: dict[str, str],
        data: dict[str, Any] | None,
    ) -> bytes:
        body = b"" if method == "GET" else msgspec.json.encode(data or {})
        query = f"?{urlencode(params, doseq=True)}" if params else ""
        own = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        target = quote(path, safe=PATH_LETTERS)
        return f"{method} {target}{query} {self._head}{own}Content-Length: {len(body)}\r\n\r\n".encode("ascii") + body


class SdkTransport:
    """Carries one request through the SDK, once."""

    repeats = 0

    def __init__(self, client: SigningClient) -> None:
        self._client = client

    def request(
        self, method: str, path: str, params: Query | None = None, body: Body | None = None,
        urgency: Urgency = Urgency.QUESTION,  # noqa: ARG002 - the budget is kept by PacedTransport
    ) -> dict[str, Any]:
        """Return the answer's body; raises a VenueError for everything else."""
        answer: dict[str, Any]
        asked = dict(params or {})
        match method:
            case "GET":
                answer = self._client.get(path, params=asked)
            case "POST":
                answer = self._client.post(path, params=asked, data=body)
            case "PUT":
                answer = self._client.put(path, params=asked, data=body)
            case "DELETE":
                answer = self._client.delete(path, params=asked, data=body)
            case _:
                raise ConfigurationError(f"method {method} is not one of GET, POST, PUT, DELETE")
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def open_transport(
    host: str, signer: TokenSigner | None, venue: VenueName, clock: Clock, chance: Random,
    retries_max: int = RETRIES_MAX,
) -> RetryingTransport:
    """Return a transport to the host ("name:port", no scheme); raises ConfigurationError for a forbidden one.

    Only `live`, `paper` and `sandbox` may leave this machine, and `live` must: a rehearsal is no live evidence.
    """
    loopback = is_loopback(host)
    if not loopback and venue not in VENUES_ON_THE_NET:
        raise ConfigurationError(
            f"venue {venue} may not reach {host}: use a loopback address, or choose sandbox, paper or live"
        )
    if loopback and venue is VenueName.LIVE:
        raise ConfigurationError(f"venue live may not trade at {host}: choose local for a rehearsal")
    client = SigningClient(host, signer, is_tls=not loopback)
    return RetryingTransport(PacedTransport(SdkTransport(client), clock), chance, pause, retries_max)


def is_loopback(host: str) -> bool:
    """Tell whether "name:port" is this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
