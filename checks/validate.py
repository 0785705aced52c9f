"""The Great Expectations run, as a process of its own: `python -m checks.validate RUN_DIR [OUT]`.

The only module that imports Great Expectations: it costs seconds and a quarter of a gigabyte, which no trading
process pays. What its results mean is decided here, for GX passes empty frames, all-null columns and empty suites,
and reports a missing column as a failure without a result.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

os.environ["GX_ANALYTICS_ENABLED"] = "False"  # before the import, which would already call home

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import (
    ColumnMapExpectation,
    MulticolumnMapExpectation,
)
from great_expectations.expectations.metrics.map_metric_provider.column_condition_partial import (
    column_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.column_map_metric_provider import (
    ColumnMapMetricProvider,
)
from great_expectations.expectations.metrics.map_metric_provider.multicolumn_condition_partial import (
    multicolumn_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.multicolumn_map_metric_provider import (
    MulticolumnMapMetricProvider,
)
from pydantic import ValidationError

from checks.findings import EVIDENCE_ROWS_MAX, CheckReport, EvidenceRow, Finding, make_finding
from checks.frames import Row, frame_of
from checks.suites import MAY_BE_EMPTY, Rule, registry, suite
from trading_core.artifacts import MODELS, ArtifactName
from trading_core.gate.outcomes import Outcome, Reason

BASIC_ABOVE_ROWS = 50_000  # beyond, index columns cost minutes
FILE_BYTES_MAX = 500_000_000
VALUE_CHARS_MAX = 80


class ColumnSteps(ColumnMapMetricProvider):
    """The difference of each value to the one before lies within bounds."""

    condition_metric_name = "column_values.steps.between"
    condition_value_keys = ("min_step", "max_step")

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: Any, min_step: float, max_step: float, **_: Any) -> Any:  # noqa: N805  # GX's own form
        steps = column.diff()
        return steps.isna() | ((steps >= min_step) & (steps <= max_step))


class ExpectColumnStepsToBeBetween(ColumnMapExpectation):
    """Each value lies at least min_step and at most max_step above the one before: no hole, no step back."""

    min_step: float
    max_step: float
    map_metric = "column_values.steps.between"
    success_keys = ("min_step", "max_step", "mostly")


class ColumnsBalance(MulticolumnMapMetricProvider):
    """The signed sum of the columns is zero within a tolerance."""

    condition_metric_name = "multicolumn_values.balance"
    condition_domain_keys = ("batch_id", "table", "column_list", "row_condition", "condition_parser", "ignore_row_if")
    condition_value_keys = ("signs", "tolerance")

    @multicolumn_condition_partial(engine=PandasExecutionEngine)  # type: ignore[untyped-decorator]  # GX has no types
    def _pandas(cls, column_list: Any, signs: list[int], tolerance: float, **_: Any) -> Any:  # noqa: N805  # GX's form
        return (column_list * signs).sum(axis=1).abs() <= tolerance


class ExpectBooksToBalance(MulticolumnMapExpectation):
    """The signed sum of the columns is zero in each row: the books identity."""

    signs: list[int]
    tolerance: float
    map_metric = "multicolumn_values.balance"
    success_keys = ("signs", "tolerance", "mostly")


OURS = {cls.__name__: cls for cls in (ExpectColumnStepsToBeBetween, ExpectBooksToBalance)}


def validate(run_dir: Path) -> CheckReport:
    """Return the findings of every artifact of the run directory; never raises for what is in the files."""
    findings = [finding for name in ArtifactName for finding in check_file(run_dir, name)]
    return CheckReport(
        engine=f"great_expectations {gx.__version__}", expected=registry(), findings=tuple(findings)
    )


def check_file(run_dir: Path, name: ArtifactName) -> list[Finding]:
    """Return the findings of one artifact, one for each rule of its suite."""
    path = run_dir / f"{name}.json"
    try:
        size = path.stat().st_size
        if size > FILE_BYTES_MAX:
            return _all(name, Outcome.ERROR, Reason.SCHEMA, f"{path.name} has {size} bytes (limit {FILE_BYTES_MAX})")
        payload = path.read_bytes()
    except OSError as e:
        return _all(name, Outcome.NO_DATA, Reason.MISSING, f"{path.name} cannot be read: {e.strerror}")
    if not payload.strip():
        return _all(name, Outcome.NO_DATA, Reason.EMPTY, f"{path.name} is empty")
    try:
        document = json.loads(payload)
        rows = document["rows"]
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise TypeError("rows is no list of objects")
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        words = f"{path.name} is not an artifact: {type(e).__name__}: {str(e)[:200]}"
        return _all(name, Outcome.ERROR, Reason.SCHEMA, words)
    return [_schema_finding(name, payload, len(rows)), *_check_rows(name, document, rows)]


def _schema_finding(name: ArtifactName, payload: bytes, count: int) -> Finding:
    title = "the file has exactly the published schema"
    try:
        MODELS[name].model_validate_json(payload)
    except ValidationError as e:
        first = e.errors()[0]
        words = f"{e.error_count()} errors, first at {'.'.join(str(p) for p in first['loc'])}: {first['msg']}"
        return make_finding(f"{name}.schema", title, Outcome.ERROR, Reason.SCHEMA, words, rows_checked=count)
    return make_finding(f"{name}.schema", title, Outcome.PASS, Reason.INVARIANT_HOLDS, "", rows_checked=count)


def _check_rows(name: ArtifactName, document: dict[str, Any], rows: list[Row]) -> list[Finding]:
    every_s = document.get("snapshot_every_s", 60)
    rules = suite(name, every_s if isinstance(every_s, int) else 60)
    if not rows:
        if _may_be_empty(name, document):
            words = "there is no row, and nothing was to give one"
            return _each(name, rules, Outcome.NOT_APPLICABLE, Reason.PRECONDITION_FALSE, words)
        return _each(name, rules, Outcome.NO_DATA, Reason.EMPTY, "there is no row")
    results = _run(name, frame_of(name, rows), rules)
    return [_finding(name, rule, results.get(f"{name}.{rule.check}"), rows) for rule in rules]


def _run(name: ArtifactName, frame: pd.DataFrame, rules: tuple[Rule, ...]) -> dict[str, Any]:
    """Return GX's results by criterion. One context for each call: a shared one mixes results up."""
    context = gx.get_context(mode="ephemeral")
    source = context.data_sources.add_pandas("frames")
    batch = source.add_dataframe_asset(name.value).add_batch_definition_whole_dataframe("all").get_batch(
        batch_parameters={"dataframe": frame}
    )
    expectations = [
        _expectation(rule.expectation)(**rule.kwargs, meta={"criterion": f"{name}.{rule.check}"}) for rule in rules
    ]
    is_big = len(frame) > BASIC_ABOVE_ROWS
    form: Any = "BASIC" if is_big else {"result_format": "COMPLETE", "unexpected_index_column_names": ["row"]}
    outcome = batch.validate(gx.ExpectationSuite(name=name.value, expectations=expectations), result_format=form)
    return {_criterion(result): result for result in outcome.results}


