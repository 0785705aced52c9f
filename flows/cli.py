"""The command line: where each command is, and how the process ends. Exit codes are part of the interface."""

from __future__ import annotations

import importlib
import sys
from collections import UserDict
from typing import Any

import typer
from typer.core import TyperGroup

from flows.cli_codes import ExitCode
from trading_core.errors import ConfigurationError, GreenlightError

# A module is imported when its command is asked for: a wrong argument is refused before anything heavy was loaded.
COMMANDS = {
    "run": "flows.cli_run:run",
    "retry": "flows.cli_run:retry",
    "watch": "flows.cli_watch:watch",
    "replay": "flows.cli_replay:replay",
    "watchdog": "flows.cli_control:watchdog",
    "up": "flows.cli_up:up",
    "down": "flows.cli_up:down",
    "doctor": "flows.cli_up:doctor",
    "verify": "flows.cli_gate:verify",
    "ladder": "flows.cli_ladder:ladder",
    "waive": "flows.cli_people:waive",
    "approve": "flows.cli_people:approve",
    "analyze": "flows.cli_ladder:analyze",
    "report": "flows.cli_ladder:report",
    "parity": "flows.cli_parity:parity",
    "plan": "flows.cli_plan:app",
    "exchange": "flows.cli_exchange:app",
    "control": "flows.cli_control:app",
    "emergency": "flows.cli_emergency:app",
    "gate": "flows.cli_people:gate",
    "state": "flows.cli_state:app",
    "alerts": "flows.cli_alerts:app",
    "events": "flows.cli_events:app",
}


class Late(UserDict[str, Any]):
    """Commands by name; each is imported when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        """Return the command, ready to be called."""
        module, _, attribute = super().__getitem__(name).partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            command: Any = typer.main.get_group(found)
        else:
            alone = typer.Typer(add_completion=False)
            alone.command(name)(found)
            command = typer.main.get_command(alone)
        command.name = name
        return command


class Commands(TyperGroup):
    """The commands of the table above."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Late(COMMANDS)


app = typer.Typer(
    name="greenlight", cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False,
)


@app.callback()
def greenlight() -> None:
    """Promote a trading bot one rung at a time, and only on evidence."""


def main() -> None:
    """Run the command line; what we foresee ends with one sentence and its code."""
    try:
        app(standalone_mode=True)
    except ConfigurationError as e:
        sys.stderr.write(f"greenlight: {e}\n")
        sys.exit(ExitCode.WRONG_USE)
    except GreenlightError as e:
        sys.stderr.write(f"greenlight: {type(e).__name__}: {e}\n")
        sys.exit(ExitCode.UNEXPECTED)


if __name__ == "__main__":
    main()
