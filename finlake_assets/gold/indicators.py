"""gold.indicators: technical indicators on adjusted prices, from the state in the previous row."""

from finlake_assets.lake_asset import lake_asset
from spark.contracts import gold

build = lake_asset(gold.INDICATORS)
