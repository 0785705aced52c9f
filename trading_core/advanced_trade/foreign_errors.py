"""Which exceptions of other people's code mean that the venue did not answer, and how they become ours."""

from __future__ import annotations

import json
from email.errors import MessageDefect
from http.client import HTTPException
from multiprocessing import AuthenticationError

import msgspec
import requests
import urllib3
from websockets.exceptions import WebSocketException

from trading_core.errors import VenueUnavailable

# The roots of what sockets, TLS (both are OSErrors), http.client, urllib3, requests, websockets and parsers raise. The
# SDK raises requests' errors, one for an unsigned request, and nothing of its own.
FOREIGN: tuple[type[Exception], ...] = (
    OSError, EOFError, HTTPException, MessageDefect, urllib3.exceptions.HTTPError, urllib3.exceptions.HTTPWarning,
    urllib3.exceptions.ProxySchemeUnsupported, requests.exceptions.RequestException,
    requests.exceptions.RequestsWarning, WebSocketException, AuthenticationError,
    json.JSONDecodeError, msgspec.DecodeError,
)


def unavailable(error: Exception, asked: str) -> VenueUnavailable:
    """Return one of FOREIGN as ours: nothing that can be used was answered to `asked`."""
    if isinstance(error, json.JSONDecodeError | msgspec.DecodeError):
        return VenueUnavailable(f"{asked} was answered with something that is not JSON")
    return VenueUnavailable(f"{asked} was not answered ({type(error).__name__})")
