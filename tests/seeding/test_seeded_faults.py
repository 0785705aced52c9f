"""Rules that guard money, taken away one at a time: the tests must notice. A few here, all of them in `make soak`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.seeding.all_faults import all_faults
from tests.seeding.catalogue import BY_HAND
from tests.seeding.faults import Fault, StaleFault, swap, without_reason
from tests.seeding.runner import ROOT
from trading_core.risk import DenialReason

SAMPLE = ("order_manager: a fill is booked once per entry",)


def run(*names: str, timeout_s: int) -> subprocess.CompletedProcess[str]:
    # In a process of its own: it forks, and must have no threads.
    command = [sys.executable, "-m", "tests.seeding", *names]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s)


def test_a_sample_of_the_faults_is_noticed() -> None:
    ended = run(*SAMPLE, timeout_s=280)
    assert (ended.returncode, ended.stdout.count(": killed")) == (0, len(SAMPLE)), ended.stdout + ended.stderr


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_every_fault_is_noticed() -> None:
    ended = run(timeout_s=7_000)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_each_reason_to_refuse_has_a_fault_and_names_are_not_used_twice() -> None:
    names = [fault.name for fault in all_faults()]
    assert {f"risk: never {reason}" for reason in DenialReason} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("fault", all_faults(), ids=repr)
def test_each_fault_still_changes_the_file_that_it_names(fault: Fault) -> None:
    source = (ROOT / fault.file).read_text("utf-8")
    changed = fault.change(source)
    compile(changed, fault.file, "exec")
    assert changed != source


def test_a_fault_whose_text_is_gone_says_so() -> None:
    with pytest.raises(StaleFault, match="stands there 0 times"):
        swap("ledger", "nothing", "no such text", "", "unit/test_ledger").change("x = 1\n")
    with pytest.raises(StaleFault, match="no rule refuses with NOBODY"):
        without_reason("NOBODY").change("x = 1\n")


def test_no_fault_run_is_no_proof() -> None:
    assert run("no fault has this name", timeout_s=60).returncode == 1


def test_each_fault_names_tests_that_are_there() -> None:
    assert [test for fault in BY_HAND for test in fault.tests if not (ROOT / test).is_file()] == []
