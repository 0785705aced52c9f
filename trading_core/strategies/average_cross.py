"""Buys while a fast average of the middle is above a slow one, and leaves below it; RSI, spread and depth filter."""

from __future__ import annotations

from decimal import Decimal
from random import Random

from trading_core.clock import NS
from trading_core.desk import Desk
from trading_core.errors import ConfigurationError
from trading_core.money import Price, plain
from trading_core.moves import passive_price
from trading_core.orders import OrderIntent, Purpose, Side
from trading_core.plan import Entry
from trading_core.strategies.indicators import BarCloses, Sampler, average, rsi
from trading_core.strategies.params import Params


class AverageCross:
    """One entry per product and `interval_s` while its averages say up, each signal through three filters."""

    name = "average_cross"

    def __init__(self, entry: Entry, random: Random) -> None:
        del random  # it decides by the market alone
        params = Params(entry.params)
        self._entry = entry
        # With the venue's bars the averages are there from the start; samples of our own have to be collected first.
        self.reads_bars = params.choice("prices", "sampled", ("sampled", "bars")) == "bars"
        self._every_s = 0 if self.reads_bars else params.whole("sample_s", 10, low=1, high=3600)
        self._fast = params.whole("fast", 12, low=1, high=1000)
        self._slow = params.whole("slow", 48, low=2, high=2000)
        self._periods = params.whole("rsi_periods", 14, low=2, high=500)
        self._rsi_max = params.exact("rsi_max", "70", low="1", high="100")
        self._spread_max = params.exact("spread_bps_max", "5", low="0", high="1000")
        self._depth_min = params.exact("depth_min", "5000", low="0", high="1000000000")
        params.finish()
        if self._fast >= self._slow:
            raise ConfigurationError(f"fast is {self._fast}, slow {self._slow}: the fast average is the shorter one")
        self._samples: dict[str, Sampler | BarCloses] = {}
        self._next_ns: dict[str, int] = {}

    def watch(self, desk: Desk) -> None:
        """Sample every product's middle, or take the closes of its bars."""
        for limits in desk.plan.products:
            product_id, count = limits.product_id, max(self._slow, self._periods + 1)
            if product_id not in self._samples:
                self._samples[product_id] = BarCloses(count) if self.reads_bars else Sampler(self._every_s, count)
            self._samples[product_id].look(desk, product_id)

    def decide(self, desk: Desk) -> list[OrderIntent]:
        """Return exits of falling products and entries of rising ones."""
        self.watch(desk)
        return [i for p in self._samples if (i := self._one(desk, p)) is not None]

    def _one(self, desk: Desk, product_id: str) -> OrderIntent | None:
        sampler = self._samples[product_id]
        if not sampler.is_full or desk.now_ns < self._next_ns.get(product_id, 0):
            return None
        is_rising = average(sampler.mids, self._fast) > average(sampler.mids, self._slow)
        intent = self._enter(desk, product_id) if is_rising else self._leave(desk, product_id)
        if intent is None:
            return None
        self._next_ns[product_id] = desk.now_ns + self._entry.interval_s * len(self._samples) * NS
        stopped = self._filtered(desk, product_id) if intent.purpose is Purpose.ENTRY else None
        if stopped is not None:
            desk.filter_out(intent, self.name, *stopped)
            return None
        return intent

    def _filtered(self, desk: Desk, product_id: str) -> tuple[str, str] | None:
        """Return the first filter that stops an entry, with its figure and limit."""
        sampler, spread = self._samples[product_id], desk.books[product_id].spread_bps()
        strength = rsi(sampler.mids, self._periods)
        if strength > self._rsi_max:
            return "rsi", f"RSI is {strength:.1f} (limit {plain(self._rsi_max)})"
        if spread is None or spread > self._spread_max:
            seen = "unknown" if spread is None else f"{spread:.2f} bps"
            return "spread", f"spread is {seen} (limit {plain(self._spread_max)})"
        depth = min(desk.depth(product_id, side).l10 for side in Side)
        if depth < self._depth_min:
            return "depth", f"ten levels hold ${depth:.0f} (needed ${plain(self._depth_min)})"
        return None

    def _enter(self, desk: Desk, product_id: str) -> OrderIntent | None:
        bid = desk.books[product_id].best(Side.BUY)
        if bid is None or not desk.is_dust(product_id) or desk.orders.outstanding(product_id):
            return None
        product = desk.products[product_id]
        price = passive_price(product, Side.BUY, bid, self._entry.offset_bps)
        size = product.size_for((self._entry.notional_min + self._entry.notional_max) / 2, price)
        return self._intent(desk, product_id, Side.BUY, size, price, Purpose.ENTRY) if size > 0 else None

    def _leave(self, desk: Desk, product_id: str) -> OrderIntent | None:
        position, ask = desk.position(product_id), desk.books[product_id].best(Side.SELL)
        is_leaving = bool(desk.orders.outstanding(product_id, Side.SELL))
        if position <= 0 or ask is None or is_leaving or desk.is_dust(product_id):
            return None
        price = passive_price(desk.products[product_id], Side.SELL, ask, self._entry.offset_bps)
        return self._intent(desk, product_id, Side.SELL, position, price, Purpose.EXIT)

    def _intent(
        self, desk: Desk, product_id: str, side: Side, size: Decimal, price: Price, purpose: Purpose
    ) -> OrderIntent:
        return OrderIntent(
            product_id=product_id, side=side, size=size, limit_price=price, purpose=purpose, post_only=True,
            reduce_only=purpose is Purpose.EXIT, cancel_after_s=desk.plan.policy.auto_cancel_s,
        )


def make(entry: Entry, random: Random) -> AverageCross:
    """Return the strategy for the plan's entry section."""
    return AverageCross(entry, random)
