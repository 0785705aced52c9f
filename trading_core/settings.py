"""What the environment says: credentials, venue choice, limits, folders. Read once, at start; a wrong value ends it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr

from trading_core.errors import ConfigurationError
from trading_core.mirror_location import MIRROR_VARIABLE, without_secrets
from trading_core.money import ZERO, Bps, decimal_of, plain
from trading_core.plan import Exact, Plan, PlanModel, Rung
from trading_core.run import VenueName
from trading_core.store_location import URL_VARIABLE, StoreLocation, without_password

DEFAULT_EVENT_STORE_ROOT = Path("var/events")
DEFAULT_ARTIFACTS_ROOT = Path("artifacts")
ARMING = "I-ACCEPT-LIVE-ORDERS"
# Coinbase's static sandbox answers with canned data: only the first rung can learn anything there.
# A worker counts as gone after 90 s without a beat, its successor and the flow need another minute on a busy machine:
# twice that. Longer, and real money would be traded with nobody to answer for it.
SESSION_GRACE_S = 300
SESSION_GRACE_S_MAX = 3_600
SANDBOX_RUNGS = frozenset({Rung.PHASE2})
REAL_VENUES = frozenset({VenueName.PAPER, VenueName.LIVE})
VARIABLES = {
    "COINBASE_API_MODE": "api_mode",
    "COINBASE_AUTH_TYPE": "auth_type",
    "COINBASE_ENABLE_DERIVATIVES": "enable_derivatives",
    "COINBASE_CDP_API_KEY": "api_key",
    "COINBASE_CDP_PRIVATE_KEY": "private_key",
    "COINBASE_CDP_KEY_FILE": "key_file",
    "COINBASE_SANDBOX": "sandbox",
    "MAX_IMPACT_BPS": "max_impact_bps",
    "EVENT_STORE_ROOT": "event_store_root",
    URL_VARIABLE: "event_store_url",
    "ARTIFACTS_ROOT": "artifacts_root",
    MIRROR_VARIABLE: "artifacts_url",
    "GREENLIGHT_ARM_LIVE": "arm_live",
    "GREENLIGHT_SIGNING_KEY_FILE": "signing_key_file",
    "GREENLIGHT_ALERT_URLS": "alert_urls",
    "GREENLIGHT_SESSION_GRACE_S": "session_grace_s",
}
# Read by the SDK itself when no key is passed; we always pass one, so these have no effect here.
SDK_VARIABLES = frozenset({"COINBASE_API_KEY", "COINBASE_API_SECRET"})
# How alike a variable's name must be to one of ours to count as a misspelling of it.
MISSPELLING_LIKENESS = 0.85

OUR_PREFIXES = ("COINBASE_", "GREENLIGHT_", "MAX_", "EVENT_STORE_", "ARTIFACTS_")

Choice = TypeVar("Choice", bound=StrEnum)


class ApiMode(StrEnum):
    """Which Coinbase API; the older Exchange API is known so that it can be refused by name."""

    ADVANCED = "advanced"


class AuthType(StrEnum):
    """How requests are signed; legacy HMAC keys are refused by name."""

    JWT = "jwt"


class Settings(PlanModel):
    """The environment, parsed. Secrets do not show in its repr."""

    api_mode: ApiMode = ApiMode.ADVANCED
    auth_type: AuthType = AuthType.JWT
    enable_derivatives: bool = True
    api_key: SecretStr | None = None
    private_key: SecretStr | None = None
    key_file: Path | None = None
    sandbox: bool | None = None
    max_impact_bps: Exact | None = None
    event_store_root: Path = DEFAULT_EVENT_STORE_ROOT
    event_store_url: str = ""  # of a server; without its password
    artifacts_root: Path = DEFAULT_ARTIFACTS_ROOT
    artifacts_url: str = ""  # of the second place; without its secrets
    arm_live: str = ""
    signing_key_file: Path | None = None
    alert_urls: SecretStr | None = None  # addresses of apprise, apart by spaces: they may hold passwords

    session_grace_s: int = SESSION_GRACE_S  # how long a session goes on without a supervisor

    @property
    def store(self) -> StoreLocation:
        """Return where the events are."""
        return StoreLocation(root=self.event_store_root, url=self.event_store_url)

    @property
    def has_credentials(self) -> bool:
        """Tell whether an API key is named; its form is checked where it is read (advanced_trade.credentials)."""
        return self.key_file is not None or self.api_key is not None

    def secrets(self) -> tuple[str, ...]:
        """Return what no log may show: the key and the addresses of alerts."""
        given = (self.api_key, self.private_key, self.alert_urls)
        return tuple(secret.get_secret_value() for secret in given if secret is not None)

    def venue_for(self, asked: VenueName | None, rung: Rung) -> VenueName:
        """Return the venue of a run: what was asked for, else the sandbox if it is selected, else `local`.

        Raises ConfigurationError where the request, COINBASE_SANDBOX and the rung contradict each other.
        """
        venue = asked or (VenueName.SANDBOX if self.sandbox else VenueName.LOCAL)
        if self.sandbox and venue in REAL_VENUES:
            raise ConfigurationError(
                f"COINBASE_SANDBOX is 1 and the venue is {venue}: unset COINBASE_SANDBOX, or use --venue sandbox"
            )
        if self.sandbox is False and venue is VenueName.SANDBOX:
            raise ConfigurationError(
                "COINBASE_SANDBOX is 0 and the venue is sandbox: set COINBASE_SANDBOX=1, or choose another venue"
            )
        if venue is VenueName.SANDBOX and rung not in SANDBOX_RUNGS:
            raise ConfigurationError(
                f"the sandbox cannot carry {rung}: it answers with canned data and has no market "
                f"(limit: {', '.join(sorted(SANDBOX_RUNGS))}); rehearse with --venue local or simulated"
            )
        return venue

    def tighten(self, plan: Plan) -> Plan:
        """Return the plan under MAX_IMPACT_BPS, which may tighten its impact limit and never loosen it.

        The tightened plan has another digest: evidence under one limit says nothing about the other.
        """
        limit: Bps = plan.sizing.impact_bps_max
        if self.max_impact_bps is None or self.max_impact_bps == limit:
            return plan
        if self.max_impact_bps > limit:
            raise ConfigurationError(
                f"MAX_IMPACT_BPS is {plain(self.max_impact_bps)}, above the limit {plain(limit)} of plan "
                f"{plan.name}: the environment may only tighten it; lower the value or unset it"
            )
        sizing = plan.sizing.model_copy(update={"impact_bps_max": self.max_impact_bps})
        return plan.model_copy(update={"sizing": sizing})

    def require_armed(self, rung: Rung, account_fingerprint: str = "") -> None:
        """Raise ConfigurationError unless live orders were accepted for this plan or this account by name."""
        accepted = {f"{ARMING} {name}" for name in (rung.value, account_fingerprint) if name}
        if self.arm_live in accepted:
            return
        was = f"was {self.arm_live!r}" if self.arm_live else "is not set"
        raise ConfigurationError(
            f"live orders are not armed: GREENLIGHT_ARM_LIVE {was} "
            f"(needed: {' or '.join(repr(text) for text in sorted(accepted))}); set it for this run only"
        )


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings of an environment; an empty variable counts as unset. Raises ConfigurationError."""
    _refuse_misspelled(environ)
    given = {name: environ[name].strip() for name in VARIABLES if environ.get(name, "").strip()}
    _refuse_contradictory_keys(given)
    values: dict[str, Any] = {VARIABLES[name]: _parsed(name, text) for name, text in given.items()}
    return Settings(**values)


