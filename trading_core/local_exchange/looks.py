"""Books as somebody looks at them: one at a time, or many made ahead for a steady pace."""

from __future__ import annotations

from trading_core.local_exchange.depth import Books, Depth
from trading_core.orders import Side

READ_AHEAD = 60  # books made at once
STEADY_STEPS = 3
STEP_MAX = 50  # updates from look to look: at a slower pace, sixty looks would span too wide a range of prices


class Looks:
    """One side of a depth. What is returned does not depend on what was looked at before; how fast it comes does."""

    def __init__(self, depth: Depth, side: Side, count: int) -> None:
        self._depth, self._side, self._count = depth, side, count
        self._at, self._row = -1, list[tuple[int, int]]()
        self._books: Books | None = None
        self._last, self._step, self._equal_steps = 0, 1, 0

    def at(self, update: int) -> list[tuple[int, int]]:
        """Return (ticks, lots) of up to `count` levels at the update, best first, the touch included."""
        self._note(update)
        if self._at != update:
            self._at, self._row = update, self._made(update)
        return self._row

    def _made(self, update: int) -> list[tuple[int, int]]:
        books = self._books
        is_ahead = books is not None and update in books.updates
        if not is_ahead and self._equal_steps >= STEADY_STEPS and self._step <= STEP_MAX:
            updates = range(update, update + READ_AHEAD * self._step, self._step)
            self._books = books = self._depth.books(self._side, updates, self._count)
            is_ahead = True
        if books is not None and is_ahead:
            touch, behind = books.behind(update)
            return [(touch, self._depth.touch_lots(self._side, update, touch)), *behind]
        ticks, lots = self._depth.levels(self._side, update, self._count)
        return list(zip(ticks.tolist(), lots.tolist(), strict=True))

    def _note(self, update: int) -> None:
        step = update - self._last
        if step > 0:
            self._equal_steps = self._equal_steps + 1 if step == self._step else 0
            self._last, self._step = update, step
