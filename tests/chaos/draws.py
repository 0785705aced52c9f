"""What a seed decides beforehand: plan, market, faults, kills, operators. The same seed, the same script."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from random import Random
from typing import Any, Literal

from tests.chaos.edges import cross, draw_edge
from tests.chaos.plans import FAMILIES, draw_plan, let_edit
from trading_core.bootstrap import START_MINUTE, simulated_start_ns
from trading_core.clock import MINUTE_NS, NS
from trading_core.local_exchange.config import DAYS
from trading_core.local_exchange.faults import FaultPlan
from trading_core.plan import Plan
from trading_core.trading_state import TradingState

RESTARTS_MAX = 4
SHARES = (0.02, 0.1, 0.3)
EDITS_SHARE = 0.5  # of the seeds whose strategy can edit
GAPS_S = (1, 3, 10, 40, 200)
# Recover: a request or event between a restart and the end of its reconciliation. Leave: a request of whoever leaves.
Moment = Literal["append", "appended", "send", "sent", "ask", "asked", "tighten", "tightened", "recover", "leave"]
USUAL_N: dict[Moment, int] = {
    "append": 900, "appended": 900, "send": 25, "sent": 25, "ask": 250, "asked": 250, "tighten": 2, "tightened": 2,
    "recover": 20, "leave": 25,
}
MOMENTS: tuple[Moment, ...] = tuple(USUAL_N)
# Minutes of the day: an ordinary one, before a funding time, before both margin transitions of New York's summer
# (funding times as well), and before the day of the loss limit rolls over.
MINUTES = (START_MINUTE, 659, 719, 1199, 1439)
MARGIN_FAULTS = ("margin_call", "liquidation", "maintenance")
REJECTIONS = ("INSUFFICIENT_FUND", "INVALID_LIMIT_PRICE_POST_ONLY", "COMMANDER_REJECTED_NEW_ORDER")


@dataclass(frozen=True)
class Kill:
    """Kill at the n-th such moment after the start, or after the restart."""

    moment: Moment
    n: int


@dataclass(frozen=True)
class Deed:
    """What an operator does to the state file, so many venue seconds in; or only as the next order leaves."""

    after_s: int
    state: TradingState
    is_before_order: bool = False


@dataclass
class Script:
    """Everything that chance decided beforehand."""

    family: str
    day: str
    seed: int
    start_ns: int
    faults: FaultPlan
    plan: Plan
    balances: dict[str, Decimal]
    kills: list[Kill]
    gaps_s: list[int]
    deeds: list[Deed] = field(default_factory=list)
    stop_after_s: int | None = None  # when somebody asks the session to end
    disk_full_at: int | None = None  # the event from which on the first session's disk takes none
    damages_state: bool = False

    @property
    def is_healthy(self) -> bool:
        """Tell whether venue, disk and operator do nothing: kills alone must not make a session fail."""
        faults = set(self.faults.model_dump(exclude_defaults=True)) <= {"name", "seed"}
        return faults and not self.damages_state and self.disk_full_at is None

    @property
    def words(self) -> str:
        """Return what was drawn, for whoever looks at a seed that broke a rule."""
        plan, faults = self.plan, self.faults.model_dump(exclude_defaults=True, exclude={"name", "seed"})
        products = ", ".join(limits.product_id for limits in plan.products)
        return (
            f"{self.family}: {products}; {plan.entry.strategy} {plan.entry.params}; steps {plan.protocol.steps}; "
            f"{'no ' if not plan.guardrails else ''}guardrails\nday {self.day} from {self.start_ns}, faults {faults}, "
            f"kills {self.kills}, gaps {self.gaps_s}, deeds {self.deeds}, stop {self.stop_after_s}, "
            f"disk full at {self.disk_full_at}, state file damaged {self.damages_state}"
        )


def draw(seed: int) -> Script:
    """Return what chance decides for a seed. Families take turns, so that a few seeds have them all."""
    return _with_edits(_over_edge(draw_usual(seed)))


def draw_usual(seed: int) -> Script:
    """Return the script of a seed before it is laid over an edge and lets its strategy edit."""
    chance = Random(seed)
    family = FAMILIES[seed % len(FAMILIES)]
    day, minute = chance.choice(DAYS), chance.choice(MINUTES if family == "perp" else (START_MINUTE, *MINUTES))
    before_s = chance.choice((0, 20, 45))  # so much of the minute is over
    plan = draw_plan(family, chance)
    products = tuple(limits.product_id for limits in plan.products)
    gaps = (*GAPS_S, 4_000) if family == "perp" else GAPS_S  # over a funding time
    return Script(
        family=family, day=day, seed=seed, plan=plan, balances=_balances(chance, plan),
        start_ns=_start_ns(day, minute * 60 + before_s),
        faults=FaultPlan(name="drawn", seed=seed, **_faults(chance, family, products)),
        kills=_kills(chance), gaps_s=[chance.choice(gaps) for _ in range(RESTARTS_MAX)], deeds=_deeds(chance),
        stop_after_s=chance.randint(10, 150) if chance.random() < 0.1 else None,
        disk_full_at=chance.randint(1, 400) if chance.random() < 0.06 else None,
        damages_state=chance.random() < 0.04,
    )


def _over_edge(script: Script) -> Script:
    """Return a script of futures that mostly begins shortly before an edge; what goes wrong mostly waits for it."""
    chance = Random(f"edge {script.seed}")  # of its own: an edge changes nothing else of a seed
    edge = draw_edge(chance, script.day) if script.family == "perp" else None
    if edge is None:
        return script
    plan, stop_s = cross(script.plan, edge, chance), script.stop_after_s
    later_s = chance.choice((0, edge.lead_s, edge.lead_s))
    timed = {
        name: value + later_s for name, value in script.faults.model_dump(exclude_defaults=True).items()
        if name.endswith(("_at_s", "_from_s"))
    }
    return replace(
        script, day=edge.day, plan=plan, start_ns=_start_ns(edge.day, edge.minute * 60 - edge.lead_s),
        faults=script.faults.model_copy(update=timed), stop_after_s=None if stop_s is None else stop_s + later_s,
        deeds=[replace(deed, after_s=deed.after_s + later_s) for deed in script.deeds],
    )


def _with_edits(script: Script) -> Script:
    """Return a script whose maker edits its quotes, if it has one and chance wants it, sometimes under faults."""
    chance = Random(f"edit {script.seed}")
    if chance.random() >= EDITS_SHARE or (plan := let_edit(script.plan)) is None:
        return script
    return replace(script, plan=plan, faults=script.faults.model_copy(update=_edit_faults(chance)))


def _start_ns(day: str, second: int) -> int:
    return simulated_start_ns(day) - START_MINUTE * MINUTE_NS + second * NS


def fault_draws(chance: Random, products: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return one drawing of each kind of fault."""
    share, from_s, for_s = chance.choice(SHARES), float(chance.randint(5, 90)), float(chance.randint(5, 60))
    some = tuple(p for p in products if chance.random() < 0.5)
    return {
        "reject": {"reject_share": share, "reject_reason": chance.choice(REJECTIONS), "reject_products": some,
                   "reject_from_order": chance.choice((0, 3, 8))},
        "stale": {"stale_from_s": from_s, "stale_for_s": for_s},
        "gap": {"gap_at_s": from_s, "gap_share": chance.choice((-0.08, -0.01, 0.05))},
        "thin": {"depth_share": chance.choice((0.02, 0.3))},
        "halted": {"halted_products": products[:1]},
        "margin_call": {"margin_call_at_s": from_s},
        "liquidation": {"liquidation_at_s": from_s},
        "maintenance": {"maintenance_from_s": from_s, "maintenance_for_s": for_s},
        "crossed": {"crossed_from_s": from_s, "crossed_for_s": for_s, "crossed_ticks": chance.choice((1, 50))},
        "book_lost": {"book_lost_from_s": from_s, "book_lost_for_s": for_s},
        "offline": {"offline_products": products[:1], "offline_from_s": from_s},
        "fails_after_accept": {"fail_after_accept_share": share,
                               "fail_reason": chance.choice(("HOLD_FAILURE", "UNKNOWN_FAILURE_REASON"))},
        "cancel_race": {"cancel_delay_ms": chance.choice((50, 500, 3_000)), "cancel_meets_fill_share": 0.5},
        "clock": {"clock_offset_ms": chance.choice((-10_000, 1_000, 10_000))},
        "slow": {"latency_ms": 800, "latency_jitter_ms": 200},
        "unauthorized": {"unauthorized_share": share},
        "rate_limited": {"rate_limited_share": share, "rate_limited_as_html": chance.random() < 0.5},
        "server_error": {"server_error_share": share, "server_error_as_html": chance.random() < 0.5},
        "booked_but_500": {"create_booked_but_500_share": share,
                           "create_booked_but_500_pushes_user": chance.random() < 0.5},
        "reset_before": {"create_reset_before_share": share},
        "reset_after": {"create_reset_after_share": share},
        "hang": {"hang_share": share, "hang_s": chance.choice((3.0, 45.0))},
        "removed": {"removed_members": (chance.choice(("success_response", "hold", "fills", "orders")),)},
        "added": {"added_members": ("something_new",)},
        "renamed": {"renamed_members": (("order_id", "order_uid"),)},
        "frames": {"frame_drop_share": share, "frame_duplicate_share": share, "frame_reorder_share": share},
        "closes": {"close_every_s": chance.choice((15.0, 40.0)), "close_code": chance.choice((1001, 1006))},
        "key": {"can_transfer": True},
    }


