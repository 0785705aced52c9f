"""Whatever numbers a client writes into orders of every kind, the gateway answers and the exchange goes on."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trading_core.advanced_trade.gateway import Gateway
from trading_core.advanced_trade.keys import KeyRegistry
from trading_core.clock import NS
from trading_core.local_exchange.config import ExchangeConfig
from trading_core.local_exchange.exchange import LocalExchange

START_NS = 1_795_230_000 * NS
BASE = "/api/v3/brokerage"
NUMBERS = st.sampled_from(
    ["", "0", "1", "-1", "1e24", "1e-9", "0.00000001", "60000", "105000", "112000", "150000", "0.0005", "0.002"]
)
TIMES = st.sampled_from(["2026-11-21T03:00:00Z", "2026-11-21T05:00:00Z", "9999-12-31T23:59:59Z"])
BRACKET = st.fixed_dictionaries({"limit_price": NUMBERS, "stop_trigger_price": NUMBERS})
CONFIGURATIONS = st.one_of(
    st.fixed_dictionaries({"limit_limit_gtc": st.fixed_dictionaries({"base_size": NUMBERS, "limit_price": NUMBERS})}),
    st.fixed_dictionaries({"trigger_bracket_gtc": st.fixed_dictionaries({"base_size": NUMBERS, "limit_price": NUMBERS,
                                                                        "stop_trigger_price": NUMBERS})}),
    st.fixed_dictionaries({"twap_limit_gtd": st.fixed_dictionaries({
        "base_size": NUMBERS, "limit_price": NUMBERS, "start_time": TIMES, "end_time": TIMES,
        "number_buckets": st.sampled_from(["", "2", "99999999", "-1", "x"]),
        "bucket_duration": st.sampled_from(["", "300s", "1e99s", "-1s", "x"]),
    })}),
    st.fixed_dictionaries({"scaled_limit_gtc": st.fixed_dictionaries({
        "base_size": NUMBERS, "min_price": NUMBERS, "max_price": NUMBERS, "size_ratio": NUMBERS, "size_diff": NUMBERS,
        "num_orders": st.sampled_from([0, 2, 50, 51, 2**31 - 1, -5]),
        "size_distribution": st.sampled_from(["INCREASING", "DECREASING", "EVENLY_SPLIT"]),
    })}),
)
GATEWAY = Gateway(LocalExchange(ExchangeConfig(start_ns=START_NS)), KeyRegistry())


@settings(max_examples=150, deadline=None)
@given(
    configuration=CONFIGURATIONS, side=st.sampled_from(["BUY", "SELL"]), attached=st.one_of(st.none(), BRACKET),
    product_id=st.sampled_from(["BTC-USD", "BIP-20DEC30-CDE"]), number=st.integers(0, 10**9), edit=BRACKET,
)
def test_no_number_breaks_the_venue(
    configuration: dict[str, Any], side: str, attached: dict[str, Any] | None, product_id: str, number: int,
    edit: dict[str, Any],
) -> None:
    body: dict[str, Any] = {
        "client_order_id": f"n{number}", "product_id": product_id, "side": side, "order_configuration": configuration,
    }
    if attached is not None:
        body["attached_order_configuration"] = {"trigger_bracket_gtc": attached}
    exchange = GATEWAY.exchange
    totals = exchange.value_totals()
    answers = [GATEWAY.handle_trusted("POST", f"{BASE}/orders", None, body).status]
    for order in exchange.open_orders("default")[:2]:
        change = {"order_id": order.order_id, "size": "0.001", "price": edit["limit_price"],
                  "stop_price": edit["stop_trigger_price"]}
        answers.append(GATEWAY.handle_trusted("POST", f"{BASE}/orders/edit", None, change).status)
    exchange.advance(exchange.now_ns + NS)
    assert set(answers) <= {200, 400}
    assert exchange.value_totals() == totals
