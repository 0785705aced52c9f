"""What an operator may ask of each flow: one model a form. Its descriptions are the help in Prefect's UI.

Parameters are stored and shown: nothing secret is ever one. Decimals are strings, so that they stay exact.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trading_core.local_exchange.faults import PRESETS
from trading_core.plan import Level, Rung
from trading_core.run import VenueName

DAY_S = 86_400
RUN_ID = "^[A-Za-z0-9_-]{0,120}$"
NAME = "^[A-Za-z0-9_-]{0,200}$"
DECIMAL = r"^([0-9]{1,9}(\.[0-9]{1,9})?)?$"

RunId = Annotated[str, Field(min_length=1, pattern=RUN_ID, description="The run, as in the name of its directory.")]


class Request(BaseModel):
    """Common to all: nothing but what the form shows is taken, and a request does not change."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class VenueRequest(Request):
    """What a run at a venue needs."""

    plan: Rung = Field(default=Rung.PHASE2, title="Plan", description="The rung to run.")
    plan_file: str = Field(
        default="", max_length=500, title="Plan file",
        description="Path of a .toml file that takes the place of the rung's own plan; empty for none.",
    )
    venue: VenueName = Field(
        default=VenueName.LOCAL, title="Venue",
        description="simulated: in process, a day in minutes. local: a rehearsal over real sockets. sandbox: "
        "Coinbase's static sandbox. paper: live data, no orders. live: real money, and refused unless the worker's "
        "environment arms it.",
    )
    day: Literal["calm", "typical", "volatile"] = Field(
        default="typical", description="The recorded day that a rehearsal replays."
    )
    seed: int = Field(default=1, ge=0, le=2**31, description="Seed of the rehearsal's market and of the strategy.")
    speed: Annotated[float, Field(gt=0, le=1440)] = Field(
        default=1.0, description="How many times faster than the clock the venue local runs, up to 1440."
    )
    faults: str = Field(
        default="", json_schema_extra={"enum": ["", *sorted(PRESETS)]},
        description="What goes wrong on purpose at simulated and local; empty: what the plan says, else nothing.",
    )
    impact_bps_max: str = Field(
        default="", pattern=DECIMAL, title="Tighter impact limit (bps)",
        description="Basis points, like 7.5: tightens the plan's impact limit, never loosens it; empty: the plan's.",
    )
    run_id: str = Field(
        default="", pattern=RUN_ID, title="Run id", description="Empty: made from plan, venue and Prefect's run."
    )


class Again(StrEnum):
    """Whether a run is gone on with, and from which stage on it is executed again whatever it showed."""

    NO = "no"
    FAILED = "failed"
    PREFLIGHT = "preflight"
    CAPABILITY_PROBE = "capability_probe"
    DRY_RUN_PULSE = "dry_run_pulse"
    LIVE_MICRO_TEST = "live_micro_test"
    ARTIFACT_ANALYSIS = "artifact_analysis"


class RolloutRequest(VenueRequest):
    """One rung through its six stages, to a verdict."""

    again: Again = Field(
        default=Again.NO, title="Go on with this run",
        description="no: a first run. failed: go on with the run of the run id at the stage that did not pass. A "
        "stage: from there on again. A live micro test that has ended is a further attempt with an id of its own.",
    )

    requester: str = Field(
        default="", max_length=80, description="Your name, where an approval is needed: you cannot give it yourself."
    )
    ask_approval: bool = Field(
        default=False, title="Ask for approval",
        description="Hold the run until it is approved, also a rehearsal. At venue live it always is.",
    )
    start_within_s: int = Field(
        default=1800, ge=1, le=DAY_S, title="Start within (seconds)",
        description="A scheduled run that starts later than this is skipped and says so. One that a person "
        "starts never is.",
    )
    account_wait_s: int = Field(
        default=0, ge=0, le=DAY_S, title="Wait for the account (seconds)",
        description="One run trades an account at a time. 0 refuses a second one at once; else it waits that long.",
    )


class StageRequest(VenueRequest):
    """One stage alone. A single stage is no verdict and authorises nothing."""


class RunRequest(Request):
    """A run that is there already."""

    run_id: RunId


class LadderRequest(Request):
    """Which standings to show."""

    level: Literal["all"] | Level = Field(
        default="all", description="all, or one level: L0 rehearsal, L1 sandbox, L2 live data, L3 live orders."
    )


class DrillRequest(Request):
    """Which rehearsal the drill takes over."""

    plan: Rung = Field(default=Rung.PHASE2, description="The rung whose rehearsal is taken over; its limits count.")
    speed: Annotated[float, Field(gt=0, le=60)] = Field(
        default=10.0, description="How many times faster than the clock the local exchange runs."
    )


class EmergencyAction(StrEnum):
    """From the mildest to the hardest; each may be repeated."""

    REDUCE_ONLY = "reduce-only"
    CLOSE_ALL = "close-all"
    DISABLE = "disable"
    RESUME = "resume"


NEEDS_CONFIRMATION = frozenset({EmergencyAction.CLOSE_ALL, EmergencyAction.RESUME})


class EmergencyRequest(Request):
    """What to do to which account, who wants it, and why."""

    action: EmergencyAction = Field(
        default=EmergencyAction.REDUCE_ONLY, title="Action",
        description="reduce-only: no order that adds exposure. close-all: also cancel every order and close what the "
        "run opened. disable: no order at all. resume: back to ACTIVE, by a named operator.",
    )
    account: str = Field(
        default="", pattern=NAME,
        description="The account's name as greenlight state shows it; empty with no run: every account that trades.",
    )
    run_id: str = Field(default="", pattern=RUN_ID, title="Run id", description="Or the run that trades it.")
    known_only: bool = Field(
        default=False, title="Known runs only",
        description="A run that this machine does not know is another machine's: nothing is done here.",
    )
    operator: str = Field(
        default="automation", min_length=2, max_length=80, description="Your name; it stays in the audit trail."
    )
    reason: str = Field(min_length=4, max_length=500, description="Why; it stays in the audit trail.")
    confirmation: str = Field(
        default="", max_length=200,
        description="For close-all and resume type the action and the account or run that you named above, "
        "such as: resume live-0123456789ab",
    )

    @model_validator(mode="after")
    def _confirmed(self) -> Self:
        if self.account and self.run_id:
            raise ValueError("account and run id are both given: name one of them")
        if self.action not in NEEDS_CONFIRMATION:
            return self
        if not (named := self.account or self.run_id):
            raise ValueError(f"{self.action} needs one account or run by name")
        if self.confirmation.strip() != (needed := f"{self.action} {named}"):
            raise ValueError(f"confirmation was {self.confirmation!r}, needed is {needed!r}: type exactly that")
        if self.action is EmergencyAction.RESUME and self.operator == "automation":
            raise ValueError("resume needs a person: give your name as operator")
        return self
