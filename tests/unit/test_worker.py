"""A worker that waits for its turn outlives its server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import anyio
import httpx
import pytest

from deployments.worker import when_it_answers


def answers_after(failures: int, error: Exception) -> Callable[[], int]:
    left = [error] * failures

    def ask() -> int:
        if left:
            raise left.pop()
        return 7

    return ask


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_an_api_that_is_away_is_waited_for_and_that_is_known(failures: int) -> None:
    ask = answers_after(failures, httpx.ConnectError("refused"))
    assert anyio.run(partial(when_it_answers, ask, every_s=0.0)) == (7, failures > 0)


def test_an_api_that_refuses_is_not_asked_again() -> None:
    request = httpx.Request("GET", "http://localhost")
    refused = httpx.HTTPStatusError("401", request=request, response=httpx.Response(401))
    with pytest.raises(httpx.HTTPStatusError):
        anyio.run(partial(when_it_answers, answers_after(1, refused), every_s=0.0))
