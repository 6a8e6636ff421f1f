"""bronze.finnhub_trades_cdc: the changes of trades that Kafka holds and the archive does not."""

from finlake_assets.archive import archived_asset
from spark.contracts import bronze

build = archived_asset(bronze.FINNHUB_TRADES_CDC)
