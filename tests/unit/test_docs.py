"""The documents are true of the tree: links lead somewhere, named files and words exist, commands are commands."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from flows.cli import app
from trading_core.gate.outcomes import REASONS, Disposition, Outcome, Verdict
from trading_core.local_exchange.faults import PRESETS
from trading_core.plan import Rung, Stage
from trading_core.run import VenueName
from trading_core.settings import VARIABLES

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "artifacts" / "README.md"])
README, RUNBOOK, GLOSSARY = (ROOT / name for name in ("README.md", "docs/runbook.md", "docs/glossary.md"))
STREAM, CONTRACT = ROOT / "docs" / "stream.md", ROOT / "trading_core" / "advanced_trade" / "contract"
PASSING = frozenset({Outcome.PASS, Outcome.NOT_APPLICABLE})


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_of(path: Path) -> str:
    return path.read_text("utf-8")


def anchor_of(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def leads_somewhere(document: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (document.parent / path).resolve() if path else document
    if not file.exists() or not anchor:
        return file.exists()
    return anchor in [anchor_of(heading) for heading in re.findall(r"^#+ (.+)$", text_of(file), re.MULTILINE)]


def rows_of(path: Path) -> list[list[str]]:
    """Return the body rows of every table, cell by cell; an escaped bar does not part cells."""
    lines = [line for line in text_of(path).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    rules = {index for index, row in enumerate(cells) if all(re.fullmatch(r":?-+:?", cell) for cell in row)}
    return [row for index, row in enumerate(cells) if index not in rules and index + 1 not in rules]


def resolve(reference: str) -> Any:
    """Return what `module:Name.attribute` names; a field without default counts by its annotation."""
    module, _, path = reference.partition(":")
    found: Any = import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


COMMAND_WORD = r"[a-z]+(?:-[a-z]+)*"


def commands(command: Any, prefix: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Return every command of the command line as the words that call it."""
    children: dict[str, Any] = getattr(command, "commands", {})
    if not children:
        return {prefix}
    return {words for name, child in children.items() for words in commands(child, (*prefix, name))}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", text_of(document))
    assert [target for target in targets if not leads_somewhere(document, target)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_table_has_rows_of_equal_width(document: Path) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", text_of(document) + "\n", re.MULTILINE)
    widths = [{len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()} for table in tables]
    assert all(len(width) == 1 for width in widths), widths


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_named_source_file_exists(document: Path) -> None:
    pattern = r"`((?:trading_core|checks|tasks|flows|deployments|tests|docs)/[\w./*<>-]+)`"
    named = [name for name in re.findall(pattern, text_of(document)) if "<" not in name]
    assert [name for name in named if not list(ROOT.glob(name.rstrip("/")))] == []


def test_every_word_is_defined_once_and_lives_in_the_code() -> None:
    rows = rows_of(GLOSSARY)
    words = [word for word, *_ in rows]
    assert len(words) > 60
    assert sorted({word for word in words if words.count(word) > 1}) == []
    for word, meaning, reference in rows:
        assert meaning, word
        assert resolve(reference.strip("`")) is not None, word


def test_the_first_commands_of_the_readme_are_rollout_and_test() -> None:
    block = text_of(README).split("```")[1]
    assert [line.split()[:2] for line in block.strip().splitlines()] == [["make", "rollout"], ["make", "test"]]


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text_of(document), re.MULTILINE))
        assert named <= targets, name_of(document)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_command_that_is_named_exists(document: Path) -> None:
    known = commands(get_command(app))
    code = re.findall(r"`(greenlight [^`]+)`", text_of(document))
    code += re.findall(r"^\.venv/bin/(greenlight .+)$", text_of(document), re.MULTILINE)
    for line in code:
        for part in _alternatives(line.split()[1:3]):
            assert part in known or part[:1] in known, line


def _alternatives(words: list[str]) -> list[tuple[str, ...]]:
    """Return `plan list|show|check` as three commands."""
    head, *rest = words
    return [(head, choice) for choice in rest[0].split("|")] if rest else [(head,)]


def test_the_readme_names_every_command() -> None:
    named = {tuple(words.split()) for words in re.findall(rf"`greenlight ((?:{COMMAND_WORD} ?)+)", text_of(README))}
    assert {words for words in commands(get_command(app)) if words not in named} == set()


def test_every_option_of_the_readme_exists() -> None:
    text = text_of(README)
    rows = re.findall(rf"^\| `greenlight ((?:{COMMAND_WORD} ?)+)[^`]*` \|(.*)$", text, re.MULTILINE)
    assert rows
    for words, row in rows:
        assert set(re.findall(r"(--[a-z]+)", row)) <= options_of(words.split()), words
    every = {option for words, _ in rows for option in options_of(words.split())}
    assert set(re.findall(r"(--[a-z]+)", text)) <= every


def options_of(words: list[str]) -> set[str]:
    """Return the options of one command."""
    command = get_command(app)
    for word in words:
        command = command.commands[word]  # type: ignore[attr-defined]  # every one but the last is a group
    return {option for parameter in command.params for option in parameter.opts}


def test_the_readme_names_every_plan_venue_stage_and_verdict() -> None:
    text = text_of(README)
    closed = [*Rung, *VenueName, *Stage, *Verdict, *Disposition]
    assert [value for value in closed if value not in text] == []


def test_the_faults_of_the_examples_exist() -> None:
    named = {name for document in (README, RUNBOOK) for name in re.findall(r"--faults ([a-z_0-9]+)", text_of(document))}
    assert named
    assert named <= set(PRESETS)


def test_the_runbook_says_what_to_do_at_each_reason_that_is_no_pass() -> None:
    explained = {(row[0], row[1]) for row in rows_of(RUNBOOK) if len(row) == 4}
    due = {(reason, outcome) for outcome, reasons in REASONS.items() if outcome not in PASSING for reason in reasons}
    assert due - explained == set()


def test_the_runbook_says_what_to_do_at_each_disposition() -> None:
    assert set(Disposition) <= {row[0] for row in rows_of(RUNBOOK)}


def test_the_runbook_names_every_setting() -> None:
    assert [name for name in VARIABLES if f"`{name}`" not in text_of(RUNBOOK)] == []


def test_the_index_of_decisions_is_complete() -> None:
    folder = ROOT / "docs" / "adr"
    index = text_of(folder / "README.md")
    titles = {path.name: text_of(path).splitlines()[0] for path in sorted(folder.glob("[0-9]*.md"))}
    assert titles
    for name, title in titles.items():
        assert title.startswith(f"# {int(name[:4])}. "), name  # a number that was set aside may stay unused
        assert f"]({name}) | {title.partition('. ')[2]} |" in index


def test_each_rule_of_the_stream_names_a_test_that_exists_and_no_channel_is_missing() -> None:
    text = text_of(STREAM)
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) > 30
    assert [(path, test) for path, test in named if f"def {test}(" not in text_of(ROOT / path)] == []
    channels = {row[0].strip("`") for row in rows_of(STREAM) if len(row) == 4}
    assert channels == set(json.loads(text_of(CONTRACT / "asyncapi.json"))["channels"])


def test_the_command_line_is_a_typer_app() -> None:
    assert isinstance(app, typer.Typer)
