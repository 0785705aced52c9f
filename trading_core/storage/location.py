"""Where the event store is: a SQLite file in a folder of this machine, or a PostgreSQL server by its address."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import URL, exc, make_url

from trading_core.errors import ConfigurationError
from trading_core.plan import PlanModel

FILE_NAME = "events.sqlite3"
URL_VARIABLE = "EVENT_STORE_URL"
SERVER_DRIVER = "postgresql+psycopg"


class StoreLocation(PlanModel):
    """The folder of the account files, and the address of the event store if that is on a server.

    The address never has a password: locations are kept in artifacts and shown in messages. The password is read
    from the environment again when a connection is made.
    """

    root: Path
    url: str = ""

    @property
    def is_server(self) -> bool:
        """Tell whether the events are on a server, out of reach of this machine's disk."""
        return self.url != ""

    @property
    def path(self) -> Path:
        """Return the SQLite file, which is there only if the store is not on a server."""
        return self.root / FILE_NAME

    def __str__(self) -> str:
        return self.url or str(self.path)

    def connect_url(self, environ: Mapping[str, str]) -> URL:
        """Return the address to connect to, with the password if the environment names one for this very address."""
        given = environ.get(URL_VARIABLE, "").strip()
        if given and without_password(given) == self.url:
            return make_url(given)
        return make_url(self.url)


def located(where: StoreLocation | Path) -> StoreLocation:
    """Return the location; a folder alone means the SQLite file in it."""
    return StoreLocation(root=where) if isinstance(where, Path) else where


def without_password(text: str) -> str:
    """Return a server's address as it may be shown; raises ConfigurationError for what is none."""
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError):
        # Not "from e": its text has the address, and that may have the password.
        raise ConfigurationError(f"{URL_VARIABLE} is no address: {_remedy()}") from None
    if url.drivername != SERVER_DRIVER or not url.database:
        was = url.drivername if url.database else f"{url.drivername} without a database"
        raise ConfigurationError(f"{URL_VARIABLE} is of kind {was}: {_remedy()}")
    if "password" in url.query:
        raise ConfigurationError(f"{URL_VARIABLE} has its password in the query: {_remedy()}")
    return url.set(password=None).render_as_string(hide_password=False)


def _remedy() -> str:
    return f"write {SERVER_DRIVER}://USER@HOST:5432/DATABASE, or unset it for SQLite in EVENT_STORE_ROOT"
