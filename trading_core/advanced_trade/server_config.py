"""What a served venue is told: one document, so that a parent process can hand it over as a file."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trading_core.advanced_trade.channels_hub import StreamLimits
from trading_core.advanced_trade.gateway import GatewayConfig
from trading_core.errors import ConfigurationError
from trading_core.local_exchange.config import ExchangeConfig

SPEED_MAX = 1440


class ServeConfig(BaseModel):
    """One served venue. Venue time is `SystemClock(speed, exchange.start_ns)`: a client with both agrees on it.

    `is_manual`: time stands until the control route moves it. Whoever ends first takes the server along:
    `parent_pid` (0: nobody) or, with `ends_with_stdin`, the other end of the pipe. After its parent's end a server
    stays until nobody has been connected to its streams for `linger_s`: a session can then still end flat.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    exchange: ExchangeConfig
    keys_file: Path | None = None
    speed: float = Field(default=1.0, gt=0, le=SPEED_MAX)
    is_manual: bool = False
    host: str = "127.0.0.1"
    is_public: bool = False  # allow an address beyond loopback
    port: int = Field(default=0, ge=0, le=65_535)
    gateway: GatewayConfig = GatewayConfig()
    streams: StreamLimits = StreamLimits()
    has_control: bool = False
    tls_folder: Path | None = None  # speak TLS; authority and certificate are made there on first use
    ready_file: Path | None = None
    parent_pid: int = Field(default=0, ge=0)
    linger_s: float = Field(default=0.0, ge=0)
    ends_with_stdin: bool = False

    @model_validator(mode="after")
    def _stay_at_home(self) -> Self:
        if not self.is_public and not _is_loopback(self.host):
            raise ValueError(f"host {self.host} is not loopback: allow it with is_public")
        if self.has_control and self.is_public:
            raise ValueError("the control route is for loopback only: drop has_control or is_public")
        return self

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the document; raises ConfigurationError with what is wrong."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError) as e:
            raise ConfigurationError(f"server configuration {path} cannot be used: {e}") from e


class ReadyLine(BaseModel):
    """What the server says once it listens: one line of JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int
    rest_host: str
    ws_url: str
    ws_user_url: str
    pid: int

    @classmethod
    def of(cls, host: str, port: int, pid: int, is_tls: bool = False) -> Self:
        """Return the addresses of a server on host and port."""
        scheme = "wss" if is_tls else "ws"
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return cls(
            port=port,
            rest_host=address,
            ws_url=f"{scheme}://{address}/ws",
            ws_user_url=f"{scheme}://{address}/user",
            pid=pid,
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
