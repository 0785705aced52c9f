"""The fee tier over a day: read again each hour, and each fill held against the tier that counted for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.desk_builders import Market, make_plan
from tests.evidence_runs import MAKER_RATE, TAKER_RATE, RunWriter, load_run, make_events, write_run
from trading_core import events as ev
from trading_core.commands import ReadFeeTier
from trading_core.gate.evidence import InvariantObservation
from trading_core.metrics.observe import observe
from trading_core.orders import Side


def test_the_fee_tier_is_read_at_each_full_hour() -> None:
    market = Market(make_plan(protocol={"snapshot_every_s": 100_000, "save_every_s": 100_000}))
    market.tick(0)
    read_ns = []
    for _ in range(3 * 360):
        decisions = market.tick(10)
        read_ns += [market.now_ns] * decisions.commands.count(ReadFeeTier())
    assert len(read_ns) == 3
    assert all(at % (3_600 * 10**9) < 10 * 10**9 for at in read_ns)


@pytest.mark.parametrize(("is_cheaper_before_the_order", "broken"), [(False, 0), (True, 1)])
def test_a_fill_pays_the_tier_of_its_order_or_of_its_own_moment(
    tmp_path: Path, is_cheaper_before_the_order: bool, broken: int
) -> None:
    def change(run: RunWriter) -> None:
        cheaper = ev.FeeTierRead(
            ts_ns=run.now_ns, tier="Intro 2", maker_rate=MAKER_RATE / 2, taker_rate=TAKER_RATE / 2
        )
        if is_cheaper_before_the_order:
            run.add(cheaper)
        order = run.order("post_only_pulse")
        if not is_cheaper_before_the_order:
            run.add(cheaper)
        run.fill(order, Side.BUY)  # at the old rate

    context = write_run(tmp_path)
    events = make_events(context.plan, changed=change)
    write_run(tmp_path, events)
    seen = next(o for o in observe(context.plan, load_run(context), events, None) if o.metric == "fee_equals_tier")
    assert isinstance(seen, InvariantObservation)
    assert len(seen.violations) == broken
