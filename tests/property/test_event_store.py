"""The event store under any mix of appends, ticks, flushes and reopenings: what went in comes out, in order."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core_builders import make_alert, make_change
from trading_core.events import Event
from trading_core.storage.event_reader import EventReader
from trading_core.storage.event_store import EventStore

deeds = st.lists(st.sampled_from(["input", "record", "durable", "tick", "late tick", "flush", "reopen"]), max_size=40)


@settings(max_examples=40, deadline=None)
@given(deeds)
def test_what_went_in_comes_out_in_order(done: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        store = EventStore.open(root, "r1", "g", is_durable=False)
        inputs: list[Event] = []
        records: list[Event] = []
        for number, deed in enumerate(done):
            match deed:
                case "tick" | "late tick":
                    tick = make_change(number + (10**10 if deed == "late tick" else 0))
                    store.append_tick(tick)
                    inputs.append(tick)
                case "flush":
                    store.flush()
                case "reopen":
                    store.close()
                    store = EventStore.open(root, "r1", "g", is_durable=False)
                case _:
                    event = make_alert(number)
                    is_input = deed == "input"
                    store.append(event, "input" if is_input else "record", durable=deed == "durable")
                    (inputs if is_input else records).append(event)
        store.close()

        with EventReader(root, "r1") as reader:
            assert list(reader.inputs()) == inputs
            assert [stored.event for stored in reader.events(kinds=["record"])] == records
            assert reader.verify() == reader.head()
