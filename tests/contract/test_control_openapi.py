"""Schemathesis holds the served control API against its own OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.config import SchemathesisConfig

from tests.control_rig import ControlRig, control_rig
from trading_core.control.openapi import document

EXAMPLES = 15  # for each operation; `make soak` asks a hundred times as often
EXAMPLES_OF_A_SOAK = 1_500

schema = schemathesis.openapi.from_dict(document(), config=SchemathesisConfig())


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlRig]:
    folder: Path = tmp_path_factory.mktemp("control")
    with control_rig(folder, patience_s=2.0, wrong_tokens_max=1_000_000) as running:
        yield running


def require_conformant(case: Case[Any], rig: ControlRig) -> None:
    """Ask with the token and hold the answer against the document: status, headers, body."""
    token = {"Authorization": f"Bearer {rig.token}"}
    case.call_and_validate(base_url=rig.url, headers=token, timeout=20)


@schema.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_the_document_tells(case: Case[Any], rig: ControlRig) -> None:
    require_conformant(case, rig)


@pytest.mark.soak
@schema.parametrize()
@settings(max_examples=EXAMPLES_OF_A_SOAK, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_document_tells_for_long(case: Case[Any], rig: ControlRig) -> None:
    require_conformant(case, rig)
