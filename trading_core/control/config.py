"""How the control server is reached, and which folders it reads; refuses what would open it to a network bare."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator

from trading_core.errors import ConfigurationError
from trading_core.plan import PlanModel
from trading_core.settings import DEFAULT_ARTIFACTS_ROOT, DEFAULT_EVENT_STORE_ROOT
from trading_core.store_location import StoreLocation

PORT = 8080  # the specification's curl lines say so
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class ControlSettings(PlanModel):
    """One control server. Port 0 takes a free one."""

    event_store_root: Path = DEFAULT_EVENT_STORE_ROOT
    event_store_url: str = ""  # of a server, without its password; empty: SQLite in the root
    artifacts_root: Path = DEFAULT_ARTIFACTS_ROOT
    host: str = "127.0.0.1"
    port: int = Field(default=PORT, ge=0, le=65_535)
    is_token_everywhere: bool = False  # also lowering risk from this machine then needs the token
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    names: tuple[str, ...] = ()  # further names that a request's Host header may have
    patience_s: float = Field(default=5.0, gt=0)  # for a client to send its head, and then its body
    wrong_tokens_max: int = Field(default=10, ge=1)  # of one address in a minute; after that they are answered 429
    shutdown_within_s: int = Field(default=2, ge=0)

    @model_validator(mode="after")
    def _stay_at_home(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("TLS needs a certificate and its key: give both files, or neither")
        if is_loopback(self.host):
            return self
        if not self.is_token_everywhere:
            raise ValueError(f"host {self.host} is not loopback: that needs the token everywhere; set it, or stay here")
        if self.tls_certificate is None:
            raise ValueError(f"host {self.host} is not loopback: that needs a TLS certificate and key; give both files")
        return self

    @property
    def store(self) -> StoreLocation:
        """Return where the events are."""
        return StoreLocation(root=self.event_store_root, url=self.event_store_url)

    @property
    def is_tls(self) -> bool:
        """Tell whether the server speaks TLS."""
        return self.tls_certificate is not None

    @property
    def token_path(self) -> Path:
        """Return where the token is kept: created on first start, for its owner only."""
        return self.event_store_root / "control" / "token"

    @property
    def trusted_names(self) -> frozenset[str]:
        """Return the names that a request's Host may have; any other is a rebound DNS name."""
        own = () if self.host in ("0.0.0.0", "::") else (self.host,)
        return frozenset(name.lower() for name in (*LOOPBACK_NAMES, *own, *self.names))


def make_settings(**values: object) -> ControlSettings:
    """Return the settings; raises ConfigurationError with the first thing that is wrong."""
    try:
        return ControlSettings.model_validate(values)
    except ValidationError as e:
        first = e.errors()[0]
        where = f"{first['loc'][0]}: " if first["loc"] else ""
        raise ConfigurationError(f"control server: {where}{first['msg'].removeprefix('Value error, ')}") from e


def is_loopback(host: str) -> bool:
    """Tell whether an address or a name is this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
