"""serving.gold_ml_features: ClickHouse reads the files of gold.ml_features where they lie."""

import dagster as dg

from finlake_assets.clickhouse_tables import clickhouse_spec
from finlake_assets.outages import tried_again_after_outages
from finlake_assets.run_table_job import fail_for_good
from finlake_assets.serving.following import pool_of, result
from finlake_clients.clickhouse.server import ServingRejectedError
from finlake_resources.resources import ClickHouseResource, LakeResource
from spark.contracts.gold import ML_FEATURES
from spark.contracts.serving import GOLD_ML_FEATURES


def build() -> dg.AssetsDefinition:
    """The asset of the table."""
    spec = clickhouse_spec(GOLD_ML_FEATURES, kinds=frozenset({"iceberg"}), statement="engine Iceberg")

    @dg.multi_asset(name="serving__gold_ml_features", specs=[spec], pool=pool_of(spec.key))
    @tried_again_after_outages()
    def gold_ml_features(jobs: LakeResource, clickhouse: ClickHouseResource) -> dg.MaterializeResult[None]:
        """The table is recreated for each snapshot: its columns and its files are fixed when it is made."""
        snapshot = jobs.published(ML_FEATURES.address)
        try:
            served = clickhouse.point_at_snapshot(
                GOLD_ML_FEATURES, snapshot, row_count=jobs.row_count(ML_FEATURES.address, snapshot.snapshot_id)
            )
        except ServingRejectedError as error:
            fail_for_good(str(error))
        return result(snapshot, served)

    return gold_ml_features
