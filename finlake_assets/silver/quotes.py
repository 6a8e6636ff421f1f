"""silver.quotes: what each quote is after all its archived changes; takes all that was archived since its last run."""

from finlake_assets.archive import settled_asset
from spark.contracts import silver

build = settled_asset(silver.QUOTES)
