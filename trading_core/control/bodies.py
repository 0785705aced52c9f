"""The bodies of the control API, as they are checked and as its OpenAPI document tells them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.config import JsonDict

from trading_core.control.actions import Done
from trading_core.plan import PlanModel

Name = Annotated[str, StringConstraints(max_length=200, pattern=r"^[A-Za-z0-9_-]*$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"\S")]


def whole(value: object) -> object:
    """Return 13 for 13.0, which JSON Schema calls an integer too; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WaitSeconds = Annotated[int, Field(ge=0, le=60), BeforeValidator(whole)]
_NAMED: JsonDict = {"type": "string", "minLength": 1}
NOT_BOTH: JsonDict = {"not": {"properties": {"account": _NAMED, "run": _NAMED}, "required": ["account", "run"]}}


class Lower(PlanModel):
    """Which accounts; neither named means every account with a session, and the configured live one."""

    model_config = ConfigDict(json_schema_extra=NOT_BOTH)

    account: Name = ""
    run: Name = ""
    reason: Words = "asked over the control API"

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if self.account and self.run:
            raise ValueError("account and run are both given: name one of them")
        return self


class CloseAll(Lower):
    """Which accounts, with the words that a person typed; the answer waits so long for the venue to be flat."""

    confirmation: Literal["close all positions"]  # typed by a person
    wait_s: WaitSeconds = 20


class Resume(PlanModel):
    """Which account an operator sets active again, and why."""

    account: Annotated[Name, Field(min_length=1)]
    operator: Words
    reason: Words


class SignIn(PlanModel):
    """The token, from the person's own hand."""

    token: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class SignedIn(PlanModel):
    """What a page of this session puts in the header x-greenlight-csrf."""

    csrf: str


class SignedOut(PlanModel):
    """Nothing more to say."""


class Lowered(PlanModel):
    """What became of each account."""

    accounts: tuple[Done, ...]


class Refused(PlanModel):
    """Why a call was not done, and what to do."""

    error: str
