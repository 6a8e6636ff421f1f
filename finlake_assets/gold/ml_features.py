"""gold.ml_features: scale-free, point-in-time features of a session; what they look back on is in their own tables."""

from finlake_assets.lake_asset import lake_asset
from spark.contracts import gold

build = lake_asset(gold.ML_FEATURES)
