"""bronze.finnhub_quotes_cdc: the changes of quotes that Kafka holds and the archive does not."""

from finlake_assets.archive import archived_asset
from spark.contracts import bronze

build = archived_asset(bronze.FINNHUB_QUOTES_CDC)
