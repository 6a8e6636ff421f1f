"""gold.monthly_summary: whole months from the daily analytics; a month's return starts at the previous month's last close."""

from finlake_assets.lake_asset import lake_asset
from spark.contracts import gold

build = lake_asset(gold.MONTHLY_SUMMARY)
