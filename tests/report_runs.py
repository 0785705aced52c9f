"""Made-up run directories for the report: one that ends GO, and the ways in which a run ends otherwise."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from pathlib import Path

from checks.findings import CheckReport, EvidenceRow, make_finding
from tests.report_artifacts import START_NS, Day, make_artifacts
from trading_core.artifacts import AnswerKind, ArtifactSet, to_json
from trading_core.clock import MINUTE_NS, NS
from trading_core.gate.decide import GateInput, decide
from trading_core.gate.evidence import (
    CountObservation,
    EvidenceRef,
    ExercisedObservation,
    InvariantObservation,
    Observation,
    RateObservation,
    ReadinessObservation,
    Tally,
)
from trading_core.gate.fold import GuardrailStatus, StageSummary
from trading_core.gate.outcomes import Outcome, Reason
from trading_core.gate.record import statement_bytes
from trading_core.gate.subject import Subject
from trading_core.plan import Level, Plan, Stage, parse_plan
from trading_core.stages.result import Check, CheckStatus, StageResult, StageStatus
from trading_core.storage.artifact_store import ArtifactMeta, ArtifactStore
from trading_core.storage.chain import Head

SENTENCES = {
    Stage.PREFLIGHT: "9 of 9 checks passed",
    Stage.CAPABILITY_PROBE: "BTC-PERP is BIP-20DEC30-CDE; 4 order types previewed",
    Stage.DRY_RUN_PULSE: "600 books seen, a stale one blocked the entry",
    Stage.LIVE_MICRO_TEST: "six steps shown, flat at the end",
    Stage.ARTIFACT_ANALYSIS: "seven artifacts, 31 checks passed",
}


def make_plan(**changes: object) -> Plan:
    """Return a small plan with one criterion of most kinds."""
    return parse_plan({**_PLAN, **changes}, "test")


def write_go_run(folder: Path, day: Day | None = None, plan: Plan | None = None) -> Path:
    """Write a run in which every stage ran, and the decision that its own figures lead to."""
    day, plan = day or Day(), plan or make_plan()
    artifacts = make_artifacts(day, plan=plan.name)
    subject = make_subject(plan, day.symbols)
    end = START_NS + day.minutes * MINUTE_NS
    store = ArtifactStore(folder, lambda: end)
    refs = {
        name.value: _write(store, name, to_json(a), subject, len(a.rows), end)
        for name, a in artifacts.named().items()
    }
    observations = observe(artifacts, refs)
    stages = [make_stage(stage, StageStatus.PASSED, n) for n, stage in enumerate(list(Stage)[:5])]
    _write_rest(store, plan, subject, stages, observations, refs, end)
    return folder


def write_checks(folder: Path, *, is_drift_broken: bool) -> None:
    """Write checks.json with one check that passed, one that did or did not, and one that nobody evaluated."""
    passed = make_finding(
        "liquidity.rows", "Liquidity has rows", Outcome.PASS, Reason.INVARIANT_HOLDS, "20 rows", rows_checked=20
    )
    row = EvidenceRow(row=4, seq=1793, values={"drift": "0.02", "symbol": "<script>alert(2)</script>"})
    drift = make_finding(
        "reconciliation_history.drift", "Drift within a cent", Outcome.FAIL, Reason.INVARIANT_BROKEN, "worst 0.02",
        rows_checked=21, rows_broken=4, evidence=(row,),
    )
    found = (passed, drift) if is_drift_broken else (passed,)
    names = (*(f.criterion for f in found), "cross.fills_known")
    report = CheckReport(engine="test", expected=names, findings=found)
    (folder / "checks.json").write_text(report.model_dump_json(), "utf-8")


def write_preflight_failure(folder: Path, plan: Plan | None = None) -> Path:
    """Write a run that stopped at preflight: no artifact at all."""
    plan = plan or make_plan()
    subject = make_subject(plan, ("BTC-USD",))
    store = ArtifactStore(folder, lambda: START_NS)
    checks = (
        Check(name="credentials", status=CheckStatus.PASSED, observed="key file, ES256", needed="a key of either type"),
        Check(
            name="clock", status=CheckStatus.FAILED, observed="10.2 s ahead of the venue",
            needed="under 2 s, at most 5 s", remedy="Synchronise the clock with NTP, then run again.",
        ),
        Check(
            name="signing", status=CheckStatus.NOT_EVALUATED, observed="not evaluated", needed="a token is accepted",
            blocked_by="clock",
        ),
    )
    failed = make_stage(Stage.PREFLIGHT, StageStatus.FAILED, 0).model_copy(
        update={"summary": "clock is 10.2 s off (limit 5 s)", "checks": checks}
    )
    seen = ReadinessObservation(metric="clock_offset_s", measured_ns=START_NS, value=Decimal("10.2"), unit="s")
    _write_rest(store, plan, subject, [failed], [seen], {}, START_NS + 3 * NS)
    return folder


def make_subject(plan: Plan, symbols: tuple[str, ...]) -> Subject:
    return Subject(
        git_commit="8386cea0" * 5, is_dirty=False, lock_digest="1c" * 32, plan_digest=plan.digest,
        strategy="post_only_pulse", venue="local", account_fingerprint="acct-1f2e3d", products=symbols,
    )


def make_stage(stage: Stage, status: StageStatus, number: int) -> StageResult:
    start = START_NS + number * MINUTE_NS
    checks = (Check(name="example", status=CheckStatus.PASSED, observed="seen", needed="seen"),)
    return StageResult(
        stage=stage, status=status, started_ns=start, ended_ns=start + (14 + number) * NS,
        summary=SENTENCES[stage], checks=checks,
    )


def observe(artifacts: ArtifactSet, refs: dict[str, EvidenceRef]) -> list[Observation]:
    """Return what the artifacts show, in the shapes that the gate takes."""
    books, logs = artifacts.reconciliation_history.rows, artifacts.execution_logs.rows
    broken = tuple(f"{r.seq}: drift {r.drift}" for r in books if abs(r.drift) > Decimal("0.01"))
    answered = [(t.product_id, t.answer) for t in logs if t.answer is not None and not t.is_probe]
    tallies = {
        symbol: _tally([a.kind is AnswerKind.ACCEPTED for s, a in answered if s == symbol]) for symbol, _ in answered
    }
    quick = _tally([a.latency_ms is not None and a.latency_ms < 500 for _, a in answered])
    execution, reconciliation = (refs["execution_logs"],), (refs["reconciliation_history"],)
    return [
        ReadinessObservation(metric="clock_offset_s", measured_ns=START_NS, value=Decimal("0.04"), unit="s"),
        InvariantObservation(
            metric="reconciliation", refs=reconciliation, expected=len(books), observed=len(books), violations=broken,
            final_holds=not broken, worst=max(abs(r.drift) for r in books), event_seqs=(books[-1].seq,),
        ),
        RateObservation(metric="order_acceptance", refs=execution, pooled=_sum(tallies), by_symbol=tallies),
        RateObservation(
            metric="place_order_latency_ms", refs=execution, pooled=quick,
            worst=max(a.latency_ms or Decimal(0) for _, a in answered),
        ),
        CountObservation(metric="margin_events", refs=(refs["margin_snapshots"],), count=0, window_s=1200),
        ExercisedObservation(
            metric="sized_down", refs=(refs["sized_down_events"],), was_provoked=True, was_seen=True,
            event_seqs=tuple(r.seq for r in artifacts.sized_down_events.rows),
        ),
        ExercisedObservation(
            metric="kill_switch_drill", refs=(refs["timeline"],), was_provoked=True, was_seen=True,
            event_seqs=tuple(r.seq for r in artifacts.timeline.rows if r.name == "kill_switch_drill"),
        ),
    ]


def _tally(successes: list[bool]) -> Tally:
    return Tally(successes=sum(successes), failures=len(successes) - sum(successes))


def _sum(tallies: dict[str, Tally]) -> Tally:
    return Tally(
        successes=sum(t.successes for t in tallies.values()), failures=sum(t.failures for t in tallies.values())
    )


def _write(
    store: ArtifactStore, name: str, payload: object, subject: Subject, rows: int, end: int
) -> EvidenceRef:
    meta = ArtifactMeta(
        rows=rows, producer="test", subject_digest=subject.digest, level=Level.L0, window_start_ns=START_NS,
        window_end_ns=end, chain_head=Head(1200, "ab" * 32),
    )
    return store.write(name, payload, meta).ref()


def _write_rest(
    store: ArtifactStore,
    plan: Plan,
    subject: Subject,
    stages: list[StageResult],
    observations: list[Observation],
    refs: dict[str, EvidenceRef],
    end: int,
) -> None:
    _write(store, "plan", plan, subject, 1, end)
    _write(store, "subject", subject, subject, 1, end)
    for stage in stages:
        _write(store, f"stages/{stage.stage}", stage, subject, 1, end)
    record = decide(
        GateInput(
            run_id="phase2-20260302T000000Z-7", attempt_id="1", plan=plan, subject=subject, level=Level.L0, now_ns=end,
            run_started_ns=START_NS, trading_started_ns=START_NS + MINUTE_NS, trading_window_s=1200,
            observations=tuple(observations),
            stages=tuple(StageSummary(stage=s.stage, status=s.status, summary=s.summary) for s in stages),
            guardrails=tuple(
                GuardrailStatus(
                    name=g.name, is_latched=False, evaluations=240, longest_gap_s=Decimal(5), worst=Decimal(0)
                )
                for g in plan.guardrails
            ),
            is_chain_verified=True, chain_head=hashlib.sha256(b"head").hexdigest(),
            evidence={name: ref.sha256 for name, ref in refs.items()},
        )
    )
    _write(store, "decision", statement_bytes(record), subject, 1, end)


def _criterion(name: str, title: str, tier: str, kind: str, stage: str, **bounds: object) -> dict[str, object]:
    because = "the specification asks for it"
    return {"name": name, "title": title, "tier": tier, "kind": kind, "stage": stage, "because": because, **bounds}


_LIVE, _ANALYSIS = "live_micro_test", "artifact_analysis"
_PLAN: dict[str, object] = {
    "name": "phase2",
    "title": "Phase 2 demo",
    "description": "One product, small post-only orders.",
    "products": [{"product_id": "BTC-USD", "max_size": "0.01", "max_notional": "500", "because": "small"}],
    "entry": {"strategy": "post_only_pulse", "notional_min": "25", "notional_max": "100", "interval_s": 10},
    "policy": {
        "order_types": ["LIMIT"], "time_in_force": ["GTC", "IOC"], "is_entry_post_only": True, "auto_cancel_s": 30,
        "retries_max": 2, "because": "the specification",
    },
    "risk": {
        "leverage_max": "1", "aggregate_notional_max": "500", "daily_loss_max": "100", "open_orders_max": 5,
        "orders_per_minute_max": 30, "price_collar_bps": "100", "spread_bps_max": "50", "stale_after_s": "10",
        "pre_funding_quiet_s": 1800, "margin_utilization_max": "0.10",
    },
    "sizing": {"mode": "CONSERVATIVE", "impact_bps_max": "10"},
    "guardrails": [
        {"name": "daily_loss", "metric": "daily_loss", "limit": "100", "tightens_to": "HALTED", "because": "loss"}
    ],
    "thresholds": [{"name": "spread_wide", "metric": "spread_bps", "limit": "15", "severity": "WARNING"}],
    "protocol": {
        "window_s": 1200, "oversize_notional": "100000", "drill_flat_within_s": 60,
        "steps": ["post_only_entry", "crossing_rejected", "oversize_sized_down", "auto_cancel", "entry_and_exit",
                  "kill_switch_drill"],
    },
    "envelope": {"notional_max": "500", "aggregate_notional_max": "500"},
    "restricted_envelope": {"notional_max": "250", "aggregate_notional_max": "250", "obligations": []},
    "approvals": {"count": 1},
    "criteria": [
        _criterion("reconciliation", "Books agree with the venue to a cent", "must", "invariant", _ANALYSIS,
                   metric="reconciliation", limit="0.01"),
        _criterion("acceptance", "More than 80% of the orders are accepted", "must", "rate", _LIVE,
                   metric="order_acceptance", p0="0.80"),
        _criterion("latency", "Placing an order takes under 500 ms (p95)", "must", "latency_quantile", _LIVE,
                   metric="place_order_latency_ms", p0="0.95", quantile_limit="500"),
        _criterion("clock", "The clock is within 2 s of the venue's", "must", "readiness", "preflight",
                   metric="clock_offset_s", limit="5", warn_above="2"),
        _criterion("kill_switch", "The kill switch refuses entries and ends flat", "must", "exercised", _LIVE,
                   metric="kill_switch_drill"),
        _criterion("margin_events", "No margin call and no liquidation", "must", "zero_events", _LIVE,
                   metric="margin_events"),
        _criterion("sized_down", "An oversized order is made smaller", "should", "exercised", _LIVE,
                   metric="sized_down"),
        _criterion("funding", "Funding accrues at each interval", "nice", "exercised", _LIVE, metric="funding"),
    ],
}
