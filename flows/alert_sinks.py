"""Every way to reach people that is configured here, Prefect's events among them, and a run followed by all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.events import emit_event

from flows.console import alert_told
from trading_core.alert_book import AlertBook
from trading_core.alert_desk import AlertDesk, AlertFollower, Looker, Message, Sink, lock_of
from trading_core.alert_sinks import LogSink, apprise_sinks
from trading_core.alerts import Severity
from trading_core.bootstrap import account_name
from trading_core.errors import VenueUnavailable
from trading_core.logs import Redactor, logging_to
from trading_core.overdue import CheckpointDesk
from trading_core.run import RunContext
from trading_core.settings import Settings, load_settings

LOG_FILE = "logs/alerts.jsonl"
ALERT_NAME = "greenlight.alert.name"  # label by which an automation tells one alert from another


class PrefectSink:
    """Emits an event for each message: automations of Prefect may act on `greenlight.alert.critical`."""

    name = "prefect"

    def send(self, message: Message) -> None:
        """Emit the event; raises VenueUnavailable if Prefect's client cannot take it."""
        word = message.severity.lower() if message.kind in ("raised", "escalated") else message.kind
        run = f"greenlight.run.{message.run_id}"
        event = emit_event(
            event=f"greenlight.alert.{word}",
            resource={
                "prefect.resource.id": run, "prefect.resource.name": message.run_id, ALERT_NAME: message.name
            },
            payload={
                "name": message.name, "title": message.title, "detail": message.body, "alert_id": message.alert_id
            },
        )
        if event is None:
            raise VenueUnavailable("Prefect's client takes no events: see PREFECT_API_URL")


class ConsoleSink:
    """Tells whoever watches the terminal of what cannot wait."""

    name = "console"

    def send(self, message: Message) -> None:
        """Print an ERROR or a CRITICAL that is raised or asks again."""
        if message.kind in ("raised", "escalated") and message.severity in (Severity.ERROR, Severity.CRITICAL):
            alert_told(message)


def sinks_of(settings: Settings) -> list[Sink]:
    """Return log, terminal, Prefect if an API is named, and each address of GREENLIGHT_ALERT_URLS."""
    urls = settings.alert_urls.get_secret_value().split() if settings.alert_urls is not None else []
    prefect: list[Sink] = [PrefectSink()] if os.environ.get("PREFECT_API_URL") else []
    return [LogSink(), ConsoleSink(), *prefect, *apprise_sinks(tuple(urls))]


@contextmanager
def alerts_followed(context: RunContext) -> Iterator[None]:
    """Follow a run's alerts while the block runs, and log them into the run's folder."""
    settings = load_settings(os.environ)
    account, sinks = account_name(context), sinks_of(settings)
    book = AlertBook(context.event_store_root, account)

    def desks() -> list[Looker]:
        return [
            AlertDesk(context.store, context.run_id, book, sinks),
            CheckpointDesk(context.event_store_root, account, sinks),
        ]

    with (
        logging_to(context.run_dir / LOG_FILE, Redactor(settings.secrets()), run_id=context.run_id),
        AlertFollower(desks, lock_of(book)),
    ):
        yield
