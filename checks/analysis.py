"""Artifact analysis: every data check of a run, run apart and with a time limit, and what the gate is told of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from checks.cross import CROSS, cross_checks
from checks.cross_view import CrossView
from checks.findings import CheckReport, Finding, make_finding
from checks.suites import registry
from checks.validated import Validation, validated_apart
from trading_core.artifacts import ArtifactName
from trading_core.errors import StorageError
from trading_core.events import AnyEvent
from trading_core.gate.evidence import EvidenceRef, InvariantObservation
from trading_core.gate.outcomes import Outcome, Reason
from trading_core.metrics.evidence import Evidence, load_evidence
from trading_core.metrics.observe import observe
from trading_core.plan import Stage
from trading_core.run import RunContext
from trading_core.run_files import CHECKS
from trading_core.stages.result import Check, CheckStatus, StageResult, StageStatus
from trading_core.storage.artifact_store import ArtifactMeta, ArtifactStore
from trading_core.storage.event_reader import EventReader

METRIC = "artifact_checks"
SOUND = frozenset({Outcome.PASS, Outcome.NOT_APPLICABLE})
# What a report names first: broken checks before broken data, broken data before missing data.
WORST_FIRST = (Outcome.ERROR, Outcome.NO_DATA, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.WARN)
REMEDIES = {
    Outcome.ERROR: "the check or the file is broken: see checks.json and run the analysis again",
    Outcome.NO_DATA: "the evidence is not there: run the stage that makes it again",
    Outcome.FAIL: "see the rows in checks.json: the run itself broke the rule",
}

Events = Sequence[tuple[int, AnyEvent]]


def analyse(context: RunContext, now_ns: int, validation: Validation = validated_apart) -> StageResult:
    """Return the stage's result: a check for each artifact, and each observation that the evidence can answer.

    Writes checks.json. Never raises for what is wrong with artifacts or events: that is what it reports.
    """
    store = ArtifactStore(context.run_dir)
    with ThreadPoolExecutor(max_workers=1) as beside:  # Great Expectations has a process of its own: read meanwhile
        validated = beside.submit(validation, context.run_dir)
        events, chain_error = read_events(context)
        evidence = load_evidence(store, context.run_id, context.subject_digest)
        observed = observe(context.plan, evidence, events, chain_error)
        report = check(context, store, evidence, events, validated.result())
    refs = _keep(context, store, report, evidence, now_ns)
    checks = (*_checks(report), _chain_check(len(events), chain_error))
    bad = next((c for c in checks if c.status is CheckStatus.FAILED), None)
    held = sum(finding.outcome in SOUND for finding in report.findings)
    return StageResult(
        stage=Stage.ARTIFACT_ANALYSIS,
        status=StageStatus.PASSED if bad is None else StageStatus.FAILED,
        started_ns=now_ns,
        ended_ns=now_ns,
        summary=f"{held} checks on {len(ArtifactName)} artifacts hold" if bad is None
        else f"{bad.name}: {bad.observed}",
        checks=checks,
        observations=(*observed, observation_of(report, refs)),
        artifacts={a.name.value: a.ref.sha256 for a in evidence.artifacts.values() if a.ref is not None},
    )


def read_events(context: RunContext) -> tuple[list[tuple[int, AnyEvent]], str | None]:
    """Return the run's events and why their chain does not verify; ([], reason) if there are none to read."""
    try:
        with EventReader(context.store, context.run_id) as reader:
            error = None
            try:
                _verify(context, reader)
            except StorageError as e:
                error = str(e)
            return [(stored.seq, stored.event) for stored in reader.events()], error
    except StorageError as e:
        return [], str(e)


def _verify(context: RunContext, reader: EventReader) -> None:
    """Verify the chain, and that it passes through the head that the artifacts were made at; raises StorageError."""
    entries = ArtifactStore(context.run_dir).manifest().artifacts
    heads = {entry.chain_head for name in ArtifactName if (entry := entries.get(name.value)) is not None}
    for head in heads or {None}:
        reader.verify(head)


