"""When a served table follows its table of the lake, the job that lets all of them follow, and what Dagster hears of it."""

from typing import TYPE_CHECKING

import dagster as dg

from finlake_assets.report_metadata import Metadata
from finlake_clients.clickhouse.server import Served
from finlake_clients.lake_client import PublishedSnapshot

if TYPE_CHECKING:
    from finlake_assets.jobs import AssetJob

GROUP = "serving"
JOB = "serving"


def job() -> "AssetJob":
    """The job that brings every served table to the newest snapshot."""
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.groups(GROUP),
        description="Lets ClickHouse show the newest snapshots of gold. Nothing is loaded where nothing is new.",
    )


def with_automation(assets: list[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The same assets, following the lake by themselves; a view shows what is new without that."""
    return [
        asset.map_asset_specs(
            lambda spec: spec if spec.is_virtual else spec.replace_attributes(automation_condition=when_published())
        )
        for asset in assets
    ]


def when_published() -> dg.AutomationCondition:  # type: ignore[type-arg]
    """Fires when a snapshot was published, or the table was never made. It shows all dates, whichever are missing."""
    condition = dg.AutomationCondition
    needed = condition.newly_missing() | condition.any_deps_updated()
    ready = ~condition.any_deps_in_progress() & ~condition.in_progress()
    return (needed.since_last_handled() & ready & condition.all_deps_blocking_checks_passed()).with_label("when_published")


def pool_of(key: dg.AssetKey) -> str:
    """The pool that lets one step at a time replace a table."""
    return f"clickhouse_{'_'.join(key.path)}"


def result(snapshot: PublishedSnapshot, served: Served) -> dg.MaterializeResult[None]:
    """What readers see now, and what they saw before; the snapshot is the data's version."""
    metadata: Metadata = {
        "dagster/row_count": dg.IntMetadataValue(served.row_count),
        "published": dg.BoolMetadataValue(served.is_changed),
        "iceberg/snapshot_id": dg.TextMetadataValue(str(served.snapshot_id)),
        "iceberg/metadata_file": dg.TextMetadataValue(snapshot.metadata_path),
    }
    if served.previous_snapshot_id is not None:
        metadata["iceberg/previous_snapshot_id"] = dg.TextMetadataValue(str(served.previous_snapshot_id))
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(str(served.snapshot_id)))
