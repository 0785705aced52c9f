"""Checks as a graph: what depends on a failure is not evaluated, and never a pass."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trading_core.errors import GreenlightError, VenueUnavailable
from trading_core.gate.outcomes import Reason
from trading_core.stages.checklist import ChecklistResult, CheckSpec, Seen, failed, holds, passed, run_checks
from trading_core.stages.result import CheckStatus

NOW_NS = 1_000


def spec(name: str, seen: Seen | Exception, after: tuple[str, ...] = ()) -> CheckSpec:
    def look() -> Seen:
        if isinstance(seen, Exception):
            raise seen
        return seen

    return CheckSpec(name=name, needed=f"{name} needed", remedy=f"mend {name}", look=look, after=after)


def run(*specs: CheckSpec) -> ChecklistResult:
    return run_checks(specs, lambda: NOW_NS)


def statuses(result: ChecklistResult) -> list[str]:
    return [c.status.value for c in result.checks]


def test_what_depends_on_a_failure_is_not_evaluated_through_the_whole_chain() -> None:
    result = run(
        spec("a", failed("broken")), spec("b", passed("fine"), ("a",)), spec("c", passed("fine"), ("b",)),
        spec("d", passed("fine")),
    )
    assert statuses(result) == ["FAILED", "NOT_EVALUATED", "NOT_EVALUATED", "PASSED"]
    assert [c.blocked_by for c in result.checks] == ["", "a", "b", ""]
    assert not result.has_passed


def test_the_first_blocker_is_named_and_its_look_is_never_taken() -> None:
    looked: list[str] = []

    def look() -> Seen:
        looked.append("c")
        return passed("fine")

    late = CheckSpec(name="c", needed="", remedy="", look=look, after=("a", "b"))
    result = run(spec("a", passed("fine")), spec("b", failed("broken")), late)
    assert result.checks[2].blocked_by == "b"
    assert looked == []


def test_a_warning_does_not_block() -> None:
    result = run(spec("a", Seen(CheckStatus.WARNED, "grey")), spec("b", passed("fine"), ("a",)))
    assert statuses(result) == ["WARNED", "PASSED"]
    assert result.has_passed
    assert result.summary == "2 checks passed, warned: a"


def test_a_failure_that_we_foresee_is_a_failed_check_and_a_bug_rises() -> None:
    result = run(spec("a", VenueUnavailable("no answer")))
    assert (statuses(result), result.checks[0].observed) == (["FAILED"], "VenueUnavailable: no answer")
    with pytest.raises(ZeroDivisionError):
        run(spec("a", ZeroDivisionError("bug")))
    assert issubclass(VenueUnavailable, GreenlightError)


@pytest.mark.parametrize(
    ("seen", "has_remedy"),
    [(passed("x"), False), (failed("x"), True), (Seen(CheckStatus.WARNED, "x"), True)],
)
def test_a_remedy_is_given_where_one_is_needed(seen: Seen, has_remedy: bool) -> None:
    assert run(spec("a", seen)).checks[0].remedy == ("mend a" if has_remedy else "")


def test_the_summary_names_the_first_failure_its_figure_and_its_remedy() -> None:
    result = run(spec("a", passed("x")), spec("b", failed("3.1 s off")), spec("c", failed("other")))
    assert result.summary == "b: 3.1 s off (needed: b needed). mend b"


def test_each_check_gives_one_observation_and_no_look_is_no_value() -> None:
    result = run(
        spec("a", Seen(CheckStatus.WARNED, "3 s", Decimal(3), "s")), spec("b", failed("x")),
        spec("c", passed("x"), ("b",)),
    )
    assert [(o.metric, o.holds, o.value, o.unit, o.problem) for o in result.observations] == [
        ("a", True, Decimal(3), "s", None),
        ("b", False, None, "", None),
        ("c", None, None, "", Reason.NOT_EVALUATED),
    ]
    assert {o.measured_ns for o in result.observations} == {NOW_NS}


def test_no_check_at_all_is_no_failure_of_a_check() -> None:
    assert run().summary == "0 checks passed"


def test_holds_is_a_pass_or_a_failure() -> None:
    assert (holds(True, "x"), holds(False, "x")) == (passed("x"), failed("x"))
