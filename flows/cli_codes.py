"""Exit codes of the command line: part of the interface, as scripts read them."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process says to its caller."""

    GO = 0
    UNEXPECTED = 1
    WRONG_USE = 2
    CONDITIONAL = 3
    NO_GO = 4
    INTERRUPTED = 130  # as shells have it: 128 and the number of SIGINT
