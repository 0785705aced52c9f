"""The false-GO rate of the whole gate: a bot at the boundary, run again and extended until it is GO or refused.

Each subject is judged by `decide` with every criterion of the plan; only its orders are drawn by chance. What earlier
attempts showed comes from the attempt ledger's own sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest

from tests.unit.gate_fixtures import make_input, with_observation
from trading_core.gate.attempts import Attempt, CriterionTally, attempt_of, prior_of
from trading_core.gate.decide import GateInput, decide
from trading_core.gate.evidence import Tally
from trading_core.gate.outcomes import Disposition, Verdict
from trading_core.plan import Level
from trading_core.plan_files import find_plan

SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD")
BOUNDARY = 0.95  # the plan wants more than this share accepted
ATTEMPTS_MAX = 6
ORDERS_OF_AN_ATTEMPT = (40, 160)  # drawn evenly: a re-run may also be an extension
FALSE_GO_MAX = 0.05


@dataclass(frozen=True)
class Endings:
    """How the subjects ended."""

    go: int
    refused: int
    unproven: int

    @property
    def share_go(self) -> float:
        return self.go / (self.go + self.refused + self.unproven)


def given() -> GateInput:
    """Return a stage 3 run that is GO but for its orders."""
    return make_input(find_plan("stage3"))


def drawn(random: Random, acceptance: float, p_symbol: dict[str, float]) -> dict[str, Tally]:
    """Return what the orders of one attempt came to, by symbol."""
    trials = random.randint(*ORDERS_OF_AN_ATTEMPT) // len(SYMBOLS)
    tallies = {}
    for symbol in SYMBOLS:
        good = sum(random.random() < p_symbol.get(symbol, acceptance) for _ in range(trials))
        tallies[symbol] = Tally(successes=good, failures=trials - good)
    return tallies


def climb(
    base: GateInput, random: Random, acceptance: float, p_symbol: dict[str, float], is_killed: bool
) -> Verdict | None:
    """Run one subject until it is GO or REJECTed, at most ATTEMPTS_MAX times; None if neither came.

    `is_killed`: somebody looks at each attempt before its decision, and kills it unless it would be promoted.
    """
    ledger: list[Attempt] = []
    killed: dict[str, dict[str, CriterionTally]] = {}
    subject = base.subject.digest
    for n in range(ATTEMPTS_MAX):
        by_symbol = drawn(random, acceptance, p_symbol)
        pooled = Tally(
            successes=sum(t.successes for t in by_symbol.values()), failures=sum(t.failures for t in by_symbol.values())
        )
        run = with_observation(base, "order_acceptance", pooled=pooled, by_symbol=by_symbol)
        attempt_id = f"attempt-{n}"
        prior = prior_of(ledger, subject, Level.L0, attempt_id, lambda attempt: killed[attempt.attempt_id])
        record = decide(run.model_copy(update={"attempts": prior, "attempt_id": attempt_id}))
        if record.verdict is not Verdict.NO_GO:
            return record.verdict
        attempt = attempt_of(
            record.criteria, attempt_id=attempt_id, run_id="r", subject_digest=subject, level=Level.L0, ts_ns=n
        )
        if is_killed:
            killed[attempt_id] = attempt.tallies
            ledger.append(attempt.model_copy(update={"tallies": {}, "is_open": True}))
        elif record.disposition is Disposition.REJECT:
            return Verdict.NO_GO
        else:
            ledger.append(attempt)
    return None


def simulate(
    subjects: int, acceptance: float, seed: int, p_symbol: dict[str, float] | None = None, is_killed: bool = False
) -> Endings:
    """Return how so many subjects of the same true acceptance end."""
    random, base = Random(seed), given()
    ended = [climb(base, random, acceptance, p_symbol or {}, is_killed) for _ in range(subjects)]
    return Endings(
        go=sum(v in (Verdict.GO, Verdict.CONDITIONAL) for v in ended), refused=ended.count(Verdict.NO_GO),
        unproven=ended.count(None),
    )


def test_a_bot_at_the_boundary_is_rarely_promoted_however_often_it_is_run_again() -> None:
    assert simulate(subjects=80, acceptance=BOUNDARY, seed=20261121).share_go <= FALSE_GO_MAX


def test_a_bot_that_is_killed_whenever_it_looks_bad_does_not_improve_its_odds() -> None:
    assert simulate(subjects=60, acceptance=BOUNDARY, seed=20261121, is_killed=True).share_go <= FALSE_GO_MAX


def test_a_good_bot_is_promoted_and_a_bad_one_refused() -> None:
    assert simulate(subjects=30, acceptance=0.995, seed=1).share_go >= 0.9
    assert simulate(subjects=30, acceptance=0.80, seed=2).refused == 30


def test_one_bad_symbol_among_good_ones_is_not_hidden_by_the_pool() -> None:
    ended = simulate(subjects=30, acceptance=1.0, seed=3, p_symbol={"XRP-USD": 0.80})
    assert ended.go <= 1


@pytest.mark.soak
def test_of_ten_thousand_bots_at_the_boundary_at_most_five_in_a_hundred_are_promoted() -> None:
    ended = simulate(subjects=10_000, acceptance=BOUNDARY, seed=20261122)
    assert ended.share_go <= FALSE_GO_MAX, ended


@pytest.mark.soak
@pytest.mark.parametrize(("acceptance", "at_least"), [(0.97, 0.3), (0.98, 0.75), (0.99, 0.95), (0.999, 0.99)])
def test_the_power_to_promote_grows_with_the_distance_from_the_boundary(acceptance: float, at_least: float) -> None:
    ended = simulate(subjects=300, acceptance=acceptance, seed=20261123)
    assert ended.share_go >= at_least, ended
