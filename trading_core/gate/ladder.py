"""The ladder: where each bot stands, read from the decision log, and whether it may start the next rung."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from enum import StrEnum

from trading_core.clock import from_iso, iso
from trading_core.gate.decide import HOUR_NS, DecisionRecord
from trading_core.gate.demotions import Demotion
from trading_core.gate.outcomes import Verdict
from trading_core.gate.subject import Bot, Subject, bot_of
from trading_core.plan import Envelope, Level, Plan, PlanModel, Rung

LIVE = Level.L3
RUNGS = list(Rung)


class OwedState(StrEnum):
    """What became of an obligation."""

    DUE = "due"
    MET = "met"
    MISSED = "missed"


class Owed(PlanModel):
    """One obligation of a CONDITIONAL, met by a later GO of the same rung."""

    name: str
    due_ns: int
    state: OwedState
    because: str


class Standing(PlanModel):
    """Where one bot stands on one rung at one level: its latest decision, and what became of its promises."""

    bot: Bot
    rung: Rung
    level: Level
    plan_digest: str
    run_id: str
    verdict: Verdict
    headline: str
    decided_ns: int
    attempts: int
    valid_until_ns: int | None
    envelope: Envelope | None
    obligations: tuple[Owed, ...] = ()
    demoted_by: str = ""

    def problem(self, now_ns: int) -> str:
        """Return why this standing carries no rung above it; empty if it does."""
        if self.demoted_by:
            return f"{self.rung} was demoted: {self.demoted_by}"
        if self.verdict is Verdict.NO_GO:
            return f"the last decision on {self.rung} (run {self.run_id}) is {self.headline}"
        if self.valid_until_ns is None or self.envelope is None:
            return f"{self.rung} has {self.verdict} at {self.level} only, which authorises no live rung"
        if self.valid_until_ns <= now_ns:
            return f"the {self.verdict} of {self.rung} (run {self.run_id}) expired at {iso(self.valid_until_ns)}"
        return ""


class Permission(PlanModel):
    """Whether a rung may start. `restricted_to` is set where the rung below was passed with reservations."""

    problem: str
    words: str
    restricted_to: Envelope | None = None


def standings(
    records: Iterable[DecisionRecord], now_ns: int, demotions: Sequence[Demotion] = ()
) -> list[Standing]:
    """Return where every bot stands, by bot, level and rung; `records` are in the order of the decision log."""
    groups: dict[tuple[str, Level, Rung], list[DecisionRecord]] = {}
    for record in records:
        key = (bot_of(record.subject).model_dump_json(), record.level, record.rung)
        groups.setdefault(key, []).append(record)
    found: list[Standing] = []
    for (bot, level, rung), group in sorted(groups.items(), key=lambda item: _order(item[0])):
        below = [s for s in found if s.bot.model_dump_json() == bot and s.level is level and s.rung is not rung]
        found.append(_standing(group, below, now_ns, demotions))
    return found


def may_start(
    plan: Plan, below: Plan | None, subject: Subject, records: Sequence[DecisionRecord], now_ns: int, *,
    own: Plan | None = None, demotions: Sequence[Demotion] = (), entered_ns: int | None = None,
) -> Permission:
    """Return whether this subject may start this rung live, by the live decisions on the rung below.

    `below` is the plan that ships for the rung below: a GO under easier rules of somebody's own does not count. `own`
    is the one that ships for this rung: it says whether windows follow each other, so that the last one carries the
    next, and whether the rung brings a strategy of its own.
    With `entered_ns` the answer is for a run that was let in then: what expires later does not end its window.
    """
    if subject.is_dirty:
        return _refused("the code has uncommitted changes: nobody can tell later what was judged")
    if below is None:
        return Permission(problem="", words=f"{plan.name} is the lowest rung")
    as_of_ns = now_ns if entered_ns is None else entered_ns
    fallen = last_demotion(demotions, bot_of(subject), plan.name, LIVE)
    if own is not None and own.tenure.is_rolling:
        window = _carried(plan, own, subject, records, now_ns, as_of_ns, demotions)
        if window is not None:
            return window
    climbed = plan if own is None or not _succeeds(plan, own, below) else below
    if climbed is not plan:  # its bot climbed with the strategy that ships below
        entry = {"strategy": below.entry.strategy, "strategy_params": below.entry.params}
        subject = subject.model_copy(update=entry)
    accepted = [shipped.digest for shipped in as_run_by(below, climbed, plan.sizing.impact_bps_max)]
    return _from_below(plan, below, subject, accepted, records, now_ns, as_of_ns, demotions, fallen)


def _succeeds(plan: Plan, own: Plan, below: Plan) -> bool:
    """Tell whether the plan runs the strategy that ships with its rung, and that follows the one that ships below."""
    ships = (own.entry.strategy, own.entry.params) == (plan.entry.strategy, plan.entry.params)
    return ships and (own.entry.succeeds, {}) == (below.entry.strategy, below.entry.params)


def last_demotion(demotions: Iterable[Demotion], bot: Bot, rung: Rung, level: Level) -> Demotion | None:
    """Return the latest demotion of a bot from a rung at a level; None if there was none."""
    mine = [d for d in demotions if (d.bot, d.rung, d.level) == (bot, rung, level)]
    return max(mine, key=lambda d: d.at_ns, default=None)


def as_run_by(below: Plan, plan: Plan, impact_bps_max: Decimal | None = None) -> tuple[Plan, Plan]:
    """Return the lower rung's plan as this bot may have run it: with its own strategy; and under MAX_IMPACT_BPS."""
    entry = below.entry.model_copy(update={"strategy": plan.entry.strategy, "params": plan.entry.params})
    own_limit = plan.sizing.impact_bps_max if impact_bps_max is None else impact_bps_max
    impact = min(below.sizing.impact_bps_max, own_limit)
    tight = below.sizing.model_copy(update={"impact_bps_max": impact})
    own = below.model_copy(update={"entry": entry})
    return own, own.model_copy(update={"sizing": tight})