def check(
    context: RunContext, store: ArtifactStore, evidence: Evidence, events: Events, report: CheckReport
) -> CheckReport:
    """Return the suites' findings with those of the cross checks; each criterion of the registry has one."""
    by_criterion = {finding.criterion: finding for finding in report.findings}
    crossed = cross_checks(CrossView(context, evidence, events, store, by_criterion))
    expected = tuple(sorted([*registry(), *CROSS]))
    whole = report.model_copy(update={"expected": expected, "findings": (*report.findings, *crossed)})
    lost = [
        make_finding(name, "every check of the registry is evaluated", Outcome.ERROR, Reason.EXCEPTION,
                     "the registry names it and nothing evaluated it")
        for name in whole.unevaluated
    ]
    strangers = [
        make_finding(f"registry.{name}", "only checks of the registry are evaluated", Outcome.ERROR,
                     Reason.EXCEPTION, f"{name} was evaluated and the registry does not name it")
        for name in whole.unknown
    ]
    return whole.model_copy(update={"findings": (*whole.findings, *lost, *strangers)})


def observation_of(report: CheckReport, refs: tuple[EvidenceRef, ...]) -> InvariantObservation:
    """Return what the gate is told: every check was evaluated and held, or which did not, worst first."""
    applicable = [f for f in report.findings if f.outcome is not Outcome.NOT_APPLICABLE]
    broken = [f for f in applicable if f.outcome is Outcome.FAIL]
    unsound = [f for f in applicable if f.outcome in (Outcome.ERROR, Outcome.NO_DATA)]
    first = min(unsound, key=lambda f: WORST_FIRST.index(f.outcome), default=None)
    return InvariantObservation(
        metric=METRIC,
        refs=refs,
        problem=first.reason if first is not None and not broken else None,
        detail="" if first is None else f"{first.criterion}: {first.detail}",
        expected=len(applicable),
        observed=len(applicable) - len(unsound),
        violations=tuple(f"{f.criterion}: {f.detail}" for f in broken),
        final_holds=not broken,
    )


def _checks(report: CheckReport) -> list[Check]:
    groups: dict[str, list[Finding]] = {}
    for finding in report.findings:
        groups.setdefault(finding.artifact, []).append(finding)
    return [_check(name, findings) for name, findings in groups.items()]


def _check(name: str, findings: Sequence[Finding]) -> Check:
    counts = Counter(finding.outcome for finding in findings)
    bad = [finding for finding in findings if finding.outcome not in SOUND]
    held = counts[Outcome.PASS] + counts[Outcome.NOT_APPLICABLE]
    if not bad:
        words = f"{held} of {len(findings)} checks hold"
        return Check(name=name, status=CheckStatus.PASSED, observed=words, needed="every check holds")
    first = min(bad, key=lambda finding: WORST_FIRST.index(finding.outcome))
    return Check(
        name=name, status=CheckStatus.FAILED, needed="every check holds", remedy=REMEDIES.get(first.outcome, ""),
        observed=f"{first.criterion} {first.outcome} {first.reason}: {first.detail} ({len(bad)} of {len(findings)})",
    )


def _chain_check(count: int, error: str | None) -> Check:
    return Check(
        name="event_chain", status=CheckStatus.PASSED if error is None else CheckStatus.FAILED,
        observed=f"{count} events verify" if error is None else error, needed="the hash chain verifies",
        remedy="" if error is None else "this run's evidence cannot be used: run it again",
    )


def _keep(
    context: RunContext, store: ArtifactStore, report: CheckReport, evidence: Evidence, now_ns: int
) -> tuple[EvidenceRef, ...]:
    """Write checks.json and return the references to it and to what was checked."""
    meta = ArtifactMeta(
        rows=len(report.findings), producer=f"checks.analysis, {report.engine}",
        subject_digest=context.subject_digest, level=context.level, window_start_ns=now_ns, window_end_ns=now_ns,
    )
    entry = store.write(CHECKS, report, meta)
    checked = tuple(a.ref for a in evidence.artifacts.values() if a.ref is not None and a.problem is None)
    return (entry.ref(), *checked)
