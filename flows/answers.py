"""A flow that says no has done its work: its state is an answer, and no log may show it as an error of the program."""

from __future__ import annotations

import logging
from typing import Any

from prefect.client.schemas.objects import State
from prefect.exceptions import CancelledRun, FailedRun

REFUSED = "Refused"
STOPPED = "Stopped"  # with its worker or with `greenlight up`
# Prefect turns a returned Failed or Cancelled into one of these, and both loggers show a traceback of it.
LOGGERS = ("prefect.flow_runs", "prefect.engine")


class NoTracebackOfAnswers(logging.Filter):
    """Drops the report of an answer as an unexpected exception; Prefect has logged the state itself by then."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is to be logged: everything but the traceback of an answer."""
        raised = record.exc_info[1] if record.exc_info else None
        return not isinstance(raised, FailedRun | CancelledRun)


_FILTER = NoTracebackOfAnswers()


def answered(state: State[Any]) -> State[Any]:
    """Return the final state of a flow as an answer. It has a message and no data: Prefect raises data as an error."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
    return state
