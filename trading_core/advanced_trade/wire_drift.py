"""Compares answers with the contract and names each difference once. Says what changed, refuses nothing."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

CONTRACT = Path(__file__).parent / "contract" / "openapi.json"
DIFFERENCES_MAX = 500  # a venue that renamed everything needs no longer list
_REFERENCE = "#/components/schemas/"


@functools.cache
def contract_schemas() -> dict[str, Any]:
    """Return the schemas of the contract by name."""
    schemas: dict[str, Any] = json.loads(CONTRACT.read_text("utf-8"))["components"]["schemas"]
    return schemas


class DriftLog:
    """What the answers so far had too much or too little against the contract."""

    def __init__(self) -> None:
        self._seen: dict[str, None] = {}

    @property
    def differences(self) -> list[str]:
        """Return each difference once, in the order in which they were met."""
        return list(self._seen)

    def note(self, difference: str) -> None:
        """Keep a difference that a parser met."""
        if len(self._seen) < DIFFERENCES_MAX:
            self._seen.setdefault(difference)

    def check(self, schema: str, body: object) -> None:
        """Compare a body with the named schema."""
        self._walk(contract_schemas()[schema], body, schema)

    def _walk(self, schema: dict[str, Any], value: object, path: str) -> None:
        schema = _resolved(schema)
        if isinstance(value, list) and "items" in schema:
            for item in value:
                self._walk(schema["items"], item, path)
        elif isinstance(value, dict) and schema.get("properties") and "additionalProperties" not in schema:
            self._compare(schema, value, path)

    def _compare(self, schema: dict[str, Any], value: dict[str, Any], path: str) -> None:
        members: dict[str, Any] = schema["properties"]
        for name in schema.get("required", ()):
            if name not in value:
                self.note(f"{path}.{name} missing")
        for name, item in value.items():
            if name not in members:
                self.note(f"{path}.{name} unknown")
            elif isinstance(item, list | dict):
                self._walk(members[name], item, f"{path}.{name}")


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema or "anyOf" in schema:
        if "anyOf" in schema:
            schema = next(s for s in schema["anyOf"] if s.get("type") != "null")
        else:
            schema = contract_schemas()[schema["$ref"].removeprefix(_REFERENCE)]
    return schema
