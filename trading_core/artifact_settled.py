"""Decision traces that changed no more: packed, so that a day's orders take little memory and none is ever lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import zstandard

from trading_core.artifact_draft import Draft, draft_of
from trading_core.artifacts import Trace


class SettledTraces:
    """The rows of settled traces in their order. They are unpacked only if one of them changes after all."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self.count = 0

    def add(self, rows: Sequence[bytes]) -> None:
        """Take the rows of the next traces."""
        if rows:
            self._blocks.append(zstandard.compress(b"\n".join(rows)))  # JSON has no line break of its own
            self.count += len(rows)

    def take(self) -> list[Draft]:
        """Return all of them as drafts, and start over."""
        blocks, self._blocks, self.count = self._blocks, [], 0
        rows = [row for block in blocks for row in zstandard.decompress(block).split(b"\n")]
        return [draft_of(Trace.model_validate_json(row)) for row in rows]


class DraftIndex:
    """Drafts by one of their ids. Of a settled one it is known which it was."""

    def __init__(self) -> None:
        self._drafts: dict[str, Draft] = {}
        self._settled: dict[str, int] = {}

    def get(self, key: str) -> Draft | None:
        """Return the draft; None also if it is settled."""
        return self._drafts.get(key)

    def set(self, key: str, draft: Draft) -> None:
        """Let the key mean this draft from now on."""
        self._drafts[key] = draft

    def is_settled(self, key: str) -> bool:
        """Tell whether the key means a settled trace."""
        return key in self._settled and key not in self._drafts

    def settle(self, numbers: Mapping[int, int]) -> None:
        """Forget the drafts with these identities, but for their numbers."""
        gone = {key: numbers[id(draft)] for key, draft in self._drafts.items() if id(draft) in numbers}
        for key in gone:
            del self._drafts[key]
        self._settled.update(gone)

    def reopen(self, drafts: Sequence[Draft]) -> None:
        """Take the settled drafts back, by their numbers."""
        self._drafts = {**{key: drafts[number] for key, number in self._settled.items()}, **self._drafts}
        self._settled = {}
