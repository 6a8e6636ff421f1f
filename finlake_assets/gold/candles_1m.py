"""gold.candles_1m: the minutes whose trades have changed since its last run, on whatever day they are."""

from finlake_assets.archive import settled_asset
from spark.contracts import gold

build = settled_asset(gold.CANDLES_1M)
