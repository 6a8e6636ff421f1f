"""One step of the graph: run a table's job over the run's window and tell Dagster what came of it.

A step selected with its checks alone writes nothing: it judges the published rows.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NoReturn

import dagster as dg

from finlake_assets.asset_specs import asset_key, code_version, contract_of
from finlake_assets.outages import tried_again_after_outages
from finlake_assets.partitions import dates_of
from finlake_assets.report_metadata import report_metadata, samples_table, snapshot_metadata, table_report
from finlake_resources.resources import LakeResource
from spark.contracts import silver
from spark.contracts.job_inputs import TablesAlone
from spark.contracts.report import AuditFailedError, CheckOutcome, JobReport, Provenance, TableReport, Window
from spark.contracts.table import JobInputs, Table

StepEvents = Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]
Inputs = Callable[[Window], JobInputs]


def publish(
    context: dg.AssetExecutionContext,
    jobs: LakeResource,
    table: Table,
    *,
    inputs: Inputs | None = None,
    describe_day: Callable[[str], Mapping[str, str]] | None = None,
) -> StepEvents:
    """Run the job named after `table` over the run's window, then report every selected table and check of the step.

    `inputs` gives what the job needs besides tables for a window and is asked only when the job will run; `describe_day`
    gives texts for the metadata of one partition key once the job is done. A failed audit is recorded as failed checks
    and then fails the step for good: nothing downstream runs.
    """
    with tried_again_after_outages():
        if context.selected_asset_keys:
            yield from _published(context, jobs, table, inputs, describe_day)
        else:
            yield from _checks_alone(context, jobs)


def _published(
    context: dg.AssetExecutionContext,
    jobs: LakeResource,
    table: Table,
    inputs: Inputs | None,
    describe_day: Callable[[str], Mapping[str, str]] | None,
) -> StepEvents:
    window = dates_of(context.partition_key_range, table.window)
    try:
        report = jobs.run(
            inputs(window) if inputs else TablesAlone(table=table), window=window, provenance=provenance(context, table)
        )
    except AuditFailedError as failure:
        yield from _results(context, failure.report.address, failure.report.checks)
        fail_for_good(
            str(failure),
            {
                "branch": dg.TextMetadataValue(failure.branch),
                "offending_rows": samples_table([s for outcome in failure.report.checks for s in outcome.samples]),
            },
        )
    note_quarantined(context, report, window)
    for key in sorted(context.selected_asset_keys):
        yield from _materialized(context, jobs, report, key, window, describe_day)


def provenance(context: dg.AssetExecutionContext, table: Table) -> Provenance:
    """Who writes, as every snapshot of this run will say."""
    keys = context.partition_key_range
    label = keys.start if keys.start == keys.end else f"{keys.start}...{keys.end}"
    return Provenance(run_id=context.run.run_id, partition=label, code_version=code_version(table), step=table.address)


def fail_for_good(message: str, metadata: Mapping[str, dg.MetadataValue] | None = None) -> NoReturn:
    """End the step with a message for people; trying again would not help."""
    raise dg.Failure(description=message, metadata=metadata, allow_retries=False)


def note_quarantined(context: dg.AssetExecutionContext, report: JobReport, window: Window) -> None:
    """Record on silver.quarantine that this step rejected rows."""
    if not report.quarantined_count:
        return
    context.log_event(
        dg.AssetMaterialization(
            asset_key=asset_key(silver.QUARANTINE.address),
            description=f"{report.quarantined_count} rows rejected by {context.op_execution_context.op.name}",
            metadata={
                "rejected_rows": report.quarantined_count,
                "window": f"{window.start} to {window.end}",
                "samples": samples_table(report.quarantine_samples),
            },
        )
    )


def _materialized(
    context: dg.AssetExecutionContext,
    jobs: LakeResource,
    report: JobReport,
    key: dg.AssetKey,
    window: Window,
    describe_day: Callable[[str], Mapping[str, str]] | None,
) -> StepEvents:
    """The materialization of one table and its checks.

    A range run logs one event per partition with the same metadata, so what is long goes to the newest one alone.
    """
    address = ".".join(key.path)
    table = table_report(report, address)
    for partition_key in context.partition_keys:
        texts = describe_day(partition_key) if describe_day else {}
        context.add_asset_metadata({**_partition_rows(table, partition_key), **texts}, asset_key=key, partition_key=partition_key)
    context.add_asset_metadata(report_metadata(report, address), asset_key=key, partition_key=context.partition_keys[-1])
    version = None if table.snapshot_id is None else dg.DataVersion(str(table.snapshot_id))
    yield dg.MaterializeResult(asset_key=key, metadata=snapshot_metadata(table), data_version=version)
    # A write that changed nothing is not audited again by its job: what stands published is judged instead.
    yield from _results(context, address, table.checks or jobs.check(address, window))


def _partition_rows(table: TableReport, partition_key: str) -> dict[str, int]:
    """Rows of one partition; nothing where the job did not count by date."""
    if not table.row_count_by_date:
        return {}
    return {"dagster/partition_row_count": table.row_count_by_date.get(partition_key, 0)}


def _checks_alone(context: dg.AssetExecutionContext, jobs: LakeResource) -> StepEvents:
    """The contract's checks over the published rows: of the run's partitions, or of all rows in a run without them."""
    for key in sorted({check.asset_key for check in context.selected_asset_check_keys}):
        table = contract_of(key)
        is_dated = context.has_partition_key or context.has_partition_key_range
        window = dates_of(context.partition_key_range, table.window) if is_dated else None
        yield from _results(context, table.address, jobs.check(table.address, window))


def _results(
    context: dg.AssetExecutionContext,
    address: str,
    outcomes: tuple[CheckOutcome, ...],
) -> Iterator[dg.AssetCheckResult]:
    """Outcomes of the checks this step was asked for, as Dagster's results."""
    key = asset_key(address)
    for outcome in outcomes:
        if dg.AssetCheckKey(key, outcome.name) in context.selected_asset_check_keys:
            yield _result(key, outcome)


def _result(key: dg.AssetKey, outcome: CheckOutcome) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if outcome.severity == "error" else dg.AssetCheckSeverity.WARN
    metadata: dict[str, dg.MetadataValue] = {"failing_rows": dg.IntMetadataValue(outcome.failing_count)}
    if outcome.judged_count is not None:
        metadata["judged_rows"] = dg.IntMetadataValue(outcome.judged_count)
    if outcome.samples:
        metadata["offending_rows"] = samples_table(outcome.samples)
    return dg.AssetCheckResult(
        check_name=outcome.name,
        asset_key=key,
        passed=outcome.passed,
        severity=severity,
        metadata=metadata,
        description=f"no row was judged: {outcome.why}" if outcome.judged_count == 0 else outcome.why,
    )
