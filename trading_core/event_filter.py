"""Which events are about a symbol, an order or a time: whatever their type, now and later."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from trading_core.events import AnyEvent, encode
from trading_core.storage.event_reader import StoredEvent

ID_NAMES = frozenset({"client_order_id", "order_id", "attached_order_id"})
_names = frozenset(kind.__name__ for kind in get_args(AnyEvent))


def is_event_type(name: str) -> bool:
    """Tell whether there is an event of that name."""
    return name in _names


class EventFilter:
    """Takes a run's events in order. An order is followed under both of its ids, a symbol with its orders."""

    def __init__(
        self, *, symbol: str = "", order: str = "", from_ns: int | None = None, to_ns: int | None = None
    ) -> None:
        self._symbol = symbol
        self._order = order
        self._from_ns = from_ns
        self._to_ns = to_ns
        self._of_symbol: set[str] = {symbol}
        self._of_order: set[str] = {order}

    def takes(self, stored: StoredEvent) -> bool:
        """Tell whether the event is asked for. Ask for every event of the run: ids are learned on the way."""
        if self._symbol or self._order:
            words, ids = _words(msgspec.json.decode(encode(stored.event)))
            if self._symbol and not _follows(self._of_symbol, words, ids):
                return False
            if self._order and not _follows(self._of_order, words, ids):
                return False
        is_late_enough = self._from_ns is None or stored.ts_ns >= self._from_ns
        return is_late_enough and (self._to_ns is None or stored.ts_ns <= self._to_ns)


def _follows(known: set[str], words: set[str], ids: set[str]) -> bool:
    if known.isdisjoint(words):
        return False
    known |= ids
    return True


def _words(value: Any, name: str = "") -> tuple[set[str], set[str]]:
    """Return all texts in a decoded event, member names of its tables among them, and those that are an order's id."""
    if isinstance(value, str):
        return {value}, {value} if name in ID_NAMES and value else set()
    words: set[str] = set()
    ids: set[str] = set()
    for key, one in _members(value, name):
        more, more_ids = _words(one, key)
        words |= more | {key}
        ids |= more_ids
    return words, ids


def _members(value: Any, name: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return [(name, one) for one in value] if isinstance(value, list) else []
