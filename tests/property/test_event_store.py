"""The event store under any mix of appends, ticks, flushes and reopenings: what went in comes out, in order."""

from __future__ import annotations

from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core_builders import make_alert, make_change
from trading_core.events import Event
from trading_core.storage.event_reader import EventReader
from trading_core.storage.event_store import EventStore
from trading_core.store_location import StoreLocation

numbers = count(1)
deeds = st.lists(st.sampled_from(["input", "record", "durable", "tick", "late tick", "flush", "reopen"]), max_size=40)


# Each example writes a run of its own: they share the store.
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds)
def test_what_went_in_comes_out_in_order(place: StoreLocation, done: list[str]) -> None:
    run_id = f"r{next(numbers)}"
    store = EventStore.open(place, run_id, "g", is_durable=False)
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
                store = EventStore.open(place, run_id, "g", is_durable=False)
            case _:
                event = make_alert(number)
                is_input = deed == "input"
                store.append(event, "input" if is_input else "record", durable=deed == "durable")
                (inputs if is_input else records).append(event)
    store.close()

    with EventReader(place, run_id) as reader:
        assert list(reader.inputs()) == inputs
        assert [stored.event for stored in reader.events(kinds=["record"])] == records
        assert reader.verify() == reader.head()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds, st.booleans())
def test_what_is_stored_is_at_any_time_how_the_run_began(
    place: StoreLocation, done: list[str], is_durable: bool
) -> None:
    run_id = f"r{next(numbers)}"
    fed: list[Event] = []
    with (
        EventStore.open(place, run_id, "g", is_durable=is_durable) as store, EventReader(place, run_id) as reader
    ):
        for number, deed in enumerate(done):
            if deed in ("tick", "late tick"):
                tick = make_change(number + (10**10 if deed == "late tick" else 0))
                fed.append(tick)
                store.append_tick(tick)
            else:
                event = make_alert(number)
                fed.append(event)
                store.append(event, "input", durable=deed == "durable")
            stored = list(reader.inputs())  # what another process would find if this one were killed now
            assert stored == fed[: len(stored)]
            if deed == "durable" and is_durable:
                assert stored == fed
