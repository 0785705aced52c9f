"""Canonical JSON: equal values give equal bytes, and what has no such form is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core_builders import make_alert
from trading_core.canonical import canonical_json, digest_of, sha256_hex
from trading_core.orders import Side
from trading_core.plan import Exact, PlanModel

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.floats(
    allow_nan=False, allow_infinity=False
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=15
)


class Sample(PlanModel):
    """A model with a decimal and a choice."""

    size: Exact
    side: Side = Side.BUY
    tags: tuple[str, ...] = ()


def test_keys_are_sorted_at_every_depth_and_nothing_is_spaced() -> None:
    assert canonical_json({"b": {"d": 1, "c": [2, {"z": 0, "a": 0}]}, "a": True}) == (
        b'{"a":true,"b":{"c":[2,{"a":0,"z":0}],"d":1}}'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("1.500"), b'"1.5"'),
        (Decimal("1E+2"), b'"100"'),
        (Side.SELL, b'"SELL"'),
        (datetime(2026, 1, 1, tzinfo=UTC), b'"2026-01-01T00:00:00.000000Z"'),
        (datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), b'"2026-01-01T00:00:00.000000Z"'),
        (PurePosixPath("a/b"), b'"a/b"'),
        ({"x", "b", "a"}, b'["a","b","x"]'),
        ((1, 2), b"[1,2]"),
        (-0.0, b"0.0"),
        ("é\n", '"é\\n"'.encode()),
        ({Side.BUY: 1}, b'{"BUY":1}'),
    ],
)
def test_each_kind_of_value_has_one_form(value: object, text: bytes) -> None:
    assert canonical_json(value) == text


def test_models_structs_and_plain_data_agree() -> None:
    model = Sample(size=Decimal("0.10"))
    assert canonical_json(model) == canonical_json({"tags": [], "side": "BUY", "size": "0.1"})
    assert canonical_json(make_alert(1)) == (
        b'{"detail":"","name":"alert-1","severity":"INFO","ts_ns":1767225600000000001,"type":"AlertRaised"}'
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity")])
def test_a_number_that_is_not_finite_is_refused(number: object) -> None:
    with pytest.raises(ValueError, match="not finite"):
        canonical_json({"a": [number]})


@pytest.mark.parametrize("value", [object(), b"bytes", {1: "a"}, {None: 1}, {"a": 1j}])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"canonical JSON"):
        canonical_json(value)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="say UTC"):
        canonical_json(datetime(2026, 1, 1))  # noqa: DTZ001  # the point of the test


@given(documents)
def test_canonical_json_reads_back_and_is_a_fixed_point(document: object) -> None:
    text = canonical_json(document)
    assert json.loads(text) == document
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(), st.integers(0, 9), max_size=6), st.randoms())
def test_the_order_of_keys_does_not_change_the_digest(document: dict[str, int], chance: object) -> None:
    items = list(document.items())
    chance.shuffle(items)  # type: ignore[attr-defined]  # a Random of Hypothesis
    assert digest_of(dict(items)) == digest_of(document)


def test_the_digest_is_the_sha256_of_the_bytes() -> None:
    assert digest_of({}) == sha256_hex(b"{}")
