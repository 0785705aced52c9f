"""Where the event store is: a SQLite file in a folder of this machine, or a PostgreSQL server by its address."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from trading_core.errors import ConfigurationError
from trading_core.plan import PlanModel

FILE_NAME = "events.sqlite3"
URL_VARIABLE = "EVENT_STORE_URL"
SERVER_SCHEME = "postgresql+psycopg"


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
        """Return the SQLite file; it is there only if the store is not on a server."""
        return self.root / FILE_NAME

    def __str__(self) -> str:
        return self.url or str(self.path)

    def secret_url(self, environ: Mapping[str, str]) -> str:
        """Return the address to connect to, with its password if the environment has one for this very address."""
        given = environ.get(URL_VARIABLE, "").strip()
        return given if given and without_password(given) == self.url else self.url


def located(where: StoreLocation | Path) -> StoreLocation:
    """Return the location; a folder alone means the SQLite file in it."""
    return StoreLocation(root=where) if isinstance(where, Path) else where


def without_password(text: str) -> str:
    """Return a server's address as it may be shown; raises ConfigurationError for what is none.

    >>> without_password("postgresql+psycopg://me:secret@db.example:5432/greenlight")
    'postgresql+psycopg://me@db.example:5432/greenlight'
    """
    # No message here repeats the text, and none is raised "from" one that does: it may have the password.
    try:
        parts = urlsplit(text)
        has_server = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise ConfigurationError(f"{URL_VARIABLE} is no address: {_REMEDY}") from None
    if parts.scheme != SERVER_SCHEME or not has_server or len(parts.path) < 2:
        raise ConfigurationError(f"{URL_VARIABLE} is not the address of a PostgreSQL database: {_REMEDY}")
    if any(name in SECRET_OPTIONS for name, _ in parse_qsl(parts.query)):
        raise ConfigurationError(f"{URL_VARIABLE} has a password in its options: {_REMEDY}")
    user, has_user, server = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=user.partition(":")[0] + has_user + server))


SECRET_OPTIONS = frozenset({"password", "sslpassword"})
_REMEDY = f"write {SERVER_SCHEME}://USER@HOST:5432/DATABASE, or unset it for SQLite in EVENT_STORE_ROOT"
