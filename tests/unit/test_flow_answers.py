"""A NO-GO is an answer: its state raises its own sentence, and no log shows a traceback of it."""

from __future__ import annotations

import logging

import pytest
from prefect.exceptions import CancelledRun, FailedRun
from prefect.states import Cancelled

from flows.answers import LOGGERS, answered
from flows.rollout import state_of
from tests.unit.gate_fixtures import make_input
from trading_core.gate.decide import decide
from trading_core.gate.outcomes import Verdict


def test_no_go_raises_its_headline_and_nothing_else() -> None:
    record = decide(make_input(observations=()))
    assert record.verdict is Verdict.NO_GO
    state = state_of(record)
    assert (state.name, state.message) == ("NoGo", record.headline)
    with pytest.raises(FailedRun) as raised:
        state.result()
    assert str(raised.value) == record.headline


@pytest.mark.parametrize("name", LOGGERS)
def test_only_the_traceback_of_an_answer_is_left_out(name: str, caplog: pytest.LogCaptureFixture) -> None:
    answered(Cancelled(name="Refused", message="the account is busy"))
    logger = logging.getLogger(name)
    mine = logger.handlers[:]
    logger.handlers = []  # Prefect's own would send to a server
    logger.addHandler(caplog.handler)
    try:
        for error in (FailedRun("NO-GO"), CancelledRun("the account is busy"), ValueError("a bug")):
            logger.error("Engine execution exited with unexpected exception", exc_info=error)
        logger.error("Finished in state NoGo")
    finally:
        logger.handlers = mine
    shown = {(r.exc_info[0] if r.exc_info else None) for r in caplog.records}
    assert shown == {ValueError, None}
