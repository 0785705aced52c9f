"""Ids that a run can repeat: uuid5 of the seed and a counter, or of the seed and a name."""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5


class Ids:
    """The ids of one exchange."""

    def __init__(self, seed: int) -> None:
        self._space = uuid5(NAMESPACE_OID, f"local-exchange/{seed}")
        self._counter = 0

    def next(self, kind: str) -> str:
        """Return a fresh uuid."""
        self._counter += 1
        return str(uuid5(self._space, f"{kind}/{self._counter}"))

    def of(self, *name: str) -> str:
        """Return the uuid that belongs to a name."""
        return str(uuid5(self._space, "/".join(name)))
