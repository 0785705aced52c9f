"""Ways to reach people that need no Prefect: the log, and any address that apprise knows (mail, chat, webhook)."""

from __future__ import annotations

import logging

from apprise import Apprise, NotifyType

from trading_core.alert_desk import Message
from trading_core.alerts import Severity
from trading_core.errors import ConfigurationError, VenueUnavailable

LEVELS = {
    Severity.INFO: logging.INFO, Severity.WARNING: logging.WARNING, Severity.ERROR: logging.ERROR,
    Severity.CRITICAL: logging.CRITICAL,
}
_TYPES = {
    Severity.INFO: NotifyType.INFO, Severity.WARNING: NotifyType.WARNING, Severity.ERROR: NotifyType.FAILURE,
    Severity.CRITICAL: NotifyType.FAILURE,
}
# apprise logs the address of what it could not reach, and an address may hold a password.
logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)


class LogSink:
    """Writes each message to the structured log."""

    name = "log"

    def __init__(self) -> None:
        self._log = logging.getLogger("trading_core.alerts")

    def send(self, message: Message) -> None:
        """Write one line."""
        self._log.log(
            LEVELS[message.severity], f"alert_{message.kind}",
            extra={"run_id": message.run_id, "alert": message.name, "alert_id": message.alert_id,
                   "severity": message.severity, "detail": message.body},
        )


class AppriseSink:
    """Sends to one address. Its name never shows the address: that may hold a password."""

    def __init__(self, url: str, number: int = 1) -> None:
        self._apprise = Apprise()
        if not self._apprise.add(url):
            raise ConfigurationError(
                f"address {number} of GREENLIGHT_ALERT_URLS is none that apprise knows: see docs/runbook.md"
            )
        self.name = f"apprise-{number}"

    def send(self, message: Message) -> None:
        """Send one message; raises VenueUnavailable if the service did not take it."""
        title, body = f"Greenlight {message.title}", f"run {message.run_id}\n{message.body}"
        if not self._apprise.notify(body, title=title, notify_type=_TYPES[message.severity]):
            raise VenueUnavailable(f"{self.name} did not take the message: check the address and the service")


def apprise_sinks(urls: tuple[str, ...]) -> list[AppriseSink]:
    """Return a sink for each address; raises ConfigurationError for one that apprise does not know."""
    return [AppriseSink(url, number) for number, url in enumerate(urls, start=1)]
