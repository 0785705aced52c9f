"""Encodes the artifacts of a run that is under way, again and again, without encoding every row each time."""

from __future__ import annotations

from trading_core.artifacts import AnyArtifact, ArtifactName, row_json, to_json


class ArtifactEncoder:
    """Gives the bytes of `to_json`, remembering those of each row: a run of a day is saved three hundred times."""

    def __init__(self) -> None:
        # By name and identity of the row; the row itself is kept, so that no other object takes its identity.
        self._known: dict[ArtifactName, dict[int, tuple[object, bytes]]] = {}

    def encode(self, name: ArtifactName, artifact: AnyArtifact) -> bytes:
        """Return the artifact's bytes; rows that were seen before, as the same objects, are not encoded again."""
        known = self._known.get(name, {})
        rows = {id(row): known.get(id(row)) or (row, row_json(row)) for row in artifact.rows}
        self._known[name] = rows  # rows that are gone are forgotten
        head, tail = to_json(artifact.model_copy(update={"rows": ()})).split(b'"rows":[]')
        return b"".join((head, b'"rows":[', b",".join(data for _, data in rows.values()), b"]", tail))
