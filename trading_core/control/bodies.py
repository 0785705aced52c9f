"""The bodies of the control API, as they are checked and as its OpenAPI document tells them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from trading_core.control.actions import Done
from trading_core.plan import PlanModel

Name = Annotated[str, StringConstraints(max_length=200, pattern=r"^[A-Za-z0-9_-]*$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"\S")]


class Lower(PlanModel):
    """Which accounts; neither named means every account with a session, and the configured live one."""

    account: Name = ""
    run: Name = ""
    reason: Words = "asked over the control API"


class Resume(PlanModel):
    """Which account an operator sets active again, and why."""

    account: Annotated[Name, Field(min_length=1)]
    operator: Words
    reason: Words


class SignIn(PlanModel):
    """The token, from the person's own hand."""

    token: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Lowered(PlanModel):
    """What became of each account."""

    accounts: tuple[Done, ...]
