"""Names of artifacts in Prefect."""

from __future__ import annotations


def artifact_key(run_id: str) -> str:
    """Return the run id as Prefect takes it: lower-case letters, digits and dashes.

    >>> artifact_key("phase2-local-20261121T060000Z")
    'phase2-local-20261121t060000z'
    """
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in run_id.lower())
