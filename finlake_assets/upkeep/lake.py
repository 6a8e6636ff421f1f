"""The four ways of tidying, each over all tables: one asset per action, one row of counts per table."""

from collections.abc import Mapping

import dagster as dg

from finlake_assets.outages import tried_again_after_outages
from finlake_assets.report_metadata import Metadata
from finlake_clients.lake_client import UpkeepAction
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_resources.resources import LakeResource
from spark.contracts import lake

GROUP = "upkeep"
ACTIONS: dict[UpkeepAction, str] = {
    "compact": "Rewrites small files into larger, sorted ones.",
    "expire": "Forgets old snapshots; the newest ones and every branch stay.",
    "orphans": "Deletes files that no snapshot names.",
    "branches": "Drops audit branches that were kept for inspection long enough.",
}


def build() -> list[dg.AssetsDefinition]:
    """One asset per action; one at a time, so that they do not compete for the same tables."""
    return [_action(action, summary) for action, summary in ACTIONS.items()]


def _action(action: UpkeepAction, summary: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=[GROUP, action],
        group_name=GROUP,
        owners=["team:finlake"],
        kinds={"iceberg", "spark"},
        pool="lake_upkeep",
        description=f"{summary} Runs over all tables; one that fails does not keep the others from being tidied.",
        metadata={"dagster/column_schema": COUNTS_SCHEMA},
    )
    @tried_again_after_outages()
    def tidy(context: dg.AssetExecutionContext, jobs: LakeResource) -> dg.MaterializeResult[None]:
        """Every table is tried; then the step fails if any of them failed."""
        counts: dict[str, Mapping[str, int]] = {}
        failures: dict[str, str] = {}
        for address in sorted(lake.TABLES):
            try:
                counts[address] = jobs.upkeep(action, address)
            except ServiceUnavailableError:
                # The others would find the same.
                raise
            except Exception as error:
                context.log.exception(f"{action} of {address} failed")
                failures[address] = f"{type(error).__name__}: {error}"
        metadata: Metadata = {
            "tables": dg.TableMetadataValue(counts_of(counts), COUNTS_SCHEMA),
            "failed_tables": dg.IntMetadataValue(len(failures)),
            **totals(counts),
        }
        if failures:
            named = "; ".join(f"{address}: {message}" for address, message in failures.items())
            raise dg.Failure(
                f"{action} failed for {len(failures)} of {len(lake.TABLES)} tables ({named}). The others are tidied; "
                "mend the cause and run upkeep again.",
                metadata=metadata,
            )
        return dg.MaterializeResult(metadata=metadata)

    return tidy


COUNTS_SCHEMA = dg.TableSchema(
    columns=[
        dg.TableColumn("table", "string", "Address of the table"),
        dg.TableColumn("what", "string", "What was counted"),
        dg.TableColumn("count", "int", "How many"),
    ]
)


def counts_of(counts: Mapping[str, Mapping[str, int]]) -> list[dg.TableRecord]:
    """One row per table and count."""
    return [
        dg.TableRecord({"table": address, "what": what, "count": count})
        for address, found in counts.items()
        for what, count in found.items()
    ]


def totals(counts: Mapping[str, Mapping[str, int]]) -> Metadata:
    """Each count over all tables, for Dagster to plot."""
    names = {what for found in counts.values() for what in found}
    return {what: dg.IntMetadataValue(sum(found.get(what, 0) for found in counts.values())) for what in sorted(names)}
