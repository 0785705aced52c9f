"""One run: what was asked for, under which name, where its files are. Travels between stages as data."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from trading_core.plan import Level, Plan, PlanModel
from trading_core.store_location import StoreLocation


class VenueName(StrEnum):
    """Where a run trades; see the venue table in ARCHITECTURE.md."""

    SIMULATED = "simulated"
    LOCAL = "local"
    SANDBOX = "sandbox"
    PAPER = "paper"
    LIVE = "live"

    @property
    def level(self) -> Level:
        """Return the assurance level of evidence gathered at this venue."""
        return LEVELS[self]


LEVELS = {
    VenueName.SIMULATED: Level.L0,
    VenueName.LOCAL: Level.L0,
    VenueName.SANDBOX: Level.L1,
    VenueName.PAPER: Level.L2,
    VenueName.LIVE: Level.L3,
}


class Endpoint(PlanModel):
    """How to reach the venue of a run. For `simulated` the addresses are empty: it lives in the process that asks."""

    rest_host: str = ""  # host:port, no scheme
    ws_url: str = ""
    ws_user_url: str = ""
    key_file: Path | None = None
    is_loopback: bool = True
    speed: float = 1.0
    clock_anchor_ns: int = 0
    pid: int | None = None  # the local exchange that this run started
    simulated_ns: int = 0  # venue time at which a simulated session begins in its own process


class RunContext(PlanModel):
    """Everything that a stage needs to know of its run."""

    run_id: str
    order_prefix: str  # of client order ids; same inputs on `simulated` give the same one
    plan: Plan
    venue: VenueName
    day: str = "typical"
    seed: int = 1
    speed: float = 1.0
    faults: str = ""  # name of a FaultPlan of the local exchange, empty for none
    run_dir: Path
    event_store_root: Path
    event_store_url: str = ""  # of the server that has the events, without its password; empty: SQLite in the root
    artifacts_url: str = ""  # of the second place of all runs, without its secrets; empty: there is none
    subject_digest: str

    @property
    def store(self) -> StoreLocation:
        """Return where the events of this run are; its account files are in the root in any case."""
        return StoreLocation(root=self.event_store_root, url=self.event_store_url)

    @property
    def level(self) -> Level:
        """Return the assurance level of this run's evidence."""
        return self.venue.level
