"""serving.gold_stock_analytics: a published snapshot of gold.stock_analytics, held by ClickHouse and replaced at once."""

import dagster as dg

from finlake_assets.clickhouse_tables import clickhouse_spec
from finlake_assets.outages import tried_again_after_outages
from finlake_assets.run_table_job import fail_for_good
from finlake_assets.serving.following import pool_of, result
from finlake_clients.clickhouse.server import ServingRejectedError
from finlake_resources.resources import ClickHouseResource, LakeResource
from spark.contracts.clickhouse_serving import loaded_table
from spark.contracts.gold import STOCK_ANALYTICS
from spark.contracts.serving import GOLD_STOCK_ANALYTICS


def build() -> dg.AssetsDefinition:
    """The asset of the table."""
    statement, _ = loaded_table(GOLD_STOCK_ANALYTICS, GOLD_STOCK_ANALYTICS.address, STOCK_ANALYTICS.address, 0)
    spec = clickhouse_spec(GOLD_STOCK_ANALYTICS, kinds=frozenset({"table"}), statement=statement)

    @dg.multi_asset(name="serving__gold_stock_analytics", specs=[spec], pool=pool_of(spec.key))
    @tried_again_after_outages()
    def gold_stock_analytics(jobs: LakeResource, clickhouse: ClickHouseResource) -> dg.MaterializeResult[None]:
        """What ClickHouse read is compared with what the lake says before readers see it."""
        snapshot = jobs.published(STOCK_ANALYTICS.address)
        try:
            served = clickhouse.load_snapshot(
                GOLD_STOCK_ANALYTICS, snapshot, expected=lambda: jobs.column_sums(STOCK_ANALYTICS.address, snapshot.snapshot_id)
            )
        except ServingRejectedError as error:
            fail_for_good(str(error))
        return result(snapshot, served)

    return gold_stock_analytics
