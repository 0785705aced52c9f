"""Judge a directory in the five-file layout, whoever wrote it: say what it refutes, and what it cannot prove.

Artifacts alone never prove a run: without the event store that they follow from, the best answer is NOT_PROVEN.
"""

from __future__ import annotations

import json
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Any

from checks.findings import CheckReport, Finding, make_finding
from checks.suites import registry
from checks.validated import Validation, validated_apart
from trading_core.artifacts import FIVE, ArtifactName
from trading_core.gate.outcomes import Outcome, Reason
from trading_core.plan import PlanModel
from trading_core.storage.artifact_store import MANIFEST, ArtifactStore

FILE_BYTES_MAX = 500_000_000
SHOWN_MAX = 10  # findings that the text names; the report has all


class DirVerdict(StrEnum):
    """What a directory comes to. There is no PROVEN: that takes the event store."""

    REFUTED = "REFUTED"
    NOT_PROVEN = "NOT_PROVEN"


class DirReport(PlanModel):
    """The answer: one sentence, the rows of each file, and every finding."""

    verdict: DirVerdict
    headline: str
    rows: dict[str, int]
    report: CheckReport

    def text(self) -> str:
        """Return the answer for a terminal."""
        bad = [f for f in self.report.findings if f.outcome not in (Outcome.PASS, Outcome.NOT_APPLICABLE)]
        lines = [f"{self.verdict}: {self.headline}"]
        lines += [f"  {name}: {count} rows" for name, count in self.rows.items()]
        lines += [f"  {f.outcome} {f.criterion}: {f.detail}" for f in bad[:SHOWN_MAX]]
        if len(bad) > SHOWN_MAX:
            lines.append(f"  and {len(bad) - SHOWN_MAX} more")
        return "\n".join(_shown(line) for line in lines) + "\n"


def analyze_dir(folder: Path, validation: Validation = validated_apart) -> DirReport:
    """Return what the directory's files say. Never raises for what is in them, and never calls them proven."""
    payloads = {name: _payload(folder / f"{name}.json") for name in ArtifactName}
    documents = {name: _document(payload) for name, payload in payloads.items()}
    rows = {name.value: len(found["rows"]) for name, found in documents.items() if found is not None}
    with tempfile.TemporaryDirectory() as copy:
        for name, payload in payloads.items():
            if payload is not None:
                document = documents[name]
                whole_payload = payload if document is None else json.dumps(document).encode()
                (Path(copy) / f"{name}.json").write_bytes(whole_payload)
        report = validation(Path(copy))
    # The five are the layout; a directory without the two further ones lacks nothing.
    findings = [f for f in report.findings if f.artifact in FIVE or f.artifact in rows]
    findings += [_digests(folder), _origin()]
    expected = (*(name for name in registry() if name.partition(".")[0] in {f.artifact for f in findings}),
                *(f.criterion for f in findings[-2:]))
    whole = CheckReport(engine=report.engine, expected=expected, findings=tuple(findings))
    verdict, headline = _verdict(findings)
    return DirReport(verdict=verdict, headline=headline, rows=rows, report=whole)


def _shown(line: str) -> str:
    """Return the line without what would steer a terminal, or break it: the files are somebody else's."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def _payload(path: Path) -> bytes | None:
    """Return a file's bytes; None for what is no plain file, too large or not to be read."""
    try:
        # Anything else may have no end: a pipe that nobody writes to, a device.
        is_plain = path.is_file() and path.stat().st_size <= FILE_BYTES_MAX
        return path.read_bytes() if is_plain else None
    except OSError:
        return None


def _document(payload: bytes | None) -> dict[str, Any] | None:
    """Return the document with its rows; a bare list, or one list under any name, counts as the rows."""
    try:
        document = json.loads(payload or b"")
        json.dumps(document)  # what cannot be written again is no document: it is nested too deeply
    except (ValueError, RecursionError):
        return None
    if isinstance(document, list):
        document = {"rows": document}
    if not isinstance(document, dict):
        return None
    if "rows" not in document:
        lists = [value for value in document.values() if isinstance(value, list)]
        if len(lists) != 1:
            return None
        document = {**document, "rows": lists[0]}
    rows = document["rows"]
    return document if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else None


def _digests(folder: Path) -> Finding:
    title = "every file hashes to what its manifest says"
    if not (folder / MANIFEST).is_file():
        return make_finding("directory.digests", title, Outcome.NO_DATA, Reason.MISSING, "there is no manifest")
    problems = ArtifactStore(folder).verify()
    if problems:
        outcome = Outcome.ERROR if problems[0].reason in (Reason.HASH_MISMATCH, Reason.SCHEMA) else Outcome.NO_DATA
        return make_finding("directory.digests", title, outcome, problems[0].reason, problems[0].detail)
    return make_finding("directory.digests", title, Outcome.PASS, Reason.INVARIANT_HOLDS, "")


def _origin() -> Finding:
    return make_finding(
        "directory.origin", "the artifacts follow from an event store", Outcome.NO_DATA, Reason.MISSING,
        "a directory holds no event store: analyse the run itself to prove it",
    )


def _verdict(findings: list[Finding]) -> tuple[DirVerdict, str]:
    broken = [f for f in findings if f.outcome is Outcome.FAIL or f.reason is Reason.HASH_MISMATCH]
    if broken:
        return DirVerdict.REFUTED, f"{broken[0].title}: not so ({broken[0].criterion}, {broken[0].detail})"
    missing = [f for f in findings if f.outcome in (Outcome.NO_DATA, Outcome.ERROR)]
    files = sorted({f.artifact for f in missing if f.artifact in FIVE})
    if files:
        return DirVerdict.NOT_PROVEN, f"{len(files)} of the five artifacts cannot be used: {', '.join(files)}"
    return DirVerdict.NOT_PROVEN, "the artifacts are consistent, but only an event store could prove them"


def main(arguments: list[str]) -> int:
    """Print the answer. Returns 4 like any NO-GO: a directory by itself never gives a GO."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        sys.stderr.write("use: python -m checks.analyze_dir DIR, a directory with the five artifacts\n")
        return 2
    sys.stdout.write(analyze_dir(Path(arguments[0])).text())
    return 4


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
