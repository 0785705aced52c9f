"""Chooses among the plan's strategies by the regime of the market, and lets the chosen one trade."""

from __future__ import annotations

from random import Random

from trading_core.clock import NS
from trading_core.desk import Desk
from trading_core.errors import ConfigurationError
from trading_core.events import StrategyChosen
from trading_core.money import BPS, ZERO
from trading_core.orders import OrderIntent
from trading_core.plan import Entry
from trading_core.strategies.indicators import Sampler, trend_bps, volatility_bps
from trading_core.strategies.params import Params
from trading_core.strategies.port import Strategy, Watching, load_strategy, reads_bars
from trading_core.strategies.regime import Figures, Regime, regime_of

DEFAULTS = {Regime.CALM: "two_sided_maker", Regime.TRENDING: "average_cross", Regime.ROUGH: "post_only_pulse"}
CAUTIOUS = Regime.ROUGH
FIGURE = BPS ** -1  # the figures are rounded to a ten-thousandth of a basis point: the record must hold them whole


class Automatic:
    """One strategy for each regime, named in the plan; each keeps its own parameters under its regime's name.

    `calm = "two_sided_maker"` and `calm.requote_s = 20` (a key with a dot is quoted in TOML).
    """

    def __init__(self, entry: Entry, random: Random) -> None:
        params = Params(entry.params)
        self._every_s = params.whole("sample_s", 10, low=1, high=600)
        self._samples_wanted = params.whole("samples", 60, low=10, high=1000)
        self._dwell_s = params.whole("dwell_s", 600, low=0, high=86_400)
        self._strategies: dict[Regime, Strategy] = {}
        for regime in Regime:
            key = regime.lower()
            chosen = params.text(key, DEFAULTS[regime])
            if chosen.endswith("automatic") or chosen.endswith("automatic:make"):
                raise ConfigurationError(f"{key} is {chosen!r}: the choice cannot choose itself")
            own = entry.model_copy(update={"strategy": chosen, "params": params.rest(key)})
            self._strategies[regime] = load_strategy(own, random.getrandbits(32))
        params.finish()
        if len({s.name for s in self._strategies.values()}) < len(Regime) - 1:
            raise ConfigurationError("all regimes name one strategy: there is nothing to choose")
        self._samplers: dict[str, Sampler] = {}
        self._regime: Regime | None = None
        self._since_ns = 0

    @property
    def name(self) -> str:
        """Return the name of the strategy that trades now."""
        return self._strategies[self._regime or CAUTIOUS].name

    @property
    def reads_bars(self) -> bool:
        """Tell whether any of the strategies reads the venue's bars."""
        return any(reads_bars(strategy) for strategy in self._strategies.values())

    def decide(self, desk: Desk) -> list[OrderIntent]:
        """Return what the chosen strategy wants; until there are figures to choose by, what the careful one does."""
        self._look(desk)
        for strategy in self._strategies.values():
            if isinstance(strategy, Watching):
                strategy.watch(desk)
        return self._strategies[self._regime or CAUTIOUS].decide(desk)

    def _look(self, desk: Desk) -> None:
        taken = [
            self._samplers.setdefault(p.product_id, Sampler(self._every_s, self._samples_wanted))
            .look(desk, p.product_id)
            for p in desk.plan.products
        ]
        is_dwelling = self._regime is not None and desk.now_ns < self._since_ns + self._dwell_s * NS
        figures = self._figures(desk) if any(taken) and not is_dwelling else None
        if figures is None:
            return
        regime = regime_of(figures, self._regime)
        if regime is not self._regime:
            self._choose(desk, regime, figures)

    def _choose(self, desk: Desk, regime: Regime, figures: Figures) -> None:
        before = "" if self._regime is None else self.name
        self._regime, self._since_ns = regime, desk.now_ns
        desk.record(
            StrategyChosen(
                ts_ns=desk.now_ns, strategy=self.name, before=before, regime=regime, spread_bps=figures.spread_bps,
                volatility_bps=figures.volatility_bps, trend_bps=figures.trend_bps,
            )
        )

    def _figures(self, desk: Desk) -> Figures | None:
        """Return the means over the products; None while any of them has too few samples."""
        spreads = [desk.books[p].spread_bps() for p in self._samplers]
        known = [s for s in spreads if s is not None]
        samples = [sampler.mids for sampler in self._samplers.values() if sampler.is_full]
        if not samples or len(samples) < len(self._samplers) or len(known) < len(spreads):
            return None
        means = (
            sum(known, ZERO) / len(known),
            sum((volatility_bps(mids) for mids in samples), ZERO) / len(samples),
            sum((trend_bps(mids) for mids in samples), ZERO) / len(samples),
        )
        return Figures(*(mean.quantize(FIGURE) for mean in means))


def make(entry: Entry, random: Random) -> Automatic:
    """Return the strategy for the plan's entry section."""
    return Automatic(entry, random)
