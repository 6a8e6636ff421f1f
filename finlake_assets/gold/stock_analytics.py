"""gold.stock_analytics: prices, returns, trend, drawdown, volatility, regime and news beside each other."""

from finlake_assets.lake_asset import lake_asset
from spark.contracts import gold

build = lake_asset(gold.STOCK_ANALYTICS)
