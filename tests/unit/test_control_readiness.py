"""Whether the control server can be relied on: the store is asked where it is, and a server that is down says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from tasks.pages import DASHBOARD_VARIABLE, links
from tests.evidence_runs import make_context
from tests.store_rig import by_hand
from trading_core.control.config import ControlSettings
from trading_core.control.metrics import readiness
from trading_core.storage.schema import VERSION_NAME
from trading_core.store_location import StoreLocation


def settings_of(place: StoreLocation) -> ControlSettings:
    return ControlSettings(event_store_root=place.root, event_store_url=place.url)


def test_a_store_that_can_be_read_is_ready_and_one_of_another_build_is_not(place: StoreLocation) -> None:
    with by_hand(place):
        pass  # opening it has made its tables
    assert readiness(settings_of(place)) == ""
    with by_hand(place) as connection:
        connection.execute(text("UPDATE meta SET value = '999' WHERE name = :name"), {"name": VERSION_NAME})
    assert "999" in readiness(settings_of(place))


def test_a_file_that_is_not_there_yet_is_no_trouble_and_a_server_that_does_not_answer_is(tmp_path: Path) -> None:
    assert readiness(ControlSettings(event_store_root=tmp_path)) == ""
    away = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    assert readiness(ControlSettings(event_store_root=tmp_path, event_store_url=away)) != ""


def test_the_page_of_a_verdict_leads_to_its_own_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DASHBOARD_VARIABLE, "http://127.0.0.1:8080/")
    context = make_context(tmp_path / "a run")
    assert f"(http://127.0.0.1:8080/?run={context.run_id})" in links(context, tmp_path / "report.html")
