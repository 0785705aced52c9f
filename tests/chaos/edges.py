"""Moments at which something happens to perpetual futures, and sessions that hold and trade over one of them."""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

from trading_core.local_exchange.config import DAYS
from trading_core.margin import ANNOUNCED_MIN
from trading_core.plan import Plan

# Minutes of the day (UTC). At eleven and at twenty hours the simulated venue pays what has accrued as well.
FUNDING_MINUTES = (600, 660, 720, 1200, 1440)
TRANSITION_MINUTES = (720, 1200)  # 8 and 16 h in New York's summer
WEEKDAYS = tuple(day for day in DAYS if day != "calm")  # that one is a Sunday, whose margin window does not change
LEADS_S = (25, 25, 40, 90)  # enough to hold something by then: a step or two, and some quotes
AFTER_S = (20, 60)  # the rate is told at once, unless the first question fails
HOLDER = "tests.chaos.holder:make"
UNTIL_LAST_S = -min(ANNOUNCED_MIN) * 60 + 30  # after a transition: until it has been announced for the last time


class Edge(NamedTuple):
    """A session that begins `lead_s` before the minute, on the day, and trades until `after_s` after it."""

    minute: int
    day: str
    lead_s: int
    after_s: int


def draw_edge(chance: Random, day: str) -> Edge | None:
    """Return the edge that a seed of perpetual futures crosses; one of nine crosses whatever comes."""
    lead_s, after_s, weekday = chance.choice(LEADS_S), chance.choice(AFTER_S), chance.choice(WEEKDAYS)
    kinds = ("any", *("funding",) * 4, *("announcement",) * 2, *("transition",) * 2)
    match chance.choice(kinds):
        case "funding":
            return Edge(chance.choice(FUNDING_MINUTES), day, lead_s, after_s)
        case "announcement":
            before = chance.choice([minutes for minutes in ANNOUNCED_MIN if minutes > 0])
            return Edge(chance.choice(TRANSITION_MINUTES) - before, weekday, lead_s, after_s)
        case "transition":
            return Edge(chance.choice(TRANSITION_MINUTES), weekday, lead_s, chance.choice((after_s, UNTIL_LAST_S)))
    return None


def cross(plan: Plan, edge: Edge, chance: Random) -> Plan:
    """Return the plan with a window that goes over the edge, entries until right before it, and often a position."""
    quiet_s = chance.choice((0, 0, 0, 10, plan.risk.pre_funding_quiet_s))
    sections: dict[str, Any] = {
        "protocol": plan.protocol.model_copy(update={"window_s": edge.lead_s + edge.after_s}),
        "risk": plan.risk.model_copy(update={"pre_funding_quiet_s": quiet_s}),
    }
    if chance.random() < 0.7:
        sections["entry"] = plan.entry.model_copy(update={"strategy": HOLDER, "params": {}})
        sections["policy"] = plan.policy.model_copy(update={"is_entry_post_only": False})
    return plan.model_copy(update=sections)
