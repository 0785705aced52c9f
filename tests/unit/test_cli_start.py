"""What the command line imports before a command runs: a refusal must not wait for what only a run needs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.main import get_command

from flows.cli import COMMANDS, app

HEAVY = ("prefect", "great_expectations", "pandas", "sqlalchemy", "scipy", "numpy", "starlette", "aiohttp")


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("flows.cli", ()), ("flows.cli_run", ("sqlalchemy", "scipy", "numpy")),
        ("flows.cli_exchange", ("aiohttp", "numpy")),
    ],
)
def test_a_command_imports_nothing_heavy_that_it_does_not_need(module: str, allowed: tuple[str, ...]) -> None:
    forbidden = [name for name in HEAVY if name not in allowed]
    code = f"import sys, {module}; print([name for name in {forbidden!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


def test_each_command_of_the_table_is_found_under_its_name() -> None:
    found = get_command(app).commands  # type: ignore[attr-defined]  # it is a group
    assert list(found) == list(COMMANDS)
    assert {name: command.name for name, command in found.items()} == {name: name for name in COMMANDS}
    assert [name for name, command in found.items() if not command.get_short_help_str()] == []
