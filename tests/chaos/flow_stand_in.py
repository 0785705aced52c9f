"""A process that does what the flow does around the live stage: opens the venue and supervises the session."""

from __future__ import annotations

import sys
from pathlib import Path

from trading_core.bootstrap import open_venue
from trading_core.run import RunContext
from trading_core.session_supervisor import supervise


def main(path: str) -> None:
    """Run the live stage of the context in the file."""
    context = RunContext.model_validate_json(Path(path).read_text("utf-8"))
    with open_venue(context) as endpoint:
        supervise(context, endpoint)


if __name__ == "__main__":
    main(sys.argv[1])
