"""gold.ml_labels: what the two sessions after each session brought; a new session completes those that waited for it."""

from finlake_assets.lake_asset import lake_asset
from spark.contracts import gold

build = lake_asset(gold.ML_LABELS)
