"""What the bodies of the control API take, as JSON Schema means it."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from trading_core.control.bodies import CloseAll


def close_all(wait_s: str) -> CloseAll:
    return CloseAll.model_validate({"confirmation": "close all positions", "wait_s": json.loads(wait_s)}, strict=True)


@pytest.mark.parametrize("wait_s", ["13", "13.0", "1.3e1"])
def test_a_whole_number_is_an_integer_however_it_is_written(wait_s: str) -> None:
    assert close_all(wait_s).wait_s == 13


@pytest.mark.parametrize("wait_s", ["13.5", '"13"', "true", "1e400", "-1", "61", "60.5"])
def test_what_is_no_whole_number_within_the_limits_is_refused(wait_s: str) -> None:
    with pytest.raises(ValidationError, match="wait_s"):
        close_all(wait_s)
