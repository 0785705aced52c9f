"""What a dashboard shows of one run, built from its events alone: every viewer, terminal and scrape sees the same."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Any

from trading_core import events as ev
from trading_core.alerts import GUARDRAIL, HOUR_S, Severity, rules_of
from trading_core.artifact_refusals import PROBES
from trading_core.clock import NS, iso
from trading_core.control.progress import progress_of
from trading_core.gate.evidence import Tally
from trading_core.money import ZERO, plain
from trading_core.orders import OrderIntent, OrderStatus
from trading_core.run import RunContext
from trading_core.storage.event_reader import StoredEvent

# The types that the view is built from: ticks and the engine's questions are not read at all.
TYPES = (
    "FiguresTaken", "SnapshotTaken", "AccountRead", "OrderSubmitted", "OrderAccepted", "OrderRejected", "OrderDenied",
    "OrderReported", "SubmitWithheld", "OrderLost", "SizedDown", "FillBooked", "StateChanged", "StreamChanged",
    "AlertRaised", "AlertCleared", "GuardrailTripped", "CheckpointReached", "StepEnded", "RunEnding",
    "EditAnswered", "EditLost",
)
LATEST_MAX = 14  # lines of what happened last
CURVE_MAX = 600  # points of a curve; from twice as many, every second one goes
LATENCIES_MAX = 500  # the latest answers, for the quantiles
Point = tuple[int, str, str]  # time in ms, equity, margin utilization


class RunView:
    """The state of one run as of the last event that was applied."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.seq = 0
        self.ts_ns = 0
        self.started_ns = 0
        self.state, self.state_why = "", ""
        self.margin_window = ""
        self.drift: Decimal | None = None
        self.figures: ev.FiguresTaken | None = None
        self.points: list[Point] = []
        self.tallies = {"sent": 0, "accepted": 0, "rejected": 0, "denied": 0, "withheld": 0, "sized_down": 0, "lost": 0}
        self.acceptance = [0, 0]  # without probes
        self.latencies: deque[Decimal] = deque(maxlen=LATENCIES_MAX)
        self.in_time = [0, 0]
        self.fills = 0
        self.ended = ""
        self.flat = ""
        self.is_flat: bool | None = None
        self.latched: dict[str, str] = {}
        self.alerts: dict[int, dict[str, Any]] = {}
        self.checkpoints: list[dict[str, Any]] = []
        self.steps: dict[str, bool] = {}
        self.latest: deque[dict[str, str]] = deque(maxlen=LATEST_MAX)
        self._orders: dict[str, OrderIntent] = {}
        self._open: dict[str, str] = {}  # client order id by the venue's
        self._limit_ms = next((c.quantile_limit for c in context.plan.criteria if c.quantile_limit), None)

    def apply(self, stored: StoredEvent) -> None:
        """Take one event, in order."""
        event = stored.event
        self.seq, self.ts_ns = stored.seq, max(self.ts_ns, event.ts_ns)
        self.started_ns = self.started_ns or event.ts_ns
        match event:
            case ev.FiguresTaken():
                self.figures, self.state = event, event.state
                self._point(event)
            case ev.SnapshotTaken():
                self.margin_window, self.drift = event.margin_window, event.drift
            case ev.AccountRead():
                self.margin_window = event.margin_window
            case ev.StateChanged():
                self.state, self.state_why = event.state, f"{event.reason} ({event.actor})"
                self._say(event, event.state, self.state_why, "warn" if event.state != "ACTIVE" else "")
            case ev.StreamChanged():
                self._say(event, event.state, f"{event.connection} stream {event.detail}".strip(),
                          "" if event.state == "CONNECTED" else "warn")
            case _:
                self._order(stored)

    def _order(self, stored: StoredEvent) -> None:
        event = stored.event
        match event:
            case ev.OrderSubmitted():
                self._orders[event.client_order_id] = event.intent
                self.tallies["sent"] += 1
            case ev.OrderAccepted():
                self._answered(event.client_order_id, event.latency_ms, is_accepted=True)
                self._open[event.order_id] = event.client_order_id
            case ev.OrderRejected():
                self._answered(event.client_order_id, event.latency_ms, is_accepted=False)
                self._say(event, "REJECTED", f"{self._words(event.client_order_id)}: {event.reason}", "warn")
            case ev.OrderReported():
                if event.order.status not in (OrderStatus.OPEN, OrderStatus.CANCEL_REQUESTED):
                    self._open.pop(event.order.order_id, None)
            case ev.OrderDenied():
                self.tallies["denied"] += 1
                self._say(event, "DENIED", f"{_intent_words(event.intent)}: {event.reason}")
            case ev.SubmitWithheld():
                self.tallies["withheld"] += 1
                self._say(event, "WITHHELD", f"{self._words(event.client_order_id)}: {event.reason}", "warn")
            case ev.OrderLost():
                self.tallies["lost"] += 1
                self._say(event, "LOST", f"{self._words(event.client_order_id)}: {event.cause}", "bad")
            case ev.EditAnswered() if not event.is_accepted:
                tone = "" if event.is_expected else "warn"
                self._say(event, "EDIT REFUSED", f"{self._words(event.client_order_id)}: {event.reason}", tone)
            case ev.EditLost():
                self._say(event, "EDIT LOST", f"{self._words(event.client_order_id)}: {event.cause}", "bad")
            case ev.SizedDown():
                self.tallies["sized_down"] += 1
                self._say(event, "SIZED_DOWN", f"{event.side} {plain(event.original_size)} → "
                          f"{plain(event.adjusted_size)} {event.product_id} ({event.limit_name})")
            case ev.FillBooked():
                self.fills += 1
                f = event.fill
                self._say(event, "FILLED", f"{f.side} {plain(f.size)} {f.product_id} at {plain(f.price)}", "good")
            case _:
                self._watch(stored)

    def _watch(self, stored: StoredEvent) -> None:
        event = stored.event
        match event:
            case ev.AlertRaised():
                self.alerts[stored.seq] = {
                    "id": f"{self.context.run_id}:{stored.seq}", "at": iso(event.ts_ns)[11:19], "name": event.name,
                    "severity": event.severity, "detail": event.detail, "is_cleared": False, "answered_by": "",
                }
                self._say(event, event.severity, f"{event.name}: {event.detail}", _tone(event.severity))
            case ev.AlertCleared():
                for alert in self.alerts.values():
                    alert["is_cleared"] = alert["is_cleared"] or alert["name"] == event.name
                self._say(event, "CLEARED", f"{event.name}: {event.detail}", "good")
            case ev.GuardrailTripped():
                self.latched[event.name] = f"{event.observed} (limit {event.limit}) {event.detail}".rstrip()
                self._say(event, "GUARDRAIL", f"{event.name}: {self.latched[event.name]}", "bad")
            case ev.CheckpointReached():
                self.checkpoints.append({"at_h": event.at_h, "at": iso(event.ts_ns)})
                self._say(event, "CHECKPOINT", f"T+{event.at_h} h")
            case ev.StepEnded(step="flat_at_end"):
                self.flat, self.is_flat = event.detail, event.is_shown
                what, tone = ("FLAT", "") if event.is_shown else ("NOT FLAT", "bad")
                self._say(event, what, event.detail, tone)
            case ev.StepEnded():
                self.steps[event.step] = event.is_shown
                self._say(event, "STEP", f"{event.step}: {event.detail}", "" if event.is_shown else "warn")
            case ev.RunEnding():
                self.ended = event.reason
                self._say(event, "ENDING", event.reason)
            case _:
                pass

    def _answered(self, client_order_id: str, latency_ms: Decimal, *, is_accepted: bool) -> None:
        self.tallies["accepted" if is_accepted else "rejected"] += 1
        self.latencies.append(latency_ms)
        if self._limit_ms is not None:
            self.in_time[0 if latency_ms <= self._limit_ms else 1] += 1
        intent = self._orders.get(client_order_id)
        if intent is not None and intent.purpose not in PROBES:
            self.acceptance[0 if is_accepted else 1] += 1

    def _point(self, event: ev.FiguresTaken) -> None:
        self.points.append((event.ts_ns // 1_000_000, plain(event.equity), plain(event.margin_utilization)))
        if len(self.points) > 2 * CURVE_MAX:
            self.points = [*self.points[:-1:2], self.points[-1]]

    def _say(self, event: ev.Event, what: str, words: str, tone: str = "") -> None:
        self.latest.appendleft({"at": iso(event.ts_ns)[11:19], "what": str(what), "words": words, "tone": tone})

    def _words(self, client_order_id: str) -> str:
        intent = self._orders.get(client_order_id)
        return client_order_id if intent is None else _intent_words(intent)

    # ── what is shown ───────────────────────────────────────────────────────────────────────────
    def shown(self) -> dict[str, Any]:
        """Return the view as plain JSON; money as strings, and nothing that only a dashboard would compute."""
        plan, taken = self.context.plan, self.figures
        end_ns = self.started_ns + plan.protocol.window_s * NS
        return {
            "seq": self.seq, "ts_ms": self.ts_ns // 1_000_000, "at": iso(self.ts_ns) if self.ts_ns else "",
            "run": {
                "id": self.context.run_id, "plan": plan.name.value, "title": plan.title,
                "venue": self.context.venue.value, "level": self.context.level.value, "speed": self.context.speed,
                "started": iso(self.started_ns) if self.started_ns else "", "window_s": plan.protocol.window_s,
                "left_s": max((end_ns - self.ts_ns) // NS, 0) if self.started_ns else None,
                "ended": self.ended, "flat": self.flat, "is_flat": self.is_flat,
            },
            "state": self.state, "state_why": self.state_why,
            "money": {
                "equity": _text(taken.equity) if taken else None, "pnl": _text(taken.pnl) if taken else None,
                "day_pnl": _text(taken.day_pnl) if taken else None, "drift": _text(self._drift()),
                "drift_limit": _text(next((g.limit for g in plan.guardrails if g.metric == "drift"), None)),
            },
            "margin": {
                "utilization": _text(taken.margin_utilization) if taken else None, "window": self.margin_window,
                "limit": plain(plan.risk.margin_utilization_max),
            },
            "orders": {**self.tallies, "fills": self.fills, "acceptance": self.acceptance},
            "latency": self._latency(),
            "symbols": self._symbols(), "open_orders": self._open_orders(), "guardrails": self._guardrails(),
            "progress": progress_of(plan, self.rate_tallies(), self.steps),
            "checkpoints": {"reached": self.checkpoints, **self._next_checkpoint()},
            "latest": list(self.latest), "point": self.points[-1] if self.points else None,
        }

    def rate_tallies(self) -> dict[str, Tally]:
        """Return the tally of each rate that can be told while the run trades."""
        accepted, rejected = self.acceptance
        fast, slow = self.in_time
        both = Tally(successes=accepted, failures=rejected)
        return {
            "order_acceptance": both, "order_rejected_share": both,
            "place_order_latency_ms": Tally(successes=fast, failures=slow),
        }

    def _drift(self) -> Decimal | None:
        return self.drift if self.figures is None else self.figures.watched.get("drift", self.drift)

    def _latency(self) -> dict[str, Any]:
        ranked = sorted(self.latencies)
        if not ranked:
            return {"p50": None, "p95": None, "n": 0, "limit": _text(self._limit_ms)}
        at = [ranked[min(len(ranked) * share // 100, len(ranked) - 1)] for share in (50, 95)]
        return {"p50": plain(at[0]), "p95": plain(at[1]), "n": len(ranked), "limit": _text(self._limit_ms)}

    def _symbols(self) -> list[dict[str, Any]]:
        taken = self.figures
        rows: list[dict[str, Any]] = []
        for limits in self.context.plan.products:
            p = limits.product_id
            if taken is None:
                rows.append({"id": p})
                continue
            position, mark, seen_ns = taken.positions.get(p, ZERO), taken.marks.get(p), taken.seen_ns.get(p)
            rows.append({
                "id": p, "position": plain(position), "mark": _text(mark),
                "notional": None if mark is None else plain((position * mark).quantize(Decimal("0.01"))),
                "unrealized": _text(taken.unrealized.get(p)), "spread_bps": _text(taken.spread_bps.get(p)),
                "depth": _text(taken.depth_l10.get(p)), "liquidity": _text(taken.liquidity.get(p)),
                "stale_s": None if seen_ns is None else plain(Decimal((taken.ts_ns - seen_ns) // 1_000_000) / 1000),
            })
        return rows

    def _open_orders(self) -> list[dict[str, str]]:
        found = [(name, self._orders[name]) for name in self._open.values() if name in self._orders]
        return [
            {"id": name, "words": _intent_words(i), "price": _text(i.limit_price) or "", "purpose": i.purpose.value}
            for name, i in found
        ] if not self.flat else []

    def _guardrails(self) -> list[dict[str, Any]]:
        watched = self.figures.watched if self.figures is not None else {}
        rows = []
        for rule in rules_of(self.context.plan):
            observed, name = watched.get(rule.metric), rule.name.removeprefix(GUARDRAIL)
            if observed is None:
                share = None
            else:
                share = float(max(observed, ZERO) / rule.limit) if rule.limit > 0 else (2.0 if observed > 0 else 0.0)
            rows.append({
                "name": name, "metric": rule.metric, "observed": _text(observed), "limit": plain(rule.limit),
                "share": share, "is_guardrail": rule.is_latched, "severity": rule.severity.value,
                "latched": self.latched.get(name, "") if rule.is_latched else "",
            })
        return sorted(rows, key=lambda row: -(row["share"] or 0.0))  # the nearest limit first

    def _next_checkpoint(self) -> dict[str, Any]:
        reached = {c["at_h"] for c in self.checkpoints}
        for at_h in sorted(self.context.plan.protocol.checkpoints_h):
            if at_h not in reached and self.started_ns:
                return {"next_h": at_h, "next_in_s": (self.started_ns - self.ts_ns) // NS + at_h * HOUR_S}
        return {"next_h": None, "next_in_s": None}


def _intent_words(intent: OrderIntent) -> str:
    return f"{intent.side} {plain(intent.size)} {intent.product_id}"


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def _tone(severity: str) -> str:
    return "bad" if Severity(severity).rank >= Severity.ERROR.rank else "warn"
