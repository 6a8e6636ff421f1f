"""silver.price_decisions: written by people through `finlake prices`, materialized by no step."""

import dagster as dg

from finlake_assets.describe import asset_spec
from spark.contracts import silver


def build() -> dg.AssetSpec:
    """The table as an external asset before the verdicts, which follow it."""
    return asset_spec(silver.PRICE_DECISIONS)
