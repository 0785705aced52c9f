"""Write the JSON Schemas of the artifacts to docs/schemas: `python -m checks.publish_schemas [DIR]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from trading_core.artifacts import MODELS, ArtifactName

SCHEMAS = Path(__file__).resolve().parent.parent / "docs" / "schemas"


def schema_text(name: ArtifactName) -> str:
    """Return the published schema of an artifact, as the file has it."""
    schema = MODELS[name].model_json_schema(mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"{name}.schema.json"}
    return json.dumps(head | schema, indent=1, sort_keys=True) + "\n"


def publish(folder: Path) -> list[Path]:
    """Write one schema for each artifact and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in ArtifactName:
        path = folder / f"{name}.schema.json"
        path.write_text(schema_text(name), "utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    publish(Path(sys.argv[1]) if len(sys.argv) > 1 else SCHEMAS)
