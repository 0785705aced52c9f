"""Every fault: those found by walking risk, and those written by hand."""

from __future__ import annotations

from tests.seeding.catalogue import BY_HAND
from tests.seeding.faults import RISK, Fault, risk_edges, risk_reasons
from tests.seeding.runner import ROOT


def all_faults() -> list[Fault]:
    """Return each fault once."""
    source = (ROOT / RISK).read_text("utf-8")
    return [*risk_reasons(source), *risk_edges(source), *BY_HAND]