def _expectation(class_name: str) -> Any:
    return OURS[class_name] if class_name in OURS else getattr(gxe, class_name)


def _criterion(result: Any) -> str:
    return str(result.expectation_config.meta["criterion"])


def _finding(name: ArtifactName, rule: Rule, result: Any, rows: list[Row]) -> Finding:
    criterion = f"{name}.{rule.check}"
    if result is None:
        return make_finding(criterion, rule.title, Outcome.ERROR, Reason.EXCEPTION, "it was not evaluated")
    figures = dict(result.result)
    if not figures or _raised(result.exception_info):
        words = _first_message(result.exception_info)
        return make_finding(criterion, rule.title, Outcome.ERROR, Reason.SCHEMA, words, tier=rule.tier)
    checked = int(figures.get("element_count", len(rows))) - int(figures.get("missing_count") or 0)
    if checked <= 0 and rule.reason is not Reason.ALL_NULL:
        return _vacuous(criterion, rule)
    if result.success:
        return make_finding(criterion, rule.title, Outcome.PASS, Reason.INVARIANT_HOLDS, f"{checked} rows",
                            tier=rule.tier, rows_checked=checked)
    broken = int(figures.get("unexpected_count", 1))
    indexes = [int(item["row"]) for item in figures.get("unexpected_index_list") or () if "row" in item]
    evidence = tuple(_evidence(rows, index) for index in indexes[:EVIDENCE_ROWS_MAX])
    outcome, reason = _meaning(rule, broken, len(rows))
    words = f"{broken} of {checked} rows" if evidence else f"observed {figures.get('observed_value', broken)}"
    return make_finding(criterion, rule.title, outcome, reason, words, tier=rule.tier, rows_checked=checked,
                        rows_broken=broken, evidence=evidence)


