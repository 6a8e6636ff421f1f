"""silver.quarantine: written by every step that rejects rows, materialized by none of its own."""

import dagster as dg

from finlake_assets.describe import asset_spec
from spark.contracts import silver


def build() -> dg.AssetSpec:
    """The table as an external asset behind its writers; a step that rejects rows reports how many."""
    return asset_spec(silver.QUARANTINE)
