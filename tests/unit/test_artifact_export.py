"""From events to artifacts and from artifacts to observations: the whole run passes, each fault is named."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from tests.evidence_runs import (
    BTC,
    CONTRACT_SIZES,
    PLAN_FILE,
    START_NS,
    Events,
    RunWriter,
    load_run,
    make_events,
    without,
    write_run,
)
from trading_core import events as ev
from trading_core.artifact_export import export
from trading_core.artifacts import AnswerKind, ArtifactName, to_json
from trading_core.clock import NS
from trading_core.gate.criteria import evaluate
from trading_core.gate.evidence import ComparisonObservation
from trading_core.gate.outcomes import Outcome, Reason
from trading_core.gate.result import CriterionResult, GateContext
from trading_core.metrics.observe import METRICS, observe
from trading_core.orders import OrderStatus, Purpose, Side
from trading_core.plan import load_plan
from trading_core.run import RunContext


def judge(context: RunContext, events: Events, chain_error: str | None = None) -> dict[str, CriterionResult]:
    """Return the criteria that artifacts answer, judged by the real gate."""
    seen = {o.metric: o for o in observe(context.plan, load_run(context), events, chain_error)}
    gate = GateContext(subject_digest=context.subject_digest, level=context.level, now_ns=events[-1][1].ts_ns)
    return {c.metric: evaluate(c, seen.get(c.metric), gate) for c in context.plan.criteria if c.metric in METRICS}


def judge_changed(folder: Path, change: Callable[[RunWriter], None]) -> dict[str, CriterionResult]:
    """Return the judgement of a run that was spoiled shortly before its end."""
    context = write_run(folder)
    events = make_events(context.plan, changed=change)
    write_run(folder, events)
    return judge(context, events)


def test_a_whole_run_passes_every_criterion_that_artifacts_answer(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    results = judge(context, make_events(context.plan))
    not_passed = {
        m: (r.outcome, r.reason, r.detail) for m, r in results.items()
        if r.outcome is not Outcome.PASS and r.tier != "nice" and m != "margin_utilization"
    }
    assert not_passed == {}
    assert results["margin_utilization"].outcome is Outcome.NOT_APPLICABLE
    assert results["order_rejected_share"].n == 85


def test_equal_events_give_equal_bytes(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    one, two = (export(context, make_events(context.plan), CONTRACT_SIZES) for _ in range(2))
    assert [to_json(a) for a in one.named().values()] == [to_json(a) for a in two.named().values()]


def test_probes_are_counted_apart_from_acceptance(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    counts = export(context, make_events(context.plan, rejections=2), {}).rejection_breakdown
    assert (counts.totals.sent, counts.totals.accepted, counts.totals.rejected) == (85, 83, 2)
    assert counts.probes[Purpose.PROBE_CROSSING].rejected == 1
    assert {(c.by, c.reason, c.is_probe): c.count for c in counts.by_reason} == {
        ("venue", "INSUFFICIENT_FUND", False): 2,
        ("us", "REDUCE_ONLY", True): 1,
        ("venue", "INVALID_LIMIT_PRICE_POST_ONLY", True): 1,
    }


def test_a_trace_names_the_event_of_each_of_its_steps(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    events = dict(make_events(context.plan))
    traces = export(context, events.items(), {}).execution_logs.rows
    probe = next(t for t in traces if t.purpose is Purpose.PROBE_OVERSIZE)
    assert probe.status is OrderStatus.CANCELLED
    steps = (probe.signal, probe.sizing, probe.submit, probe.answers[0], probe.cancels[0])
    kinds = [type(events[step.seq]) for step in steps if step is not None]
    assert kinds == [ev.SignalRaised, ev.SizedDown, ev.OrderSubmitted, ev.OrderAccepted, ev.CancelRequested]


def test_an_order_whose_answer_was_lost_counts_once_the_venue_reports_it(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    run = RunWriter(context.plan)
    run.report(run.order("s", lost=True), OrderStatus.OPEN)
    run.order("s", lost=True)
    artifacts = export(context, run.events, {})
    totals = artifacts.rejection_breakdown.totals
    assert (totals.sent, totals.accepted, totals.unresolved) == (2, 1, 1)
    assert [t.answers[0].kind for t in artifacts.execution_logs.rows] == [AnswerKind.LOST] * 2
    assert [t.retries for t in artifacts.execution_logs.rows] == [1, 1]


def test_a_fill_of_an_unknown_order_is_an_orphan(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    events = make_events(context.plan)
    events = [row for row in events if not (isinstance(row[1], ev.OrderAccepted | ev.OrderReported))]
    logs = export(context, events, {}).execution_logs
    assert (len(logs.orphan_fills), sum(len(t.fills) for t in logs.rows)) == (4, 0)


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        (ArtifactName.RECONCILIATION_HISTORY, lambda p: p.unlink(), Reason.MISSING),
        (ArtifactName.RECONCILIATION_HISTORY, lambda p: p.write_bytes(b""), Reason.EMPTY),
        (ArtifactName.RECONCILIATION_HISTORY, lambda p: p.write_bytes(p.read_bytes().replace(b"9999", b"9998", 1)),
         Reason.HASH_MISMATCH),
    ],
)
def test_a_damaged_artifact_is_refused_with_its_reason(
    tmp_path: Path, name: ArtifactName, damage: Callable[[Path], None], reason: Reason
) -> None:
    context = write_run(tmp_path)
    damage(tmp_path / f"{name}.json")
    results = judge(context, make_events(context.plan))
    for metric in ("reconciliation", "equity_identity", "daily_loss", "snapshots_complete", "artifacts_complete"):
        assert results[metric].reason is reason, metric


def test_an_artifact_of_another_subject_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, subject_digest="cd" * 32)
    context = write_run(tmp_path / "other")
    results = judge(context.model_copy(update={"run_dir": tmp_path}), make_events(context.plan))
    assert {r.reason for m, r in results.items() if m != "event_chain"} == {Reason.SUBJECT_MISMATCH}


def test_an_artifact_of_another_run_is_refused(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    results = judge(context.model_copy(update={"run_id": "run-2"}), make_events(context.plan))
    assert results["order_rejected_share"].reason is Reason.SUBJECT_MISMATCH


def test_without_any_event_nothing_passes(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    write_run(tmp_path, [(1, ev.ClockTicked(ts_ns=1))])
    results = judge(context, [(1, ev.ClockTicked(ts_ns=1))])
    assert {m for m, r in results.items() if r.outcome is Outcome.PASS} == {"event_chain"}


def test_half_a_run_does_not_show_its_snapshots(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    events = [row for row in make_events(context.plan) if row[1].ts_ns < START_NS + 450 * NS]
    write_run(tmp_path, events)
    results = judge(context, events)
    assert results["snapshots_complete"].outcome is Outcome.INCONCLUSIVE
    assert results["rate_limit_errors"].outcome is Outcome.INCONCLUSIVE
    assert results["order_rejected_share"].outcome is not Outcome.FAIL


SPOILERS: list[tuple[str, str, Callable[[RunWriter], object]]] = [
    ("reconciliation", "drift", lambda r: r.snapshot(drift=Decimal("0.02"))),
    ("reconciliation", "BTC differ", lambda r: r.snapshot(expected_balances={"BTC": Decimal(1), "USD": r.cash})),
    ("equity_identity", "off", lambda r: r.snapshot(equity=r.cash + Decimal("0.02"))),
    ("daily_loss", "loss", lambda r: r.snapshot(equity=Decimal("9899.99"))),
    ("gtd_never_sent", "v-x", lambda r: r.report("x", OrderStatus.OPEN, time_in_force="GTD")),
    ("rate_limit_errors", "1 times", lambda r: _fail(r, "RateLimited")),
    ("unexpected_exceptions", "1 times", lambda r: _fail(r, "SchemaDrift")),
    ("kill_switch_drill", "not seen", lambda r: r.order("late entry")),
    ("crossing_rejected", "not seen", lambda r: r.order("crossing_rejected", purpose=Purpose.PROBE_CROSSING)),
    ("fee_equals_tier", "off", lambda r: _fill_with_wrong_fee(r)),
    ("margin_events", "1 times", lambda r: r.add(ev.AccountRead(
        ts_ns=r.now_ns, balances={}, positions={}, margin_used=Decimal(1), margin_available=Decimal(0),
        margin_window="INTRADAY", open_orders=0, margin_level="LIQUIDATION"))),
    ("retries_per_order", "retries", lambda r: _lose_thrice(r)),
    ("flat_at_end", "flat_at_end done", lambda r: r.step("flat_at_end", is_shown=False)),
]


@pytest.mark.parametrize(("metric", "words", "spoil"), SPOILERS, ids=[f"{m}-{w}" for m, w, _ in SPOILERS])
def test_one_fault_in_the_events_fails_its_criterion(
    tmp_path: Path, metric: str, words: str, spoil: Callable[[RunWriter], None]
) -> None:
    if metric == "flat_at_end":
        context = write_run(tmp_path)
        run_events = make_events(context.plan)
        seq, last = run_events[-1]
        assert isinstance(last, ev.StepEnded)
        run_events[-1] = (seq, ev.StepEnded(ts_ns=last.ts_ns, step=last.step, is_shown=False, detail=last.detail))
        result = judge(write_run(tmp_path, run_events), run_events)[metric]
    else:
        result = judge_changed(tmp_path, spoil)[metric]
    assert (result.outcome, words in result.detail) == (Outcome.FAIL, True), result.detail


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        ("sized_down", ev.SizedDown), ("auto_cancel", ev.CancelRequested), ("post_only_placed", ev.OrderAccepted),
        ("crossing_rejected", ev.OrderRejected), ("kill_switch_drill", ev.OrderDenied),
        ("entry_exit_pnl", ev.FillBooked),
    ],
)
def test_a_step_that_claims_an_effect_without_raw_events_is_not_believed(
    tmp_path: Path, metric: str, kind: type[ev.Event]
) -> None:
    context = write_run(tmp_path)
    events = without(make_events(context.plan), kind)
    write_run(tmp_path, events)
    assert judge(context, events)[metric].outcome is not Outcome.PASS


@pytest.mark.parametrize(
    "metric",
    ["sized_down", "auto_cancel", "post_only_placed", "crossing_rejected", "kill_switch_drill", "entry_exit_pnl"],
)
def test_raw_events_without_the_step_s_word_are_not_enough(tmp_path: Path, metric: str) -> None:
    context = write_run(tmp_path)
    events = without(make_events(context.plan), ev.StepEnded)
    write_run(tmp_path, events)
    assert judge(context, events)[metric].outcome is not Outcome.PASS


def test_a_feed_that_stands_still_is_not_data(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    events: Events = [
        (seq, msgspec.structs.replace(e, marks={BTC: Decimal(5)}))
        if isinstance(e, ev.SnapshotTaken) else (seq, e) for seq, e in make_events(context.plan)
    ]
    write_run(tmp_path, events)
    result = judge(context, events)["feed_moves"]
    assert (result.outcome, result.reason) == (Outcome.FAIL, Reason.INVARIANT_BROKEN)


def test_a_broken_chain_is_named(tmp_path: Path) -> None:
    context = write_run(tmp_path)
    result = judge(context, make_events(context.plan), "event 7: its hash does not match")["event_chain"]
    assert (result.outcome, "event 7" in result.detail) == (Outcome.FAIL, True)


def test_stale_minutes_and_an_outage_are_bad_slices(tmp_path: Path) -> None:
    context = write_run(tmp_path)

    def spoil(run: RunWriter) -> None:
        run.add(ev.StreamChanged(ts_ns=run.now_ns, state=ev.StreamState.DISCONNECTED))
        run.wait(200)
        run.snapshot(staleness_s={BTC: Decimal(11)})

    events = make_events(context.plan, changed=spoil)
    write_run(tmp_path, events)
    seen = next(o for o in observe(context.plan, load_run(context), events) if o.metric == "websocket_staleness_s")
    assert seen.kind == "slices"
    assert seen.bad >= 3
    assert seen.longest_gap_s >= 180


def test_metrics_against_earlier_runs_carry_their_own_figure(tmp_path: Path) -> None:
    stage4 = load_plan(PLAN_FILE.parent / "stage4.toml")
    context = write_run(tmp_path)
    seen = {o.metric: o for o in observe(stage4, load_run(context), make_events(context.plan))}
    latency, slippage = seen["latency_vs_baseline"], seen["slippage_vs_baseline"]
    assert isinstance(latency, ComparisonObservation)
    assert isinstance(slippage, ComparisonObservation)
    assert (latency.value, slippage.value) == (Decimal("41.5"), Decimal(0))
    assert seen["funding_accrued"].problem is Reason.PRECONDITION_FALSE
    assert seen["cross_asset_correlation"].problem is Reason.PRECONDITION_FALSE


def _fill_with_wrong_fee(run: RunWriter) -> None:
    run.fill(run.order("s"), Side.BUY)
    seq, event = run.events[-1]
    assert isinstance(event, ev.FillBooked)
    fill = event.fill
    wrong = type(fill)(**{f: getattr(fill, f) for f in fill.__struct_fields__} | {"commission": Decimal("0.2")})
    run.events[-1] = (seq, ev.FillBooked(ts_ns=event.ts_ns, fill=wrong))


def _fail(run: RunWriter, kind: str) -> None:
    run.add(ev.VenueFailed(ts_ns=run.now_ns, kind=kind, detail=""))


def _lose_thrice(run: RunWriter) -> None:
    name = run.order("s", lost=True)
    for _ in range(2):
        run.add(ev.OrderLost(ts_ns=run.now_ns, client_order_id=name, cause="again"))
