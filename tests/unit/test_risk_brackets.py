"""The rules on brackets and stops, each at its edge."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.core_builders import make_future
from tests.desk_builders import make_intent, make_plan, make_view
from trading_core.orders import Bracket, OrderIntent, OrderType, Side
from trading_core.risk import DenialReason, review

_D = DenialReason
GUARDED = make_plan(policy={"bracket": {"take_profit_bps": "50", "stop_loss_bps": "50"}})
FUTURE = make_future()


def guarded(intent: OrderIntent, gain: str, loss: str) -> OrderIntent:
    bracket = Bracket(take_profit=Decimal(gain), stop_loss=Decimal(loss))
    return msgspec.structs.replace(intent, attached=bracket)


def reason_of(intent: OrderIntent, **view: Any) -> DenialReason | None:
    denial = review(intent, make_view(**view))
    return None if denial is None else denial.reason


def test_where_the_plan_guards_entries_none_leaves_without_its_bracket() -> None:
    assert reason_of(make_intent(), plan=GUARDED) is _D.ENTRY_WITHOUT_BRACKET
    assert reason_of(guarded(make_intent(), "50250", "49750"), plan=GUARDED) is None
    assert reason_of(make_intent()) is None


def test_a_stop_limit_entry_carries_no_bracket_where_others_must() -> None:
    stop = make_intent(order_type=OrderType.STOP_LIMIT, stop_price="50000", post_only=False, size="0.001")
    assert reason_of(stop, plan=GUARDED) is None
    assert reason_of(guarded(stop, "50250", "49750"), plan=GUARDED) is _D.BRACKET_MISPLACED


@pytest.mark.parametrize(
    ("gain", "loss", "reason"),
    [
        ("50000.01", "49999.99", None), ("50000", "49999.99", _D.BRACKET_MISPLACED),
        ("50000.01", "50000", _D.BRACKET_MISPLACED), ("49999.99", "50000.01", _D.BRACKET_MISPLACED),
        ("50000.01", "0.01", None), ("50000.01", "0", _D.BRACKET_MISPLACED),
        ("50000.005", "49999.99", _D.BRACKET_MISPLACED), ("50000.01", "49999.995", _D.BRACKET_MISPLACED),
    ],
)
def test_the_prices_of_a_bracket_lie_on_both_sides_of_the_entry_on_the_grid(
    gain: str, loss: str, reason: DenialReason | None
) -> None:
    assert reason_of(guarded(make_intent(), gain, loss)) is reason


@pytest.mark.parametrize(
    ("gain", "loss", "reason"), [("49995", "50005", None), ("50005", "49995", _D.BRACKET_MISPLACED)]
)
def test_the_bracket_of_a_short_lies_the_other_way_round(gain: str, loss: str, reason: DenialReason | None) -> None:
    plan = make_plan(products=[{
        "product_id": FUTURE.product_id, "max_size": "10", "max_notional": "100000", "because": "x",
    }])
    short = guarded(make_intent("1", side=Side.SELL, product_id=FUTURE.product_id), gain, loss)
    found = reason_of(short, plan=plan, product=FUTURE)
    assert found is reason


def test_a_product_whose_stops_are_held_locally_has_none_at_the_venue() -> None:
    stop = make_intent(order_type=OrderType.STOP_LIMIT, stop_price="50000", post_only=False, size="0.001")
    assert reason_of(stop, plan=make_plan(policy={"local_stops": ["BTC-USD"]})) is _D.STOP_IS_LOCAL
    assert reason_of(stop, plan=make_plan(policy={"local_stops": ["ETH-USD"]})) is None
    assert reason_of(make_intent(), plan=make_plan(policy={"local_stops": ["BTC-USD"]})) is None
