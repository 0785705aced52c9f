"""A flow whose worker was killed goes on, though nobody reads its words any more."""

from __future__ import annotations

import os
import select
import threading
from functools import cache

OUTPUT = (1, 2)  # what the worker reads through pipes
THREAD = "unheard"
STARTED_BY_A_WORKER = "PREFECT__FLOW_RUN_ID"


def outlive_reader() -> None:
    """Let words that nobody reads go nowhere: else the first one after the worker's death would end the flow.

    Of a run of the command line the reader is a person's: it ends with that one, as any other command does.
    """
    if STARTED_BY_A_WORKER in os.environ:
        watch_readers(OUTPUT)


@cache
def watch_readers(descriptors: tuple[int, ...]) -> None:
    """Watch the pipes from a thread of their own, once in a process."""
    threading.Thread(target=_watch, args=(descriptors,), name=THREAD, daemon=True).start()


def _watch(descriptors: tuple[int, ...]) -> None:
    readers, nowhere = select.poll(), os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    for descriptor in descriptors:
        readers.register(descriptor, 0)  # the end of a reader is told unasked
    for _ in descriptors:
        (descriptor, _why), *_others = readers.poll()
        readers.unregister(descriptor)
        os.dup2(nowhere, descriptor)
