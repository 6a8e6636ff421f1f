"""Do Postgres, Kafka, ClickHouse and Iceberg hold the same trades and quotes, and do candles and windows follow from them?

One comparison judges all live tables. Does not belong here: how it is made (finlake_reconciliation).
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_assets.report_metadata import Metadata, samples_table
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_reconciliation.derived import DERIVED
from finlake_reconciliation.report import DerivedReport, EngineReport, ReconcileReport
from finlake_resources.resources import LakeResource, ReconciliationResource
from spark.contracts.streams import STREAMS

NAME = "reconciled"


def build() -> list[dg.AssetChecksDefinition]:
    """One definition with a check for every live table of rows, and one for every table made from trades."""
    specs = [
        *(
            dg.AssetCheckSpec(
                name=NAME,
                asset=asset_key(relation.realtime.address),
                description=f"Postgres, Kafka, ClickHouse and Iceberg hold the same rows of {relation.name}, each once.",
            )
            for relation in STREAMS
        ),
        *(
            dg.AssetCheckSpec(
                name=NAME,
                asset=asset_key(derived.table.address),
                description="Equal to a recomputation from the trades without a flaw, to the last bit.",
            )
            for derived in DERIVED
        ),
    ]

    @dg.multi_asset_check(name=NAME, specs=specs)
    def reconciled(jobs: LakeResource, reconciliation: ReconciliationResource) -> Iterator[dg.AssetCheckResult]:
        """Who is behind warns; what is lost, doubled or changed is an error. A silent engine leaves all unjudged."""
        try:
            report = reconciliation.run(jobs, proves_days=True)
        except ServiceUnavailableError as error:
            yield from (
                dg.AssetCheckResult(
                    asset_key=spec.asset_key,
                    check_name=NAME,
                    passed=False,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=f"not judged: {error}",
                )
                for spec in specs
            )
            return
        for relation in STREAMS:
            engines = [each for each in report.engines if each.relation == relation.name]
            yield _of_rows(asset_key(relation.realtime.address), engines, report, relation.name)
        for derived in report.derived:
            yield _of_windows(derived)

    return [reconciled]


def _of_rows(key: dg.AssetKey, engines: Sequence[EngineReport], report: ReconcileReport, relation: str) -> dg.AssetCheckResult:
    faults = [fault for fault in report.faults if relation in fault]
    metadata: Metadata = {
        "lsn": dg.TextMetadataValue(report.lsn_text),
        "rows": dg.IntMetadataValue(report.row_counts[relation]),
        **{f"{each.engine.lower()}_behind": dg.IntMetadataValue(each.behind_count) for each in engines},
    }
    named = [
        {"engine": each.engine, "fault": kind, "id": row_id}
        for each in engines
        for kind, ids in each.faulty.items()
        for row_id in ids.first
    ]
    if named:
        metadata["ids"] = samples_table(named)
    verdicts = [f"{each.engine}: {each.verdict}" for each in engines] + faults
    is_wrong = bool(faults) or any(each.is_wrong for each in engines)
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=NAME,
        passed=not faults and all(each.is_proven for each in engines),
        metadata=metadata,
        severity=dg.AssetCheckSeverity.ERROR if is_wrong else dg.AssetCheckSeverity.WARN,
        description=f"{report.row_counts[relation]} rows up to LSN {report.lsn_text}; {'; '.join(verdicts)}",
    )


def _of_windows(derived: DerivedReport) -> dg.AssetCheckResult:
    metadata: Metadata = {
        "windows": dg.IntMetadataValue(derived.window_count),
        "different": dg.IntMetadataValue(derived.different_count),
        "moving": dg.IntMetadataValue(derived.moving_count),
    }
    if derived.first:
        metadata["first_differences"] = samples_table([{"window": line} for line in derived.first])
    return dg.AssetCheckResult(
        asset_key=asset_key(derived.table),
        check_name=NAME,
        passed=derived.is_proven,
        metadata=metadata,
        description=f"{derived.different_count} of {derived.window_count} windows differ from their recomputation",
    )
