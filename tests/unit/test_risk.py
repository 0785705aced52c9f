"""The pre-trade rules, each at its edge; exits pass what entries do not; nobody else makes an approved order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.core_builders import make_future
from tests.desk_builders import make_exit, make_intent, make_plan, make_view
from trading_core.errors import InvariantBroken
from trading_core.orders import OrderIntent, OrderType, Purpose, Side, TimeInForce
from trading_core.risk import (
    FOR_ENTRIES,
    FOR_EVERY_ORDER,
    ApprovedOrder,
    Denial,
    DenialReason,
    approve,
    approve_emergency,
    review,
)
from trading_core.trading_state import TradingState

_D = DenialReason
CENT = Decimal("0.01")
FUTURE = make_future()


def reason_of(intent: OrderIntent, **view: Any) -> DenialReason | None:
    denial = review(intent, make_view(**view))
    return None if denial is None else denial.reason


def test_a_plain_entry_in_a_quiet_market_passes() -> None:
    assert review(make_intent(), make_view()) is None


# What the rule looks at, at which value it still passes, and at which it refuses.
AT_THE_EDGE = [
    ("staleness_s", ["9.999", "10"], ["10.001"], _D.STALE_BOOK),
    ("spread_bps", ["9.99", "10"], ["10.01"], _D.SPREAD_TOO_WIDE),
    ("resting_entry_size", ["0.00999999", "0.01"], ["0.01000001"], _D.MAX_SIZE),
    ("aggregate_exposure", ["1499.99", "1500"], ["1500.01"], _D.AGGREGATE_NOTIONAL),
    ("equity", ["500.01", "500"], ["499.99", "0"], _D.LEVERAGE),
    ("day_pnl", ["0", "-99.99"], ["-100", "-100.01"], _D.DAILY_LOSS),
    ("margin_utilization", ["0.0999"], ["0.10", "0.1001"], _D.MARGIN_UTILIZATION),
    ("open_orders", [6, 7], [8, 9], _D.OPEN_ORDERS),
    ("orders_last_minute", [28, 29], [30, 31], _D.ORDERS_PER_MINUTE),
    ("funding_in_s", [None, 1801, 1800], [1799, 0], _D.PRE_FUNDING_QUIET),
    ("has_unresolved", [False], [True], _D.OUTCOME_UNRESOLVED),
    ("has_twin", [False], [True], _D.DUPLICATE_INTENT),
    ("mid", ["50000"], [None], _D.NO_BOOK),
    ("staleness_s", ["0"], [None], _D.NO_BOOK),
    ("limits", [make_plan().products[0]], [None], _D.PRODUCT_NOT_IN_PLAN),
    ("state", [TradingState.ACTIVE], [TradingState.REDUCE_ONLY], _D.REDUCE_ONLY),
    ("state", [TradingState.ACTIVE], [TradingState.HALTED], _D.HALTED),
]


@pytest.mark.parametrize(("what", "passes", "refused", "reason"), AT_THE_EDGE, ids=lambda x: str(x)[:24])
def test_each_rule_passes_up_to_its_edge_and_refuses_beyond(
    what: str, passes: list[Any], refused: list[Any], reason: DenialReason
) -> None:
    assert [reason_of(make_intent(), **{what: value}) for value in passes] == [None] * len(passes)
    assert [reason_of(make_intent(), **{what: value}) for value in refused] == [reason] * len(refused)


@pytest.mark.parametrize(
    ("intent", "reason"),
    [
        (make_intent("0.02"), None),
        (make_intent("0.02000001"), _D.MAX_SIZE),
        (make_intent("0.015", "50500"), None),
        (make_intent("0.0002", "49999.99"), None),
        (make_intent("0.00001999", "50000"), _D.BELOW_MINIMUM),
        (make_intent("0.00002", "50000"), None),
        (make_intent("0.01", "50500"), None),  # 100 bps through the middle
        (make_intent("0.01", "50500.01"), _D.PRICE_COLLAR),
        (make_intent("0.01", "30000"), None),  # far, but passive
        (make_intent("0.01", "50000.005"), _D.OFF_GRID),
        (make_intent("0.000000015", "50000"), _D.OFF_GRID),
        (make_intent("0.01", None), _D.OFF_GRID),
        (make_intent("0"), _D.SIZE_ZERO),
        (make_intent("-0.01"), _D.SIZE_ZERO),
        (make_intent(time_in_force=TimeInForce.GTD), _D.GTD_GATED),
        (make_intent(time_in_force=TimeInForce.FOK), _D.TIME_IN_FORCE_NOT_ALLOWED),
        (make_intent(order_type=OrderType.MARKET), _D.ORDER_TYPE_NOT_ALLOWED),
        (make_intent(post_only=False), _D.ENTRY_NOT_POST_ONLY),
        (make_intent("0.001", order_type=OrderType.STOP_LIMIT, stop_price="50000", post_only=False), None),
        (make_intent("0.001", order_type=OrderType.STOP_LIMIT, stop_price="50000.001", post_only=False), _D.OFF_GRID),
    ],
    ids=lambda x: x.name if isinstance(x, DenialReason) else "",
)
def test_the_order_itself_is_checked(intent: OrderIntent, reason: DenialReason | None) -> None:
    assert reason_of(intent) is reason


@pytest.mark.parametrize(("resting", "reason"), [("0.0099", None), ("0.01", None), ("0.01000001", _D.MAX_NOTIONAL)])
def test_the_notional_cap_counts_what_rests(resting: str, reason: DenialReason | None) -> None:
    plan = make_plan(products=[{"product_id": "BTC-USD", "max_size": "1", "max_notional": "1000", "because": "x"}])
    assert reason_of(make_intent(), plan=plan, resting_entry_size=resting) is reason


def test_a_position_is_worth_the_middle_however_low_the_new_order_is_priced() -> None:
    plan = make_plan(products=[{"product_id": "BTC-USD", "max_size": "1", "max_notional": "1000", "because": "x"}])
    assert reason_of(make_intent("0.001", "1000"), plan=plan, position="0.02") is _D.MAX_NOTIONAL


def test_a_market_order_must_be_on_the_size_grid() -> None:
    plan = make_plan(policy={"order_types": ["MARKET"]})
    intent = make_intent("0.000000015", None, order_type=OrderType.MARKET, post_only=False)
    assert reason_of(intent, plan=plan) is _D.OFF_GRID


@pytest.mark.parametrize(
    ("free", "reason"),
    [("600.01", None), ("600", None), ("599.99", _D.MARGIN_BUFFER), ("-1", _D.MARGIN_BUFFER), (None, _D.MARGIN_BUFFER)],
)
def test_an_entry_into_a_future_leaves_the_buffer_free(free: str | None, reason: DenialReason | None) -> None:
    plan = make_plan(risk={"margin_buffer_min": "100"}, policy={"is_entry_post_only": False},
                     products=[{"product_id": FUTURE.product_id, "max_size": "9", "max_notional": "9000",
                                "because": "x"}])
    view = {"plan": plan, "product": FUTURE, "margin_free": free}
    assert reason_of(make_intent("1"), **view) is reason  # one contract: $500
    assert reason_of(make_exit("1"), position="1", **view) is None
    assert reason_of(make_intent(), plan=make_plan(risk={"margin_buffer_min": "100"}), margin_free=free) is None  # spot


BLOCKS_ENTRIES = {
    "day_pnl": "-500", "spread_bps": "500", "aggregate_exposure": "9999", "equity": "0", "open_orders": 99,
    "orders_last_minute": 99, "has_unresolved": True, "has_twin": True, "margin_utilization": "0.9", "funding_in_s": 1,
}


@pytest.mark.parametrize("state", [TradingState.ACTIVE, TradingState.REDUCE_ONLY])
def test_a_reducing_exit_skips_every_entry_rule(state: TradingState) -> None:
    assert reason_of(make_exit(), position="0.01", state=state, **BLOCKS_ENTRIES) is None
    assert reason_of(make_intent(), **BLOCKS_ENTRIES) is not None


@pytest.mark.parametrize("intent", [make_exit(), make_intent(), make_intent(side=Side.SELL)])
@pytest.mark.parametrize("position", ["0", "0.01", "-0.01"])
def test_halted_never_submits(intent: OrderIntent, position: str) -> None:
    assert reason_of(intent, state=TradingState.HALTED, position=position) is _D.HALTED


@pytest.mark.parametrize(
    ("side", "size", "position", "resting", "is_allowed"),
    [
        (Side.SELL, "1", "1", "0", True),
        (Side.SELL, "2", "1", "0", False),
        (Side.SELL, "1", "2", "1", True),
        (Side.SELL, "2", "2", "1", False),
        (Side.SELL, "1", "0", "0", False),
        (Side.SELL, "1", "-1", "0", False),
        (Side.BUY, "1", "1", "0", False),
        (Side.BUY, "1", "-1", "0", True),
        (Side.BUY, "2", "-1", "0", False),
    ],
)
@pytest.mark.parametrize("kind", ["resting_exit_size", "resting_entry_size"])
def test_reduce_only_never_increases(
    side: Side, size: str, position: str, resting: str, is_allowed: bool, kind: str
) -> None:
    plan = make_plan(products=[{"product_id": FUTURE.product_id, "max_size": "9", "max_notional": "9000",
                                "because": "x"}])
    intent = make_exit(size, side=side)
    view = {"plan": plan, "product": FUTURE, "position": position, kind: resting}
    reason = reason_of(intent, state=TradingState.REDUCE_ONLY, **view)
    assert reason is (None if is_allowed else _D.REDUCE_ONLY)
    assert reason_of(intent, **view) is (None if is_allowed else _D.NOT_REDUCING)


@pytest.mark.parametrize("purpose", [Purpose.ENTRY, Purpose.PROBE_CROSSING, Purpose.EXIT])
def test_spot_is_never_sold_short(purpose: Purpose) -> None:
    sale = make_intent(side=Side.SELL, purpose=purpose)
    assert reason_of(sale) is _D.NOT_REDUCING
    assert reason_of(sale, position="0.00999999") is _D.NOT_REDUCING
    assert reason_of(sale, position="0.01") is None
    assert reason_of(sale, position="0.01", resting_entry_size="0.00000001") is _D.NOT_REDUCING


def test_the_first_rule_in_order_names_the_reason() -> None:
    view = {"state": TradingState.HALTED, "mid": None, **BLOCKS_ENTRIES}
    assert reason_of(make_intent("0", time_in_force=TimeInForce.GTD), **view) is _D.HALTED


def test_each_rule_says_what_it_is_for_and_none_is_listed_twice() -> None:
    rules = FOR_EVERY_ORDER + FOR_ENTRIES
    assert len(set(rules)) == len(rules)
    assert all(rule.__doc__ for rule in rules)


def test_an_approved_order_is_made_by_risk_only() -> None:
    made = approve(make_intent(), make_view(), "run-1")
    assert isinstance(made, ApprovedOrder)
    assert (made.client_order_id, made.intent) == ("run-1", make_intent())
    for seal in (None, object(), "seal"):
        with pytest.raises(InvariantBroken, match="risk only"):
            ApprovedOrder("run-2", make_intent(), seal)
    assert isinstance(approve(make_intent(), make_view(mid=None), "run-3"), Denial)


@pytest.mark.parametrize(
    ("side", "size", "position", "purpose"),
    [
        (Side.SELL, "1", "0", Purpose.EMERGENCY),
        (Side.SELL, "2", "1", Purpose.EMERGENCY),
        (Side.BUY, "1", "1", Purpose.EMERGENCY),
        (Side.SELL, "1", "1", Purpose.EXIT),
    ],
)
def test_an_emergency_order_must_reduce(side: Side, size: str, position: str, purpose: Purpose) -> None:
    with pytest.raises(InvariantBroken, match="must reduce"):
        approve_emergency(make_intent(size, side=side, purpose=purpose), Decimal(position), "e-1")


def test_an_emergency_order_that_reduces_passes_in_every_state() -> None:
    intent = make_intent("1", side=Side.SELL, purpose=Purpose.EMERGENCY)
    assert approve_emergency(intent, Decimal(1), "e-1").intent is intent