def _parsed(name: str, text: str) -> object:
    match name:
        case "COINBASE_API_MODE":
            return _choice(ApiMode, name, text, "only the Advanced Trade API is supported")
        case "COINBASE_AUTH_TYPE":
            return _choice(AuthType, name, text, "make a CDP key in the Coinbase portal; HMAC keys cannot trade here")
        case "COINBASE_ENABLE_DERIVATIVES" | "COINBASE_SANDBOX":
            return _switch(name, text)
        case "COINBASE_CDP_API_KEY" | "COINBASE_CDP_PRIVATE_KEY" | "GREENLIGHT_ALERT_URLS":
            return SecretStr(text)
        case "COINBASE_CDP_KEY_FILE" | "GREENLIGHT_SIGNING_KEY_FILE":
            return _key_file(name, Path(text).expanduser())
        case "MAX_IMPACT_BPS":
            return _positive(name, text)
        case "GREENLIGHT_SESSION_GRACE_S":
            return _seconds(name, text, SESSION_GRACE_S_MAX)
        case "EVENT_STORE_URL":
            return without_password(text)
        case "ARTIFACTS_URL":
            return without_secrets(text)
        case "EVENT_STORE_ROOT" | "ARTIFACTS_ROOT":
            return _folder(name, Path(text).expanduser())
        case _:
            return text


