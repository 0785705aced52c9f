"""Faults of the core: seeded, frozen, and seen only through what the exchange does."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
from pydantic import ValidationError

from trading_core.clock import NS
from trading_core.errors import ConfigurationError
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange
from trading_core.local_exchange.faults import PRESETS, FaultPlan, load_faults, preview_reason
from trading_core.local_exchange.model import ExchangeOrder, NewOrder, OrderConfig, Refusal
from trading_core.money import decimal_of
from trading_core.orders import Side

START_NS = 1_795_230_000 * NS
ME = "default"
ENUMS = json.loads((files("trading_core.advanced_trade") / "contract" / "enums.json").read_text("utf-8"))


def make_exchange(plan: FaultPlan) -> LocalExchange:
    return LocalExchange(ExchangeConfig(start_ns=START_NS, start_minute=600, faults=plan))


def try_orders(exchange: LocalExchange, count: int) -> list[bool]:
    """Return for each order whether it was refused."""
    price = exchange.book("BTC-USD", 1).bids[0][0] - 100
    answers = []
    for n in range(count):
        request = NewOrder(
            client_order_id=f"o{n}",
            product_id="BTC-USD",
            side=Side.BUY,
            config=OrderConfig.LIMIT_GTC,
            base_size=decimal_of("0.0005"),
            limit_price=price,
        )
        answers.append(isinstance(exchange.create_order(ME, request), Refusal))
    return answers


def test_reject_all_refuses_every_order() -> None:
    assert all(try_orders(make_exchange(load_faults("reject_all")), 20))


def test_reject_some_refuses_its_share_and_the_same_ones_again() -> None:
    first = try_orders(make_exchange(load_faults("reject_some", seed=3)), 300)
    second = try_orders(make_exchange(load_faults("reject_some", seed=3)), 300)
    other = try_orders(make_exchange(load_faults("reject_some", seed=4)), 300)

    assert first == second != other
    assert 60 < sum(first) < 120


def test_rejections_can_start_later_and_spare_products() -> None:
    later = FaultPlan(reject_share=1.0, reject_from_order=5)
    elsewhere = FaultPlan(reject_share=1.0, reject_products=("ETH-USD",))

    assert try_orders(make_exchange(later), 8) == [False] * 5 + [True] * 3
    assert not any(try_orders(make_exchange(elsewhere), 3))


def test_a_stale_feed_shows_the_same_market_while_time_goes_on() -> None:
    exchange = make_exchange(load_faults("stale_feed"))
    before = exchange.book("BTC-USD", 50)

    events = exchange.advance(START_NS + 120 * NS, ["BTC-USD"], NS)

    after = exchange.book("BTC-USD", 50)
    assert exchange.now_ns == START_NS + 120 * NS
    assert (after.bids, after.asks, after.last) == (before.bids, before.asks, before.last)
    assert [getattr(e, "is_snapshot", None) for e in events] == [True]


def test_a_feed_that_was_stale_moves_again_afterwards() -> None:
    exchange = make_exchange(FaultPlan(stale_from_s=10, stale_for_s=20))

    events = exchange.advance(START_NS + 60 * NS, ["BTC-USD"], NS)

    seconds = {(e.ts_ns - START_NS) // NS for e in events}
    assert not seconds & set(range(11, 29))
    assert seconds >= {*range(2, 10), *range(31, 60)}


def test_a_price_gap_moves_the_price_for_good() -> None:
    healthy, gapped = make_exchange(FaultPlan()), make_exchange(load_faults("price_gap"))
    for exchange in (healthy, gapped):
        exchange.advance(START_NS + 600 * NS)

    ratio = gapped.last_price("BTC-USD") / healthy.last_price("BTC-USD")

    assert abs(ratio - decimal_of("0.92")) < decimal_of("0.0001")


def test_a_thin_book_has_a_fraction_of_the_depth() -> None:
    healthy, thin = make_exchange(FaultPlan()), make_exchange(load_faults("thin_book"))

    depth = [sum(size for _, size in e.book("BTC-USD", 20).asks) for e in (healthy, thin)]

    assert depth[1] < depth[0] / 40


def test_every_preset_loads_by_its_name_and_another_name_is_refused() -> None:
    assert all(load_faults(name).name == name for name in PRESETS)
    with pytest.raises(ConfigurationError, match="stale_feed"):
        load_faults("everything_breaks")


def test_a_fault_plan_is_frozen_and_refuses_unknown_keys() -> None:
    with pytest.raises(ValidationError):
        FaultPlan.model_validate({"latency": 5})
    with pytest.raises(ValidationError):
        FaultPlan().latency_ms = 5  # type: ignore[misc]


def test_draws_are_uniform_and_apart_by_kind() -> None:
    plan = FaultPlan(seed=9)
    one = [plan.draw("one", n) for n in range(4000)]
    two = [plan.draw("two", n) for n in range(4000)]

    assert abs(sum(one) / 4000 - 0.5) < 0.03
    assert all(0 <= draw < 1 for draw in one)
    assert sum(abs(a - b) < 0.01 for a, b in zip(one, two, strict=True)) < 200


def test_every_reason_that_can_be_injected_has_a_preview_reason_of_the_contract() -> None:
    assert {plan.reject_reason for plan in PRESETS.values()} <= set(ENUMS["NewOrderFailureReason"])
    assert {preview_reason(r) for r in ENUMS["NewOrderFailureReason"]} <= set(ENUMS["PreviewFailureReason"])


def test_an_order_that_exists_is_returned_whatever_the_fault_plan_says() -> None:
    exchange = make_exchange(FaultPlan(reject_share=1.0, reject_from_order=1))
    assert try_orders(exchange, 1) == [False]

    order = exchange.orders(ME)[0]

    assert isinstance(exchange.create_order(ME, order.request), ExchangeOrder)
