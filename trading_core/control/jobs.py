"""Ladders that the control server climbs: one at a time for each account, watched while they go on."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from trading_core.clock import iso, wall_now_ns
from trading_core.control.accounts import Account
from trading_core.control.takeover import Takeover, take_over
from trading_core.plan import PlanModel

LADDERS_AT_ONCE = 16
JOBS_KEPT = 50
WORDS_KEPT = 100  # of what one job said


class JobStatus(PlanModel):
    """How far a call to close everything has come."""

    job: str
    accounts: tuple[str, ...]
    started_at: str
    is_done: bool
    is_flat: bool | None  # None while it goes on
    said: tuple[str, ...]
    takeovers: tuple[Takeover, ...]


class Job:
    """One call to close everything."""

    def __init__(self, name: str, accounts: tuple[str, ...]) -> None:
        self.name = name
        self.accounts = accounts
        self.started_at = iso(wall_now_ns())
        self.said: deque[str] = deque(maxlen=WORDS_KEPT)
        self.futures: list[Future[Takeover]] = []

    @property
    def is_done(self) -> bool:
        """Tell whether every ladder has ended."""
        return all(future.done() for future in self.futures)

    def status(self) -> JobStatus:
        """Return the job as of now."""
        taken = tuple(f.result() for f in self.futures if f.done() and f.exception() is None)
        broken = tuple(f"{type(e).__name__}: {e}" for f in self.futures if f.done() and (e := f.exception()))
        is_flat = not broken and all(one.is_flat for one in taken) if self.is_done else None
        return JobStatus(
            job=self.name, accounts=self.accounts, started_at=self.started_at, is_done=self.is_done,
            is_flat=is_flat, said=(*self.said, *broken), takeovers=taken,
        )


class Jobs:
    """The jobs of this server. A second call for the same accounts joins the one that goes on."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(LADDERS_AT_ONCE, thread_name_prefix="ladder")

    def start(self, accounts: list[Account], *, reason: str, actor: str) -> Job:
        """Begin to close the accounts, or return the job that is about it."""
        names = tuple(sorted(account.name for account in accounts))
        with self._lock:
            for job in self._jobs.values():
                if not job.is_done and job.accounts == names:
                    return job
            job = Job(f"close-all-{wall_now_ns()}", names)
            self._jobs[job.name] = job
            while len(self._jobs) > JOBS_KEPT:
                self._jobs.popitem(last=False)
            job.futures = [
                self._pool.submit(take_over, self._root, one, reason=reason, actor=actor, say=job.said.append)
                for one in accounts
            ]
        return job

    def find(self, name: str) -> Job | None:
        """Return a job by its name."""
        return self._jobs.get(name)

    def wait(self, job: Job, within_s: float) -> None:
        """Wait for the job to end, at most so long."""
        wait(job.futures, timeout=within_s)