def _meaning(rule: Rule, broken: int, count: int) -> tuple[Outcome, Reason]:
    match rule.reason:
        case Reason.EMPTY:
            return Outcome.NO_DATA, Reason.EMPTY
        case Reason.ALL_NULL:  # all missing is no data, some missing is a broken file
            return (Outcome.NO_DATA, Reason.ALL_NULL) if broken >= count else (Outcome.ERROR, Reason.SCHEMA)
        case Reason.SCHEMA | Reason.NON_FINITE:
            return Outcome.ERROR, rule.reason
        case _:
            return Outcome.FAIL, Reason.INVARIANT_BROKEN


def _vacuous(criterion: str, rule: Rule) -> Finding:
    """Return what a check that looked at nothing is worth: nothing."""
    if rule.is_optional:
        return make_finding(criterion, rule.title, Outcome.NOT_APPLICABLE, Reason.PRECONDITION_FALSE,
                            "no row has such a figure", tier=rule.tier)
    return make_finding(criterion, rule.title, Outcome.NO_DATA, Reason.ALL_NULL, "no row could be looked at",
                        tier=rule.tier)


def _evidence(rows: list[Row], index: int) -> EvidenceRow:
    row = rows[index]
    seq = row.get("seq")
    values = {
        key: str(value)[:VALUE_CHARS_MAX] for key, value in row.items()
        if isinstance(value, str | int | float | bool) and key != "seq"
    }
    return EvidenceRow(row=index, seq=seq if isinstance(seq, int) else None, values=values)


def _may_be_empty(name: ArtifactName, document: dict[str, Any]) -> bool:
    """Tell whether no row is the truth: nothing was to provoke one, or nobody refused one of the orders sent."""
    if name is ArtifactName.SIZED_DOWN_EVENTS:
        return document.get("was_probed") is False
    if name is ArtifactName.REJECTION_BREAKDOWN:
        totals = document.get("totals")
        sent = totals.get("sent") if isinstance(totals, dict) else None
        return isinstance(sent, int) and sent > 0
    if name is ArtifactName.CHECKPOINTS:
        return document.get("planned_h") == []
    if name is ArtifactName.CORRELATION:
        products = document.get("products")
        return isinstance(products, list) and len(products) == 1
    return name in MAY_BE_EMPTY


def _all(name: ArtifactName, outcome: Outcome, reason: Reason, detail: str) -> list[Finding]:
    schema = make_finding(f"{name}.schema", "the file has exactly the published schema", outcome, reason, detail)
    return [schema, *_each(name, suite(name), outcome, reason, detail)]


def _each(
    name: ArtifactName, rules: tuple[Rule, ...], outcome: Outcome, reason: Reason, detail: str
) -> list[Finding]:
    return [make_finding(f"{name}.{r.check}", r.title, outcome, reason, detail, tier=r.tier) for r in rules]


def _raised(info: dict[str, Any]) -> bool:
    nested = [value for value in info.values() if isinstance(value, dict)]
    return bool(info.get("raised_exception")) or any(value.get("raised_exception") for value in nested)


def _first_message(info: dict[str, Any]) -> str:
    nested = [value.get("exception_message") for value in info.values() if isinstance(value, dict)]
    return str(next((m for m in (info.get("exception_message"), *nested) if m), "no result"))[:300]


def main(arguments: list[str]) -> int:
    """Write the report and return 0; what was found is in the report, never in the exit code."""
    if not 1 <= len(arguments) <= 2:
        sys.stderr.write("use: python -m checks.validate RUN_DIR [OUT]\n")
        return 2
    logging.getLogger("great_expectations").setLevel(logging.ERROR)  # GX logs each metric
    run_dir = Path(arguments[0])
    out = Path(arguments[1]) if len(arguments) == 2 else run_dir / "checks.json"
    out.write_text(validate(run_dir).model_dump_json(indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
