"""Do readers of ClickHouse see what the lake published? Counts and exact sums of the newest snapshot, and no day twice."""

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_assets.outages import tried_again_after_outages
from finlake_clients.clickhouse.server import ClickHouseRefusedError
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_resources.resources import ClickHouseResource, LakeResource
from spark.contracts.clickhouse_serving import origin_of
from spark.contracts.gold import ML_FEATURES, STOCK_ANALYTICS
from spark.contracts.serving import GOLD_ML_FEATURES, GOLD_STOCK_ANALYTICS, PRICES_UNIFIED

NAME = "equals_lake"
REFRESH = "launch the job `serving`"


def build() -> list[dg.AssetChecksDefinition]:
    """One check per served table."""
    return [_loaded(), _pointed(), _unified()]


def _loaded() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(GOLD_STOCK_ANALYTICS.address),
        name=NAME,
        additional_deps=[asset_key(STOCK_ANALYTICS.address)],
        description=f"Shows the newest snapshot of {STOCK_ANALYTICS.address}: rows and exact sums of every column are equal.",
    )
    @tried_again_after_outages()
    def equals_lake(jobs: LakeResource, clickhouse: ClickHouseResource) -> dg.AssetCheckResult:
        """An older snapshot warns; other rows than the snapshot's are an error."""
        newest = jobs.published(STOCK_ANALYTICS.address)
        try:
            state = clickhouse.state(GOLD_STOCK_ANALYTICS.address)
            origin = None if state is None else origin_of(state.comment)
            if origin is None:
                return _warning(f"{GOLD_STOCK_ANALYTICS.address} was not loaded yet; {REFRESH}")
            if origin.snapshot_id != str(newest.snapshot_id):
                return _warning(f"shows snapshot {origin.snapshot_id}; {newest.snapshot_id} is published; {REFRESH}")
            found = clickhouse.sums(GOLD_STOCK_ANALYTICS)
        except ServiceUnavailableError as error:
            return _warning(f"not judged: {error}")
        differences = jobs.column_sums(STOCK_ANALYTICS.address, newest.snapshot_id).differences(found)
        return dg.AssetCheckResult(
            passed=not differences,
            metadata={"dagster/row_count": found.row_count, "snapshot_id": origin.snapshot_id},
            description="; ".join(differences) or f"{found.row_count} rows of snapshot {origin.snapshot_id}",
        )

    return equals_lake


def _pointed() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(GOLD_ML_FEATURES.address),
        name=NAME,
        additional_deps=[asset_key(ML_FEATURES.address)],
        description=f"Reads the files of the newest snapshot of {ML_FEATURES.address}: as many rows as the lake says.",
    )
    @tried_again_after_outages()
    def equals_lake(jobs: LakeResource, clickhouse: ClickHouseResource) -> dg.AssetCheckResult:
        """A table whose files are gone is an error: readers get none."""
        expected = jobs.row_count(ML_FEATURES.address, jobs.published(ML_FEATURES.address).snapshot_id)
        try:
            if not clickhouse.exists(GOLD_ML_FEATURES.address):
                return _warning(f"{GOLD_ML_FEATURES.address} was not made yet; {REFRESH}")
            found = clickhouse.row_count(GOLD_ML_FEATURES.address)
        except ServiceUnavailableError as error:
            return _warning(f"not judged: {error}")
        except ClickHouseRefusedError as error:
            return dg.AssetCheckResult(passed=False, description=f"cannot be read ({error}); {REFRESH}")
        if found != expected:
            return _warning(f"shows {found} rows; {expected} are published; {REFRESH}")
        return dg.AssetCheckResult(passed=True, metadata={"dagster/row_count": found}, description=f"{found} rows")

    return equals_lake


def _unified() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(PRICES_UNIFIED.address),
        name="no_day_twice",
        description="One bar per ticker and day, from the batch or from the stream.",
    )
    def no_day_twice(clickhouse: ClickHouseResource) -> dg.AssetCheckResult:
        """Asked as a reader asks."""
        try:
            if not clickhouse.exists(PRICES_UNIFIED.address):
                return _warning(f"{PRICES_UNIFIED.address} was not defined yet; {REFRESH}")
            wrong = clickhouse.rows(
                f"SELECT ticker, session_date, count() AS bars FROM {PRICES_UNIFIED.address} GROUP BY ticker, session_date "
                "HAVING bars > 1 ORDER BY ticker, session_date LIMIT 10"
            )
        except ServiceUnavailableError as error:
            return _warning(f"not judged: {error}")
        if wrong:
            return dg.AssetCheckResult(
                passed=False,
                metadata={"failing_rows": len(wrong)},
                description=f"{wrong[0]['ticker']} has {wrong[0]['bars']} bars on {wrong[0]['session_date']}",
            )
        return dg.AssetCheckResult(passed=True, description="one bar per ticker and day")

    return no_day_twice


def _warning(text: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description=text)
