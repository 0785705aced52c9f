"""The artifact models: strict at the border, exact in both directions, published as JSON Schemas."""

from __future__ import annotations

import json
from decimal import Decimal

import jsonschema
import pytest
from pydantic import ValidationError

from checks.publish_schemas import SCHEMAS, schema_text
from trading_core.artifacts import (
    ArtifactName,
    Header,
    MarginRow,
    MarginSnapshots,
    from_json,
    to_json,
)
from trading_core.plan import Level

START_NS = 1_700_000_000_000_000_000


def make_margin(**changes: object) -> MarginSnapshots:
    row = MarginRow.model_validate(
        {
            "seq": 7, "ts": START_NS + 1_234_567, "cause": "snapshot", "margin_used": Decimal("1E+2"),
            "margin_available": Decimal("900"), "margin_utilization": Decimal("0.10"),
            "margin_window": "INTRADAY", "margin_level": "", **changes,
        }
    )
    header = Header(
        run_id="r1", plan="phase2", venue="simulated", level=Level.L0, subject_digest="a" * 64, source="replay",
        day="typical", seed=1, producer="test", window_start=START_NS, window_end=START_NS, events=1, last_seq=7,
    )
    return MarginSnapshots(header=header, snapshot_every_s=60, rows=(row,))


def test_an_artifact_reads_back_as_it_was_written() -> None:
    artifact = make_margin()
    assert from_json(ArtifactName.MARGIN_SNAPSHOTS, to_json(artifact)) == artifact


def test_decimals_are_plain_strings_and_times_are_utc_in_the_file() -> None:
    row = json.loads(to_json(make_margin()))["rows"][0]
    assert (row["margin_used"], row["ts"]) == ("100", "2023-11-14T22:13:20.001234Z")


@pytest.mark.parametrize(
    ("key", "value"),
    [("margin_used", 1.5), ("margin_used", 100), ("margin_used", "NaN"), ("margin_used", None), ("ts", 1.0),
     ("ts", True), ("seq", -1), ("surprise", "x")],
)
def test_a_value_of_another_form_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        make_margin(**{key: value})


def test_another_schema_version_is_refused() -> None:
    payload = to_json(make_margin()).replace(b'"schema_version":1', b'"schema_version":2')
    with pytest.raises(ValidationError):
        from_json(ArtifactName.MARGIN_SNAPSHOTS, payload)


@pytest.mark.parametrize("name", list(ArtifactName))
def test_the_published_schema_is_the_models(name: ArtifactName) -> None:
    assert (SCHEMAS / f"{name}.schema.json").read_text("utf-8") == schema_text(name), (
        "run python -m checks.publish_schemas"
    )


def test_an_artifact_satisfies_its_published_schema() -> None:
    schema = json.loads(schema_text(ArtifactName.MARGIN_SNAPSHOTS))
    document = json.loads(to_json(make_margin()))
    jsonschema.validate(document, schema)
    document["rows"][0]["margin_used"] = 100.0
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)