def _choice(kind: type[Choice], name: str, text: str, remedy: str) -> Choice:
    try:
        return kind(text.lower())
    except ValueError:
        allowed = ", ".join(kind)
        raise ConfigurationError(f"{name} is {text!r} (allowed: {allowed}): {remedy}") from None


def _switch(name: str, text: str) -> bool:
    values = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in values:
        raise ConfigurationError(f"{name} is {text!r} (allowed: 1, 0): set one of them or unset it")
    return values[text.lower()]


def _positive(name: str, text: str) -> Bps:
    # Decimal reads 1_0 as 10: in a limit that is a typing error, not a number.
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or (value := decimal_of(text)) <= ZERO:
        raise ConfigurationError(f"{name} is {text!r} (needed: basis points above 0, like 7.5): correct or unset it")
    return value


def _seconds(name: str, text: str, limit: int) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or (value := int(text)) > limit:
        raise ConfigurationError(f"{name} is {text!r} (allowed: whole seconds from 0 to {limit}): correct or unset it")
    return value


def _key_file(name: str, path: Path) -> Path:
    """Return the path of a key file that nobody else may read; its content is parsed where it is used."""
    try:
        mode = path.stat().st_mode & 0o777
    except OSError as e:
        raise ConfigurationError(
            f"{name} names {path}, which cannot be read ({e.strerror}): correct the path"
        ) from e
    if not path.is_file():
        raise ConfigurationError(f"{name} names {path}, which is no file: name the key file")
    if mode & 0o077:
        raise ConfigurationError(f"key file {path} has mode {mode:04o} (limit 0600): run chmod 600 on it")
    return path


def _folder(name: str, path: Path) -> Path:
    if path.exists() and not path.is_dir():
        raise ConfigurationError(f"{name} is {path}, which is a file: name a folder")
    return path


def _refuse_contradictory_keys(given: Mapping[str, str]) -> None:
    has_name, has_secret = "COINBASE_CDP_API_KEY" in given, "COINBASE_CDP_PRIVATE_KEY" in given
    if "COINBASE_CDP_KEY_FILE" in given and (has_name or has_secret):
        raise ConfigurationError(
            "COINBASE_CDP_KEY_FILE is set beside COINBASE_CDP_API_KEY or COINBASE_CDP_PRIVATE_KEY: "
            "which key counts is unclear; unset the file or the pair"
        )
    if has_name != has_secret:
        missing = "COINBASE_CDP_PRIVATE_KEY" if has_name else "COINBASE_CDP_API_KEY"
        raise ConfigurationError(f"{missing} is not set but its other half is: set both, or neither")


def _refuse_misspelled(environ: Mapping[str, str]) -> None:
    """A misspelled safety switch must not count as unset: COINBASE_SANBOX=1 would trade for real."""
    for name in sorted(environ):
        if name in VARIABLES or name in SDK_VARIABLES or not name.startswith(OUR_PREFIXES):
            continue
        if close := get_close_matches(name, VARIABLES, n=1, cutoff=MISSPELLING_LIKENESS):
            raise ConfigurationError(f"{name} is not a setting: did you mean {close[0]}? Correct or unset it")
