"""Strict protobuf JSON: what the gateway takes, and the sentence for everything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_core.advanced_trade.protojson import ProtoError, parse

ORDER = {
    "client_order_id": "a-1",
    "product_id": "BTC-USD",
    "side": "BUY",
    "order_configuration": {"limit_limit_gtc": {"base_size": "0.1", "limit_price": "100", "post_only": True}},
}


def test_order_is_parsed_as_it_was_written() -> None:
    assert parse(json.dumps(ORDER).encode(), "NewOrderRequest") == ORDER


def test_camel_case_names_mean_the_same_fields() -> None:
    assert parse(b'{"orderIds":["a","b"]}', "CancelOrdersRequest") == {"order_ids": ["a", "b"]}


@pytest.mark.parametrize("body", [b"", b"  \n", b"{}"])
def test_empty_body_is_an_empty_message(body: bytes) -> None:
    assert parse(body, "NewOrderRequest") == {}


def test_null_leaves_a_field_unset() -> None:
    assert parse(b'{"leverage": null, "side": "SELL"}', "NewOrderRequest") == {"side": "SELL"}


def test_legacy_field_of_the_sdk_is_known() -> None:
    assert parse(b'{"self_trade_prevention_id":"x"}', "NewOrderRequest") == {"self_trade_prevention_id": "x"}


@pytest.mark.parametrize(
    ("body", "schema", "sentence"),
    [
        (b'{"side":"BUY","max_floor":1}', "NewOrderRequest", 'proto: (line 1:15): unknown field "max_floor"'),
        (b'{\n "max_floor":1}', "NewOrderRequest", 'proto: (line 2:2): unknown field "max_floor"'),
        (
            b'{"order_ids": [null]}',
            "CancelOrdersRequest",
            "proto: (line 1:16): invalid value for string field orderIds: null",
        ),
        (b'{"size":0.1}', "EditOrderRequest", "proto: (line 1:9): invalid value for string field size: 0.1"),
        (b'{"side":"HOLD"}', "NewOrderRequest", 'proto: (line 1:9): invalid value for enum field side: "HOLD"'),
        (b'{"side":"BUY","side":"BUY"}', "NewOrderRequest", 'proto: (line 1:15): duplicate field "side"'),
        (b"[]", "NewOrderRequest", "proto: syntax error (line 1:1): unexpected token ["),
        (b'{"side":"BUY"', "NewOrderRequest", "proto: syntax error (line 1:14): unexpected end of input"),
        (b"\xff", "NewOrderRequest", "proto: syntax error (line 1:1): invalid UTF-8 in string"),
        (
            b'{"order_configuration":{"limit_limit_gtd":{"end_time":"soon"}}}',
            "NewOrderRequest",
            'proto: (line 1:55): invalid google.protobuf.Timestamp value "soon"',
        ),
    ],
)
def test_refusal_names_the_place_and_the_value(body: bytes, schema: str, sentence: str) -> None:
    with pytest.raises(ProtoError) as refusal:
        parse(body, schema)
    assert str(refusal.value) == sentence


def test_two_order_configurations_are_refused() -> None:
    body = b'{"order_configuration":{"limit_limit_gtc":{},"limit_limit_fok":{}}}'
    with pytest.raises(ProtoError, match="oneof order_configuration is already set"):
        parse(body, "NewOrderRequest")


def test_lone_surrogate_cannot_enter_the_venue() -> None:
    with pytest.raises(ProtoError, match="invalid escape code"):
        parse(b'{"product_id":"\\ud800"}', "NewOrderRequest")


def test_deep_nesting_is_refused() -> None:
    deep = b'{"prediction_metadata":' + b'{"a":' * 500 + b"1" + b"}" * 501
    with pytest.raises(ProtoError):
        parse(deep, "NewOrderRequest")


def outcome_of(body: bytes) -> bool:
    """Tell whether the body was parsed into known members, or refused with a sentence of the gateway's."""
    try:
        return set(parse(body, "NewOrderRequest")) <= {*ORDER, "leverage", "margin_type"}
    except ProtoError as e:
        return str(e).startswith("proto: ")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    assert outcome_of(body)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(ORDER)), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*sorted(ORDER), "leverage", "margin_type", "junk"]), _VALUES, max_size=5))
def test_any_json_object_is_parsed_or_refused(body: dict[str, object]) -> None:
    assert outcome_of(json.dumps(body).encode())
