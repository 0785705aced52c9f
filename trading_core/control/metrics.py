"""What Prometheus scrapes: base units, times instead of ages, and no order's id as a label.

The engine acts on thresholds by itself; Prometheus only looks. RULE_METRICS says under which name it sees the figure
of each alert, so that one table makes both: see deployments.prometheus_rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from trading_core.clock import NS, wall_now_ns
from trading_core.control.accounts import list_accounts
from trading_core.control.config import ControlSettings
from trading_core.control.feed import RunWatch
from trading_core.errors import GreenlightError, StorageError
from trading_core.plan import AlertMetric
from trading_core.storage.event_reader import list_runs
from trading_core.trading_state import TradingState

# The expression that has an alert's figure. A mark's age is reckoned where it is read: an exported age would freeze.
RULE_METRICS: Mapping[AlertMetric, str] = {
    "daily_loss": "greenlight_daily_loss_usd",
    "drift": "greenlight_drift_usd",
    "staleness_s": "time() - greenlight_mark_timestamp_seconds",
    "margin_utilization": "greenlight_margin_utilization_ratio",
    "rate_limit_errors": "greenlight_rate_limit_errors_total",
    "unexpected_rejections": "greenlight_unexpected_rejections_total",
    "consecutive_rejections": "greenlight_consecutive_rejections",
    "unresolved_orders": "greenlight_unresolved_orders",
    "clock_offset_s": "greenlight_clock_offset_seconds",
    "margin_call": "greenlight_margin_call",
    "spread_bps": "10000 * greenlight_spread_ratio",
    "checkpoint_overdue_s": "greenlight_checkpoint_overdue_seconds",
}
_COUNTED = frozenset({"rate_limit_errors", "unexpected_rejections"})


def scrape(settings: ControlSettings, watch: RunWatch | None, viewers: int) -> bytes:
    """Return the exposition: the server's own figures, every account's state, and those of the watched run."""
    registry = CollectorRegistry()
    registry.register(_Figures(settings, watch, viewers))
    return generate_latest(registry)


def readiness(settings: ControlSettings) -> str:
    """Return why nobody should rely on this server now; empty if all is well."""
    try:
        list_runs(settings.store)
    except StorageError as e:
        if settings.store.is_server or settings.store.path.exists():
            return str(e)  # a file that is not there yet is no trouble: no session is expected
    except GreenlightError as e:
        return str(e)
    now_ns = wall_now_ns()
    for account in list_accounts(settings.event_store_root):
        if account.beat_problem:
            return account.beat_problem
        if account.is_silent(now_ns) and account.beat is not None:
            silent_s = account.beat.silent_s(now_ns)
            return f"session of {account.name} has been silent for {silent_s:.0f} s (limit {account.beat.lost_after_s})"
    return ""


class _Figures:
    def __init__(self, settings: ControlSettings, watch: RunWatch | None, viewers: int) -> None:
        self._settings = settings
        self._watch = watch
        self._viewers = viewers

    def collect(self) -> Iterator[Metric]:
        yield _gauge("greenlight_viewers", "Pages that watch now", self._viewers)
        beats = GaugeMetricFamily("greenlight_beat_timestamp_seconds", "Last beat of a session", labels=["account"])
        limits = GaugeMetricFamily(
            "greenlight_beat_lost_after_seconds", "Silence after which a session counts as dead", labels=["account"]
        )
        for account in list_accounts(self._settings.event_store_root):
            if account.beat is not None and not account.beat.has_ended:
                beats.add_metric([account.name], account.beat.beat_ns / NS)
                limits.add_metric([account.name], account.beat.lost_after_s)
        yield from (beats, limits)
        if self._watch is not None:
            yield from _of_run(self._watch)


def _of_run(watch: RunWatch) -> Iterator[Metric]:
    shown, view = watch.look(), watch.view
    info = GaugeMetricFamily("greenlight_run_info", "The watched run", labels=["run_id", "plan", "venue", "level"])
    run = shown["run"]
    info.add_metric([run["id"], run["plan"], run["venue"], run["level"]], 1)
    yield info
    state = GaugeMetricFamily("greenlight_trading_state", "1 for the state that holds", labels=["state"])
    for name in TradingState:
        state.add_metric([name], float(shown["state"] == name))
    yield state
    yield _gauge("greenlight_event_timestamp_seconds", "Time of the last event", view.ts_ns / NS)
    yield _gauge("greenlight_event_seq", "Events of the run that are stored", view.seq)
    orders = CounterMetricFamily("greenlight_orders", "Orders by what became of them", labels=["outcome"])
    for outcome, count in view.tallies.items():
        orders.add_metric([outcome], count)
    yield orders
    yield CounterMetricFamily("greenlight_fills", "Fills", value=view.fills)
    yield from _alerts(shown["alerts"])
    if shown["latency"]["p95"] is not None:
        quantiles = GaugeMetricFamily("greenlight_place_order_seconds", "Send to answer", labels=["quantile"])
        quantiles.add_metric(["0.5"], float(shown["latency"]["p50"]) / 1000)
        quantiles.add_metric(["0.95"], float(shown["latency"]["p95"]) / 1000)
        yield quantiles
    yield from _figures(watch, shown["checkpoints"]["overdue_s"])


def _alerts(alerts: list[dict[str, Any]]) -> Iterator[Metric]:
    raised = GaugeMetricFamily("greenlight_alerts_raised", "Alerts that are raised now", labels=["severity"])
    waiting = GaugeMetricFamily("greenlight_alerts_unacknowledged", "Alerts nobody acknowledged", labels=["severity"])
    for severity in ("INFO", "WARNING", "ERROR", "CRITICAL"):
        mine = [a for a in alerts if a["severity"] == severity]
        raised.add_metric([severity], sum(not a["is_cleared"] for a in mine))
        waiting.add_metric([severity], sum(not a["answered_by"] for a in mine))
    yield from (raised, waiting)


def _figures(watch: RunWatch, overdue_s: int | None) -> Iterator[Metric]:
    taken = watch.view.figures
    overdue = _overdue(taken.watched if taken is not None else {}, overdue_s)
    if overdue is not None:
        yield _gauge(RULE_METRICS["checkpoint_overdue_s"], "How late a checkpoint was or is", overdue)
    if taken is None:
        return
    yield _gauge("greenlight_equity_usd", "Equity by our books", float(taken.equity))
    yield _gauge("greenlight_pnl_usd", "What the run has made", float(taken.pnl))
    yield _gauge("greenlight_open_orders", "Orders that may rest at the venue", taken.open_orders)
    by_product: tuple[tuple[str, str, Mapping[str, Any], float], ...] = (
        ("greenlight_position_base", "Position in base units or contracts", taken.positions, 1),
        ("greenlight_mark_usd", "Middle of the book", taken.marks, 1),
        ("greenlight_mark_timestamp_seconds", "Last change of the book", taken.seen_ns, NS),
        ("greenlight_spread_ratio", "Spread as a share of the price", taken.spread_bps, 10_000),
        ("greenlight_depth_usd", "Ten levels of the thinner side", taken.depth_l10, 1),
        ("greenlight_liquidity_score", "100: an entry would not move the price", taken.liquidity, 1),
    )
    for name, words, values, unit in by_product:
        family = GaugeMetricFamily(name, words, labels=["product"])
        for product_id, value in values.items():
            family.add_metric([product_id], float(value) / unit)
        yield family
    for metric, observed in taken.watched.items():
        if metric == "checkpoint_overdue_s":
            continue  # above: a session that died says nothing of it
        name = RULE_METRICS[metric]  # type: ignore[index]  # the engine watches nothing else
        if not name.startswith("greenlight_"):
            continue  # by product, above
        if metric in _COUNTED:
            yield CounterMetricFamily(name, f"The alerts' figure {metric}", value=float(observed))
        else:
            yield _gauge(name, f"The alerts' figure {metric}", float(observed))
    if "margin_utilization" not in taken.watched:
        yield _gauge(RULE_METRICS["margin_utilization"], "Margin in use", float(taken.margin_utilization))


def _overdue(watched: Mapping[str, Decimal], overdue_s: int | None) -> float | None:
    told = [float(s) for s in (watched.get("checkpoint_overdue_s"), overdue_s) if s is not None]
    return max(told, default=None)


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, value=value)