def restricted(plan: Plan, envelope: Envelope) -> Plan:
    """Return the plan with every cap inside the envelope. It has another digest: it is another subject."""
    cap, total = envelope.notional_max, envelope.aggregate_notional_max
    products = tuple(p.model_copy(update={"max_notional": min(p.max_notional, cap)}) for p in plan.products)
    entry = plan.entry.model_copy(update={
        "notional_max": min(plan.entry.notional_max, cap), "notional_min": min(plan.entry.notional_min, cap),
    })
    risk_total = min(plan.risk.aggregate_notional_max, total)
    return plan.model_copy(update={
        "products": products, "entry": entry,
        "risk": plan.risk.model_copy(update={"aggregate_notional_max": risk_total}),
        "envelope": plan.envelope.model_copy(update={
            "notional_max": min(plan.envelope.notional_max, cap),
            "aggregate_notional_max": min(plan.envelope.aggregate_notional_max, total),
        }),
    })


def _standing(
    group: list[DecisionRecord], below: list[Standing], now_ns: int, demotions: Sequence[Demotion]
) -> Standing:
    last = group[-1]
    owed = _obligations(group, now_ns)
    missed = [o for o in owed if o.state is OwedState.MISSED]
    demoted_by = f"{missed[0].name} was due at {iso(missed[0].due_ns)} and was not shown" if missed else ""
    fallen = last_demotion(demotions, bot_of(last.subject), last.rung, last.level)
    shown_ns = max((from_iso(r.decided_at) for r in group if r.verdict is Verdict.GO), default=0)
    if fallen is not None and fallen.at_ns >= shown_ns:
        demoted_by = fallen.words
    from_below = next((f"{s.rung} below it was demoted" for s in below if s.demoted_by), "")
    given = last.authorises
    return Standing(
        bot=bot_of(last.subject), rung=last.rung, level=last.level, plan_digest=last.plan_digest,
        run_id=last.run_id, verdict=last.verdict, headline=last.headline, decided_ns=from_iso(last.decided_at),
        attempts=len({record.attempt_id for record in group}),
        valid_until_ns=None if given is None else from_iso(given.valid_until),
        envelope=None if given is None else given.envelope,
        obligations=owed, demoted_by=demoted_by or from_below,
    )


def _from_below(
    plan: Plan, below: Plan, subject: Subject, accepted: Sequence[str], records: Sequence[DecisionRecord],
    now_ns: int, as_of_ns: int, demotions: Sequence[Demotion], fallen: Demotion | None,
) -> Permission:
    live = [r for r in records if r.level is LIVE and r.rung is below.name]
    mine = [r for r in live if bot_of(r.subject) == bot_of(subject)]
    if not mine:
        return _refused(_nobody_like(subject, below.name, live))
    if not any(r.plan_digest in accepted for r in mine):
        was = mine[-1].plan_digest[:12]
        return _refused(f"{below.name} was decided under plan {was}, needed is {accepted[0][:12]}, which ships")
    standing = _live_standing(below.name, accepted, subject, records, now_ns, demotions)
    if problem := standing.problem(as_of_ns):
        return _refused(problem)
    if fallen is not None and standing.decided_ns <= fallen.at_ns:
        return _refused(f"{plan.name} was demoted: {fallen.words}; show {below.name} again first")
    return _allowed(plan, standing)


