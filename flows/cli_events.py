"""`greenlight events`: look into the event store. Reading only, in short queries: the writer never waits for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from flows.console import make_console
from trading_core.clock import from_iso, iso, pause
from trading_core.errors import ConfigurationError, IntegrityError
from trading_core.event_filter import EventFilter, is_event_type
from trading_core.events import TICKS, encode
from trading_core.settings import load_settings
from trading_core.storage.database import open_writer
from trading_core.storage.event_reader import EventReader, StoredEvent, list_runs

app = typer.Typer(no_args_is_help=True, help="Look into the event store.")
NOT_VERIFIED = 4
POLL_S = 0.25
TICK_TYPES = frozenset(kind.__name__ for kind in TICKS)

RunId = Annotated[str, typer.Argument(help="A run's id.")]
Types = Annotated[list[str] | None, typer.Option("--type", help="Only events of this type; may be given again.")]
AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON for each event.")]


@app.command()
def tail(
    run: RunId,
    number: Annotated[int, typer.Option("-n", min=0, help="How many of the last events to show.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", help="Go on showing what comes, until Ctrl+C.")] = False,
    type_: Types = None,
    as_json: AsJson = False,
) -> None:
    """Show the last events of a run."""
    types = _checked(type_ or ())
    with _opened(run) as reader:
        found = reader.last(number, types) if number else []
        after = reader.head().seq if not found else found[-1].seq
        _show(found, as_json=as_json, has_frame=not follow)
        with suppress(KeyboardInterrupt):
            while follow:
                pause(POLL_S)
                for stored in reader.events(types=types, after=after):
                    _show([stored], as_json=as_json, has_frame=False)
                    after = stored.seq


@app.command()
def query(
    run: RunId,
    type_: Types = None,
    symbol: Annotated[str, typer.Option(help="Only events about this product or its orders.")] = "",
    from_: Annotated[str, typer.Option("--from", help="From this venue time on, as 2025-05-28T10:00:00Z.")] = "",
    to: Annotated[str, typer.Option(help="Up to this venue time.")] = "",
    order: Annotated[str, typer.Option(help="Only events of this order, by our id or the venue's.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show the events of a run that match everything asked for; ticks only where their type is named."""
    types = _checked(type_ or ())
    wanted = EventFilter(symbol=symbol, order=order, from_ns=_time("--from", from_), to_ns=_time("--to", to))
    with _opened(run) as reader:
        rows = reader.whole() if TICK_TYPES & set(types) else reader.events()
        _show(
            (row for row in rows if wanted.takes(row) and (not types or type(row.event).__name__ in types)),
            as_json=as_json, has_frame=True,
        )


@app.command()
def verify(run: RunId) -> None:
    """Hash the whole chain again: exit code 4 and the first event that does not verify, if there is one."""
    with _opened(run) as reader:
        try:
            head = reader.verify()
        except IntegrityError as e:
            make_console().print(f"does not verify: {e}", markup=False, soft_wrap=True)
            raise typer.Exit(NOT_VERIFIED) from None
    make_console().print(f"{head.seq} events verify, head {head.hash}", markup=False, soft_wrap=True)


@app.command()
def runs() -> None:
    """List the runs of the store."""
    table = Table("run", "events", "writers", "head", box=None)
    for found in list_runs(load_settings(os.environ).store):
        table.add_row(escape(found.run_id), str(found.seq), str(found.epoch), found.hash[:16])
    make_console().print(table)


@app.command()
def migrate() -> None:
    """Bring a store of an older build to the schema of this one. End the sessions that use it first."""
    store = load_settings(os.environ).store
    open_writer(store, is_durable=True).close()
    make_console().print(f"event store {store} is up to date", markup=False, soft_wrap=True)


@contextmanager
def _opened(run: str) -> Iterator[EventReader]:
    store = load_settings(os.environ).store
    known = [found.run_id for found in list_runs(store)]
    if run not in known:
        raise ConfigurationError(f"event store {store} has no run {run!r}; it has: {', '.join(known) or 'none'}")
    with EventReader(store, run) as reader:
        yield reader


def _checked(types: Collection[str]) -> Collection[str]:
    for name in types:
        if not is_event_type(name):
            raise ConfigurationError(f"--type {name!r} is no event: see trading_core/events.py for their names")
    return types


def _time(option: str, text: str) -> int | None:
    if not text:
        return None
    try:
        return from_iso(text)
    except ValueError as e:
        raise ConfigurationError(f"{option} {e}: write it like 2025-05-28T10:00:00Z") from e


def _show(found: Iterable[StoredEvent], *, as_json: bool, has_frame: bool) -> None:
    if as_json:
        for stored in found:
            sys.stdout.write(_json_line(stored) + "\n")
        sys.stdout.flush()
        return
    console = make_console()
    if not has_frame:
        for stored in found:
            console.print("  ".join(_cells(stored)), markup=False, soft_wrap=True)
        return
    _table(found, console)


def _table(found: Iterable[StoredEvent], console: Console) -> None:
    table = Table("seq", "venue time", "kind", "type", Column("what", overflow="fold"), box=None)
    for stored in found:
        table.add_row(*(escape(cell) for cell in _cells(stored)))
    console.print(table)


def _cells(stored: StoredEvent) -> list[str]:
    members = msgspec.json.decode(encode(stored.event), type=dict[str, msgspec.Raw])
    said = [f"{name} {bytes(raw).decode()}" for name, raw in members.items() if name not in ("type", "ts_ns")]
    return [str(stored.seq), iso(stored.ts_ns), stored.kind, type(stored.event).__name__, ", ".join(said)]


def _json_line(stored: StoredEvent) -> str:
    row = {"seq": stored.seq, "kind": stored.kind, "event": msgspec.Raw(encode(stored.event))}
    return msgspec.json.encode(row).decode()
