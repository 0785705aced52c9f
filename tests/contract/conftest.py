"""Fixtures for tests against a served venue."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.venue import Venue, running_venue


@pytest.fixture(scope="module")
def venue_server() -> Iterator[Venue]:
    """A healthy venue at real speed, shared by the tests of a module; accounts and orders accumulate."""
    with running_venue() as venue:
        yield venue
