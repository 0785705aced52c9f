"""Lets the SDK as it is speak plain HTTP to a venue on this machine."""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter


class LoopbackAdapter(HTTPAdapter):
    """Speaks plain HTTP where the SDK insists on https. Mounted for one loopback host only."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send the request over http."""
        request.url = (request.url or "").replace("https://", "http://", 1)
        return super().send(request, *args, **kwargs)
