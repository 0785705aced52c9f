"""REST through the official SDK's raw get, post, put and delete; only this module knows the SDK."""

from __future__ import annotations

import ipaddress
import logging
from random import Random
from typing import Any
from urllib.parse import urlsplit

import requests
from coinbase.constants import USER_AGENT
from coinbase.rest import RESTClient
from requests.adapters import HTTPAdapter

from trading_core.advanced_trade.broker_pace import PacedTransport
from trading_core.advanced_trade.broker_retry import RetryingTransport
from trading_core.advanced_trade.broker_transport import Body, Query, error_of
from trading_core.advanced_trade.jwt_sign import TokenSigner
from trading_core.clock import Clock, pause
from trading_core.errors import ConfigurationError, VenueError, VenueUnavailable
from trading_core.run import VenueName

TIMEOUT_S = (3, 10)  # to connect, to read; the SDK has none of its own
VENUES_ON_THE_NET = frozenset({VenueName.SANDBOX, VenueName.PAPER, VenueName.LIVE})

# The SDK prints every refused request to stderr before it raises; we raise, so that is said once.
logging.getLogger("coinbase.RESTClient").setLevel(logging.CRITICAL)


class LoopbackAdapter(HTTPAdapter):
    """Speaks plain HTTP where the SDK insists on https. Mounted for one loopback host only."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send the request over http."""
        request.url = (request.url or "").replace("https://", "http://", 1)
        return super().send(request, *args, **kwargs)


class SigningClient(RESTClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's client with our signature: both key types, the private key parsed once."""

    def __init__(self, host: str, signer: TokenSigner | None) -> None:
        # The SDK would read keys from the environment at import: it is given a name and no secret at all.
        key_name = signer.key_name if signer else ""
        super().__init__(api_key=key_name, api_secret="", base_url=host, timeout=TIMEOUT_S)
        self._signer = signer
        self.session.trust_env = False  # no proxy and no certificate store from the environment
        self.session.max_redirects = 0  # a redirect would carry the token to another host

    def set_headers(self, method: str, path: str) -> dict[str, str]:
        """Return the headers of one request, signed if there is a key."""
        headers = {"User-Agent": USER_AGENT, "Content-Type": "application/json"}
        if self._signer is not None:
            headers["Authorization"] = f"Bearer {self._signer.rest_token(method, self.base_url, path)}"
        return headers


class SdkTransport:
    """Carries one request through the SDK, once, and translates whatever goes wrong."""

    def __init__(self, client: RESTClient) -> None:
        self._client = client

    def request(
        self, method: str, path: str, params: Query | None = None, body: Body | None = None
    ) -> dict[str, Any]:
        """Return the answer's body; raises a VenueError for everything else."""
        asked = f"{method} {path}"
        try:
            answer = self._send(method, path, dict(params or {}), body)
        except requests.HTTPError as e:
            raise _refusal(e, asked) from e
        except requests.JSONDecodeError as e:
            raise VenueUnavailable(f"{asked} was answered with something that is not JSON") from e
        except requests.RequestException as e:
            raise VenueUnavailable(f"{asked} was not answered ({type(e).__name__})") from e
        if not isinstance(answer, dict):
            raise VenueUnavailable(f"{asked} was answered with a JSON {type(answer).__name__}, not an object")
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._client.session.close()

    def _send(self, method: str, path: str, params: dict[str, Any], body: Body | None) -> Any:
        match method:
            case "GET":
                return self._client.get(path, params=params)
            case "POST":
                return self._client.post(path, params=params, data=body)
            case "PUT":
                return self._client.put(path, params=params, data=body)
            case "DELETE":
                return self._client.delete(path, params=params, data=body)
            case _:
                raise ConfigurationError(f"method {method} is not one of GET, POST, PUT, DELETE")


def open_transport(
    host: str, signer: TokenSigner | None, venue: VenueName, clock: Clock, chance: Random
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
    client = SigningClient(host, signer)
    if loopback:
        client.session.mount(f"https://{host}/", LoopbackAdapter())
    return RetryingTransport(PacedTransport(SdkTransport(client), clock), chance, pause)


def is_loopback(host: str) -> bool:
    """Tell whether "name:port" is this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _refusal(error: requests.HTTPError, asked: str) -> VenueError:
    if error.response is None:
        return VenueUnavailable(f"{asked} was refused without an answer")
    return error_of(error.response.status_code, error.response.content, asked)
