"""Every error that leaves trading_core, drawn as one tree.

GreenlightError
├── ConfigurationError      the caller's plan, settings or environment is wrong
├── VenueError              the venue did not answer as asked
│   ├── VenueUnavailable        no connection, time-out, 5xx
│   ├── RateLimited             429, or no budget left to ask
│   ├── NotAuthorised           401, or 403 for a missing scope
│   ├── BadRequest              400 or 404: we asked for something that is not there
│   ├── SchemaDrift             an answer lacks a member that we need
│   └── OutcomeUnknown          an order was sent and nothing came back
├── StorageError            the event or artifact store cannot be written or read
│   └── IntegrityError          a digest or a chain does not verify
├── Unreconciled            after a crash the venue and our books could not be brought together
└── InvariantBroken         a bug of ours: the books do not balance, a transition is not allowed
"""

from __future__ import annotations


class GreenlightError(Exception):
    """The root: its text names the value, the limit and what to do."""


class ConfigurationError(GreenlightError):
    """A plan, a setting or an argument is wrong; nothing was started."""


class VenueError(GreenlightError):
    """The venue did not answer as asked."""


class VenueUnavailable(VenueError):
    """No connection, a time-out or a 5xx answer to a request that changes nothing."""


class RateLimited(VenueError):
    """The venue answered 429, or our own budget is used up; `retry_after_s` is how long to wait, 0 if nobody said."""

    def __init__(self, text: str, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class NotAuthorised(VenueError):
    """The venue refused the credentials (401) or the key lacks a scope (403)."""


class BadRequest(VenueError):
    """The venue refused the request itself (400 or 404)."""


class SchemaDrift(VenueError):
    """An answer lacks a member that we need, or has it in another form."""


class OutcomeUnknown(VenueError):
    """An order was sent and no answer came: ask by its client order id, never send it again."""

    def __init__(self, client_order_id: str, cause: str) -> None:
        super().__init__(f"outcome of order {client_order_id} is unknown ({cause}): ask by client order id")
        self.client_order_id = client_order_id


class StorageError(GreenlightError):
    """The event store or the artifact store cannot be written or read."""


class IntegrityError(StorageError):
    """A digest or a hash chain does not verify."""


class Unreconciled(GreenlightError):
    """After a crash the venue and our books stay apart: nothing is traded on such books, only the ladder leaves."""


class InvariantBroken(GreenlightError):
    """A rule of our own does not hold: stop, this is a bug."""