def _carried(
    plan: Plan, own: Plan, subject: Subject, records: Sequence[DecisionRecord], now_ns: int, as_of_ns: int,
    demotions: Sequence[Demotion],
) -> Permission | None:
    """Return the permission that the rung's last full window gives for the next one; None if it gives none."""
    accepted = [shipped.digest for shipped in as_run_by(own, plan)]
    mine = [r for r in records if r.level is LIVE and r.rung is own.name and bot_of(r.subject) == bot_of(subject)]
    if not any(r.plan_digest in accepted for r in mine):
        return None
    standing = _live_standing(own.name, accepted, subject, records, now_ns, demotions)
    return None if standing.problem(as_of_ns) else _allowed(plan, standing)


def _live_standing(
    rung: Rung, accepted: Sequence[str], subject: Subject, records: Sequence[DecisionRecord], now_ns: int,
    demotions: Sequence[Demotion],
) -> Standing:
    """Return where the bot stands on a rung, counting its decisions under the accepted plans only."""
    history = [r for r in records if r.rung is not rung or r.plan_digest in accepted]
    return next(
        s for s in standings(history, now_ns, demotions)
        if s.bot == bot_of(subject) and s.level is LIVE and s.rung is rung
    )


def _obligations(group: list[DecisionRecord], now_ns: int) -> tuple[Owed, ...]:
    """Return what the last CONDITIONAL since the last GO owes; a GO settles everything, also when it came late."""
    gos = [i for i, record in enumerate(group) if record.verdict is Verdict.GO]
    open_ones = [
        record for record in group[gos[-1] + 1 if gos else 0 :]
        if record.verdict is Verdict.CONDITIONAL and record.authorises is not None
    ]
    # A second CONDITIONAL does not put off what the first one owes.
    if open_ones:
        return _owed(open_ones[0], now_ns, None)
    kept = [r for r in group if r.verdict is Verdict.CONDITIONAL and r.authorises is not None]
    return _owed(kept[-1], now_ns, OwedState.MET) if kept else ()


def _owed(record: DecisionRecord, now_ns: int, settled: OwedState | None) -> tuple[Owed, ...]:
    promised = () if record.authorises is None else record.authorises.obligations
    decided_ns = from_iso(record.decided_at)
    dues = [(o, decided_ns + o.within_h * HOUR_NS) for o in promised]
    return tuple(
        Owed(
            name=o.name, due_ns=due_ns, because=o.because,
            state=settled or (OwedState.MISSED if due_ns <= now_ns else OwedState.DUE),
        )
        for o, due_ns in dues
    )


def _allowed(plan: Plan, standing: Standing) -> Permission:
    envelope = standing.envelope
    words = f"{standing.verdict} of {standing.rung}, run {standing.run_id}"
    if envelope is None or standing.verdict is Verdict.CONDITIONAL:
        return Permission(problem=_outside(plan, envelope), words=f"{words}, restricted", restricted_to=envelope)
    reach = envelope.aggregate_notional_max * plan.exposure_step_max
    if plan.risk.aggregate_notional_max > reach:
        return _refused(
            f"{plan.name} may hold ${plan.risk.aggregate_notional_max}, above ${reach}: "
            f"{plan.exposure_step_max} times what {standing.rung} was allowed"
        )
    return Permission(problem="", words=words)


def _outside(plan: Plan, envelope: Envelope | None) -> str:
    if envelope is None:
        return "the rung below authorised no envelope"
    if restricted(plan, envelope) == plan:
        return ""
    return (
        f"the rung below was passed with reservations: the plan is not inside its restricted envelope "
        f"(${envelope.notional_max} each, ${envelope.aggregate_notional_max} in all)"
    )


def _nobody_like(subject: Subject, rung: Rung, live: Sequence[DecisionRecord]) -> str:
    if not live:
        return f"{rung} was never decided at {LIVE}: run it live first"
    mine, other = bot_of(subject), bot_of(live[-1].subject)
    names = [name for name in Bot.model_fields if getattr(mine, name) != getattr(other, name)]
    changes = ", ".join(f"{n} was {_short(getattr(other, n))}, is {_short(getattr(mine, n))}" for n in names)
    return f"{rung} was decided for another subject: {changes}"


def _short(value: object) -> str:
    """Return a digest's head, and anything else as it is."""
    words = str(value)
    return words[:12] if len(words) >= 40 and set(words) <= set("0123456789abcdef") else words


def _refused(problem: str) -> Permission:
    return Permission(problem=problem, words=problem)


def _order(key: tuple[str, Level, Rung]) -> tuple[str, Level, int]:
    return key[0], key[1], RUNGS.index(key[2])
