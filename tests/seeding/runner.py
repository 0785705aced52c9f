"""Runs tests against a copy of the repository with one fault in it."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.seeding.faults import Fault

ROOT = Path(__file__).parents[2]
PACKAGES = ("trading_core", "tests", "checks", "tasks", "flows", "deployments")
NEEDED = (*PACKAGES, "docs", "pyproject.toml", "README.md")
# Imported once, before the forks: a run of some tests takes longer to import these than to test.
OF_OTHERS = (
    "_pytest.assertion.rewrite", "hypothesis", "pydantic", "msgspec", "cryptography.hazmat.primitives.asymmetric.ec",
    "requests", "websockets.asyncio.client", "jwt", "aiohttp.web", "rich.console", "sqlite3", "coinbase.rest",
)
TEST_RUN_S_MAX = 200
PASSED, FAILED = 0, 1  # pytest's exit codes; any other is no verdict


class NoVerdict(Exception):
    """The tests could not be run, or fail without a fault: nothing is shown."""


class Copy:
    """A copy of the repository that holds one fault at a time. For a process without threads: it forks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changes = 0
        self._passing: set[str] = set()
        for name in OF_OTHERS:
            importlib.import_module(name)
        for name in NEEDED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, folder / name)

    def survives(self, fault: Fault) -> bool:
        """Tell whether all tests pass in spite of the fault. Raises NoVerdict if they do not pass without it."""
        path = self._folder / fault.file
        source = path.read_text("utf-8")
        changed = fault.change(source)
        for test in fault.tests:
            if test not in self._passing:
                self._require(test)
        self._write(path, changed)
        try:
            return all(self._code(test) == PASSED for test in fault.tests)
        finally:
            self._write(path, source)

    def _require(self, test: str) -> None:
        if (code := self._code(test)) != PASSED:
            raise NoVerdict(f"{test} ends with code {code} without any fault: make it pass first")
        self._passing.add(test)

    def _code(self, test: str) -> int:
        said = self._folder / "said.txt"
        if (pid := os.fork()) == 0:
            self._be_the_child(test, said)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            return FAILED  # a fault that never ends, or that ends the process, is seen, too
        code = os.WEXITSTATUS(status)
        if code not in (PASSED, FAILED):
            # A module that cannot even be imported is no test that fails.
            raise NoVerdict(f"{test} ended with code {code}: {said.read_text()[-800:]}")
        return code

    def _be_the_child(self, test: str, said: Path) -> None:
        code = -1
        try:
            signal.alarm(TEST_RUN_S_MAX)
            descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            os.chdir(self._folder)
            os.environ["PYTHONPATH"] = str(self._folder)
            sys.path[:] = [str(self._folder), *(p for p in sys.path if p and Path(p) != ROOT)]
            for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
                del sys.modules[name]
            code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--no-header", test]))
        finally:
            sys.stdout.flush()
            os._exit(code & 0xFF)

    def _write(self, path: Path, source: str) -> None:
        path.write_text(source, "utf-8")
        # Python takes a compiled module for new by seconds and size: each change gets a second of its own.
        self._changes += 1
        moment = 1_000_000_000 + self._changes
        os.utime(path, (moment, moment))


@contextmanager
def copied() -> Iterator[Copy]:
    """Yield a fresh copy and remove it."""
    with tempfile.TemporaryDirectory(prefix="seeded-") as folder:
        yield Copy(Path(folder))
