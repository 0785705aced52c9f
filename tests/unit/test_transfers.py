"""Announced transfers: booked when the venue shows them to the cent, never profit or loss; anything else is drift."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from flows.cli import app
from tests.desk_builders import Market, make_guardrails, make_plan
from tests.sim_rig import SimRig
from trading_core.desk import Desk
from trading_core.engine import Engine
from trading_core.errors import ConfigurationError, IntegrityError
from trading_core.events import (
    AnyEvent,
    GuardrailTripped,
    SnapshotTaken,
    TransferBooked,
    TransferFiled,
)
from trading_core.transfer_file import FILE, FiledTransfer, TransferFile
from trading_core.transfers import Transfers

D = Decimal


def filed(number: int, amount: str, currency: str = "USD", filed_ns: int = 1) -> TransferFiled:
    return TransferFiled(
        ts_ns=1, transfer_id=f"t{number}", filed_ns=filed_ns, currency=currency, amount=D(amount), why="test",
        operator="ann",
    )


def line(amount: str = "500", **changes: Any) -> FiledTransfer:
    return FiledTransfer.model_validate(
        {"ts_ns": 1, "currency": "USD", "amount": amount, "why": "top up", "operator": "ann", **changes}
    )


def snapshot(market: Market, usd: str) -> tuple[list[TransferBooked], SnapshotTaken]:
    """Let the account be read with that many dollars."""
    market.balances = {"USD": usd}
    records = market.account().records
    return [r for r in records if isinstance(r, TransferBooked)], next(
        r for r in records if isinstance(r, SnapshotTaken)
    )


@pytest.mark.parametrize(("amount", "usd"), [("500", "10500"), ("-2500.01", "7499.99")])
def test_an_announced_transfer_is_booked_when_the_venue_shows_it_and_is_neither_drift_nor_profit(
    amount: str, usd: str
) -> None:
    market = Market()
    market.feed(filed(1, amount))
    before, waiting = snapshot(market, "10000")
    booked, shown = snapshot(market, usd)
    assert (before, waiting.drift, waiting.transfers) == ([], 0, 0)
    assert [(b.transfer_id, b.amount) for b in booked] == [("t1", D(amount))]
    assert (shown.drift, shown.transfers, market.desk.pnl(), market.desk.day_pnl()) == (0, D(amount), 0, 0)
    assert snapshot(market, usd)[0] == []


@pytest.mark.parametrize("usd", ["10499.99", "10500.01", "9500"])
def test_what_is_not_exactly_what_was_announced_is_drift_and_tightens_as_ever(usd: str) -> None:
    market = Market(make_plan(guardrails=make_guardrails(drift="1")))
    market.feed(filed(1, "500"))
    booked, shown = snapshot(market, usd)
    assert booked == []
    assert shown.drift == abs(D(usd) - 10000)
    assert [r.name for r in market.tick().records if isinstance(r, GuardrailTripped)] == ["drift"]


def test_what_was_announced_before_the_run_began_is_in_its_opening_balances() -> None:
    transfers = Transfers()
    transfers.since_ns = 10
    transfers.take(filed(1, "500", filed_ns=9))
    transfers.take(filed(2, "700", filed_ns=10))
    transfers.take(filed(2, "700", filed_ns=10))
    assert [f.transfer_id for f in transfers.pending] == ["t2"]
    assert transfers.known == {"t1", "t2"}


@given(
    announced=st.lists(st.integers(-500, 500).filter(bool), max_size=6),
    others=st.integers(-3, 3),
)
def test_whatever_arrives_together_is_explained_by_announcements_alone(announced: list[int], others: int) -> None:
    transfers = Transfers()
    for number, amount in enumerate(announced):
        transfers.take(filed(number, str(amount)))
    difference = sum(announced) + others
    found = transfers.arrived({"USD": D(1000)}, {"USD": D(1000 + difference)})
    assert sum((f.amount for f in found), D(0)) in ({D(0), D(difference)} if found else {D(0)})
    assert {f.transfer_id for f in found} | {f.transfer_id for f in transfers.pending} == {
        f"t{n}" for n in range(len(announced))
    }
    assert not [f for f in found if f in transfers.pending]
    if others == 0 and difference != 0:
        assert found


def test_an_announcement_explains_its_own_currency_only() -> None:
    transfers = Transfers()
    transfers.take(filed(1, "500"))
    transfers.take(filed(2, "700", currency="USDC"))
    assert transfers.arrived({"USD": D(0), "USDC": D(0)}, {"USD": D(700), "USDC": D(0)}) == []


def test_the_file_is_a_chain_that_only_grows(tmp_path: Path) -> None:
    file = TransferFile(tmp_path)
    assert file.news(1, set()) == []
    assert [file.file(line()), file.file(line("-20.5", currency="USDC"))] == ["t1", "t2"]
    reader = TransferFile(tmp_path)
    assert [(f.transfer_id, f.currency, f.amount) for f in reader.news(7, {"t1"})] == [("t2", "USDC", D("-20.5"))]
    assert reader.news(8, set()) == []  # it has not grown
    (tmp_path / FILE).write_text((tmp_path / FILE).read_text().replace("500", "900"))
    with pytest.raises(IntegrityError):
        TransferFile(tmp_path).news(9, set())


@pytest.mark.parametrize(
    "changes", [{"amount": "NaN"}, {"amount": "much"}, {"currency": "BTC"}, {"why": ""}, {"operator": ""}]
)
def test_a_transfer_without_name_reason_or_amount_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        line(**changes)


def test_a_transfer_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="moves nothing"):
        TransferFile(tmp_path).file(line("0"))


def test_a_session_books_an_announced_transfer_and_its_inputs_decide_the_same_again(tmp_path: Path) -> None:
    rig = SimRig(tmp_path)
    with rig.session() as session:
        rig.run(session, 5)
        TransferFile(tmp_path).file(line("500", ts_ns=rig.clock.now_ns()))
        rig.run(session, 5)
        assert rig.exchange.transfer(rig.exchange.account_ids()[0], "USD", D(500))
        rig.run(session, 70)
    assert [b.amount for b in rig.log.of(TransferBooked)] == [500]
    last = rig.log.of(SnapshotTaken)[-1]
    assert (last.drift, last.transfers, session.engine.desk.pnl()) == (0, 500, 0)
    again = Engine(Desk(rig.plan, rig.products, "sim"))
    made: list[AnyEvent] = [record for event in rig.log.inputs for record in again.process(event).records]
    assert [r for r in made if isinstance(r, TransferBooked | SnapshotTaken)] == [
        r for r in rig.log.records if isinstance(r, TransferBooked | SnapshotTaken)
    ]


def test_the_command_announces_for_a_named_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENT_STORE_ROOT", str(tmp_path))
    folder = tmp_path / "accounts" / "rehearsal-x"
    folder.mkdir(parents=True)
    words = ["state", "transfer", "--account", "rehearsal-x", "--operator", "ann", "--reason", "top up", "--amount"]
    assert CliRunner().invoke(app, [*words, "-12.5"]).exit_code == 0
    assert CliRunner().invoke(app, [*words, "lots"]).exit_code != 0
    [announced] = TransferFile(folder).news(1, set())
    assert (announced.amount, announced.operator, announced.why) == (D("-12.5"), "ann", "top up")
