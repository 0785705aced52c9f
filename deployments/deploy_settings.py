"""What the environment says of the deployments: which schedules run, how many rollouts at once, who is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, SecretStr

from trading_core.errors import ConfigurationError

POOL = "greenlight"
ACCOUNT = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
UTC_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
ROLLOUTS_MAX = 64


class Schedules(StrEnum):
    """Whether schedules start runs by themselves. Paused ones are shown in the UI and switched on there."""

    PAUSED = "paused"
    ACTIVE = "active"


class DeploySettings(BaseModel):
    """The settings, parsed. The webhook's address may have a token in it and does not show in the repr."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedules: Schedules = Schedules.PAUSED
    stage3_hour: int = 0
    stage3_minute: int = 5
    rollouts_at_once: int = 2  # two cores: a third rehearsal would be late in its own market
    webhook_url: SecretStr | None = None
    accounts: tuple[str, ...] = ()  # each with a work pool of its own, beside the shared one

    @property
    def pools(self) -> tuple[str, ...]:
        """Return every work pool: the shared one, then one for each account."""
        return (POOL, *map(pool_of, self.accounts))


def pool_of(account: str) -> str:
    """Return the name of an account's work pool."""
    return f"{POOL}-{account}"


def load_deploy_settings(environ: Mapping[str, str]) -> DeploySettings:
    """Return the settings of an environment; raises ConfigurationError for a value that is not allowed."""
    values: dict[str, object] = {}
    if text := environ.get("GREENLIGHT_SCHEDULES", "").strip():
        if text not in list(Schedules):
            raise _wrong("GREENLIGHT_SCHEDULES", text, ", ".join(Schedules))
        values["schedules"] = Schedules(text)
    if text := environ.get("GREENLIGHT_STAGE3_AT", "").strip():
        if (found := UTC_TIME.fullmatch(text)) is None:
            raise _wrong("GREENLIGHT_STAGE3_AT", text, "a time of day in UTC, like 00:05")
        values |= {"stage3_hour": int(found[1]), "stage3_minute": int(found[2])}
    if text := environ.get("GREENLIGHT_ROLLOUTS_AT_ONCE", "").strip():
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= ROLLOUTS_MAX:
            raise _wrong("GREENLIGHT_ROLLOUTS_AT_ONCE", text, f"1 to {ROLLOUTS_MAX}")
        values["rollouts_at_once"] = int(text)
    if text := environ.get("GREENLIGHT_WEBHOOK_URL", "").strip():
        if not text.startswith(("https://", "http://")):
            raise _wrong("GREENLIGHT_WEBHOOK_URL", "…", "an address that begins with https:// or http://")
        values["webhook_url"] = SecretStr(text)
    if text := environ.get("GREENLIGHT_ACCOUNTS", "").strip():
        names = text.split()
        if len(set(names)) != len(names) or not all(ACCOUNT.fullmatch(name) for name in names):
            raise _wrong("GREENLIGHT_ACCOUNTS", text, "names apart by spaces, each once: small letters, digits, dashes")
        values["accounts"] = tuple(names)
    return DeploySettings.model_validate(values)


def _wrong(name: str, text: str, allowed: str) -> ConfigurationError:
    return ConfigurationError(f"{name} is {text!r} (allowed: {allowed}): correct or unset it")
