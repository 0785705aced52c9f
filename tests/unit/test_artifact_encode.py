"""Saving a run as it goes: the bytes are those of one export at the end, whenever and however often it is saved."""

from __future__ import annotations

from pathlib import Path

from tests.evidence_runs import CONTRACT_SIZES, make_events, write_run
from trading_core.artifact_encode import ArtifactEncoder
from trading_core.artifact_export import Exporter, export
from trading_core.artifacts import ArtifactSet, to_json


def bytes_of(made: ArtifactSet) -> list[bytes]:
    """Return the bytes of each artifact, made in one piece."""
    return [to_json(artifact) for artifact in made.named().values()]


def test_each_save_has_the_bytes_of_an_export_of_the_events_so_far(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    events = make_events(context.plan, rejections=2)
    exporter, encoder = Exporter(context, {}, CONTRACT_SIZES), ArtifactEncoder()
    differing = []
    for count, (seq, event) in enumerate(events, start=1):
        exporter.add(seq, event)
        if count % 97 == 0 or count == len(events):
            saved = [encoder.encode(name, made) for name, made in exporter.finish().named().items()]
            if saved != bytes_of(export(context, events[:count], CONTRACT_SIZES)):
                differing.append(count)
    assert len(events) > 200
    assert differing == []


def test_an_artifact_without_rows_has_the_bytes_of_to_json(tmp_path: Path) -> None:
    empty = export(write_run(tmp_path), [], CONTRACT_SIZES)
    encoder = ArtifactEncoder()
    assert [encoder.encode(name, made) for name, made in empty.named().items()] == bytes_of(empty)
