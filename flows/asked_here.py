"""Asks for an approval where no deployment runs the flow: answers from files, else at the terminal, else nobody."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import typer
from rich.markdown import Markdown

from flows.approval_form import question_in_words
from flows.console import make_console
from trading_core.clock import SystemClock, iso
from trading_core.errors import ConfigurationError
from trading_core.gate.decide import HOUR_NS
from trading_core.gate.publish import GateFiles
from trading_core.gate.start_approval import (
    CONFIRMED_BY,
    Standing,
    StartAnswer,
    StartRequest,
    answer_start,
    file_answer,
    start_answer,
    start_request,
    start_standing,
)
from trading_core.gate.subject import Subject
from trading_core.run import RunContext

FILE_BYTES_MAX = 4096  # four fields of at most 500 letters


class Asked(NamedTuple):
    """A question as it stands now."""

    request: StartRequest
    standing: Standing

    @property
    def is_open(self) -> bool:
        """Tell whether an answer is still wanted."""
        return bool(self.standing.problem) and not self.standing.rejection


def ask_here(context: RunContext, subject: Subject, requester: str, approval_files: Sequence[Path]) -> None:
    """File what the files and a person at the terminal answer; the flow then finds it, or holds the run.

    Raises ConfigurationError for a file that cannot be used; it stays where it is.
    """
    files = GateFiles(context.event_store_root)

    def asked_now() -> Asked:
        now_ns = SystemClock().now_ns()
        request = start_request(context, subject, requester, files)
        request = request.model_copy(update={"until_ns": now_ns + int(request.expires_h * HOUR_NS)})
        return Asked(request, start_standing(request, files, now_ns))

    for path in approval_files:
        if (asked := asked_now()).is_open:
            use_file(path, asked.request, files)
    said = ""
    while (asked := asked_now()).is_open and sys.stdin.isatty() and sys.stdout.isatty():
        make_console().print(Markdown(question_in_words(context, subject, asked.request, asked.standing, said)))
        try:
            if (given := _prompted()) is None:
                return
            said = _filed(asked.request, given, files)
        except ConfigurationError as e:
            said = f"The last answer did not count: {e}"


def use_file(path: Path, asked: StartRequest, files: GateFiles) -> None:
    """File the answer that the file holds, and remove the file: it counts once, from when it was written.

    Raises ConfigurationError for a file that others may read, or whose answer does not count here and now.
    """
    given, written_ns = read_file(path)
    answer, now_ns = answer_start(asked, given, written_ns), SystemClock().now_ns()
    if not written_ns <= now_ns < answer.expires_ns:
        raise ConfigurationError(
            f"approval file {path} was written at {iso(written_ns)} (limit {asked.expires_h} h ago): write it anew"
        )
    if written_ns < asked.below_ns:
        raise ConfigurationError(
            f"approval file {path} was written at {iso(written_ns)}, before the rung below was decided at "
            f"{iso(asked.below_ns)}: look at that, then write it anew"
        )
    try:
        path.unlink()  # first, so that whatever happens next it cannot count twice
    except OSError as e:
        raise ConfigurationError(f"approval file {path} cannot be removed ({e.strerror}), and counts only once") from e
    file_answer(asked, given, files, written_ns)


def read_file(path: Path) -> tuple[StartAnswer, int]:
    """Return the answer in a file of its owner's only, and when it was written; raises ConfigurationError."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status, data = os.fstat(file.fileno()), file.read(FILE_BYTES_MAX + 1)
    except OSError as e:
        raise ConfigurationError(f"approval file {path} cannot be read ({e.strerror})") from e
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode) or mode & 0o077 or status.st_uid != os.geteuid():
        raise ConfigurationError(
            f"approval file {path} has mode {mode:04o} and owner {status.st_uid} (needed: a plain file of mode 0600 "
            f"and owner {os.geteuid()}): anybody else could have written it"
        )
    try:
        said = msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as e:
        limit = f"limit {FILE_BYTES_MAX} bytes"
        raise ConfigurationError(f"approval file {path} is no JSON object ({limit}): {e}") from e
    return start_answer(said), status.st_mtime_ns


def _prompted() -> StartAnswer | None:
    approver = typer.prompt("Your name (empty: leave the run held)", default="", show_default=False)
    if not approver.strip():
        return None
    return start_answer({
        "approver": approver,
        "answer": typer.prompt("approve or reject").strip(),
        "reason": typer.prompt("Reason"),
        "subject": typer.prompt(f"Subject ({CONFIRMED_BY} letters, as shown)"),
    })


def _filed(asked: StartRequest, given: StartAnswer, files: GateFiles) -> str:
    """File the answer; return why it does not count if it came too late."""
    now_ns = SystemClock().now_ns()
    if now_ns >= asked.until_ns:
        return "The last answer came too late and did not count: the question is put anew"
    file_answer(asked, given, files, now_ns)
    return ""
