"""serving.prices_unified: batch bars and, after each ticker's last one, the bars of the stream; a view."""

import dagster as dg

from finlake_assets.clickhouse_tables import clickhouse_spec
from finlake_assets.serving.following import pool_of
from finlake_resources.resources import ClickHouseResource
from spark.contracts.clickhouse_serving import VIEWS
from spark.contracts.serving import PRICES_UNIFIED


def build() -> dg.AssetsDefinition:
    """The asset of the view. It is virtual: what it shows is new as soon as its inputs are, without a run."""
    statement = VIEWS[PRICES_UNIFIED.address]
    spec = clickhouse_spec(PRICES_UNIFIED, kinds=frozenset({"view"}), statement=statement, is_virtual=True)

    @dg.multi_asset(name="serving__prices_unified", specs=[spec], pool=pool_of(spec.key))
    def prices_unified(clickhouse: ClickHouseResource) -> dg.MaterializeResult[None]:
        """Defines the view again; readers see the old or the new definition."""
        clickhouse.define(statement)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": clickhouse.row_count(PRICES_UNIFIED.address),
                "definition": dg.MarkdownMetadataValue(f"```sql\n{statement}\n```"),
            }
        )

    return prices_unified