@cache
def fault_names() -> tuple[str, ...]:
    """Return the kinds of faults that seeds draw."""
    return tuple(sorted(fault_draws(Random(0), ())))


def _faults(chance: Random, family: str, products: tuple[str, ...]) -> dict[str, Any]:
    draws = fault_draws(chance, products)
    names = set(chance.sample(fault_names(), chance.choice((0, 0, 1, 1, 2, 3))))
    if family == "perp" and chance.random() < 0.3:
        names.add(chance.choice(MARGIN_FAULTS))
    chosen: dict[str, Any] = {}
    for name in sorted(names):
        chosen |= draws[name]
    return chosen


def _edit_faults(chance: Random) -> dict[str, Any]:
    """Return what goes wrong with edits: half of the times nothing, else they are late, unheard or both."""
    late = {
        "edit_delay_ms": chance.choice((50, 500, 3_000, 30_000)), "edit_meets_fill_share": chance.choice((0.0, 0.5)),
    }
    unheard = {"edit_done_but_500_share": chance.choice(SHARES)}
    return chance.choice(({}, {}, {}, late, unheard, late | unheard))


def _kills(chance: Random) -> list[Kill]:
    moments = [chance.choice(MOMENTS) for _ in range(chance.choice((0, 1, 1, 2, 3, RESTARTS_MAX)))]
    return [Kill(moment, chance.randint(1, USUAL_N[moment])) for moment in moments]


def _deeds(chance: Random) -> list[Deed]:
    count = chance.choice((0, 0, 0, 0, 1, 2))
    states = (TradingState.REDUCE_ONLY, TradingState.HALTED)
    after_s = sorted(chance.randint(1, 120) for _ in range(count))
    return [Deed(s, chance.choice(states), is_before_order=chance.random() < 0.5) for s in after_s]


def _balances(chance: Random, plan: Plan) -> dict[str, Decimal]:
    """Return the money and, now and then, coins that the account's owner holds beside the run."""
    most = plan.risk.aggregate_notional_max
    money = {"USD": most / plan.risk.leverage_max if chance.random() < 0.2 else max(Decimal(10_000), most * 2)}
    coins = {"BTC": Decimal("1.5"), "ETH": Decimal(3), "SOL": Decimal(40), "XRP": Decimal(5_000)}
    return money | {name: size for name, size in coins.items() if chance.random() < 0.3}
