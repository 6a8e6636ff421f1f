"""Archiving without Dagster: the jobs of the stream one after the other, as a run of Dagster would carry them out."""

from collections.abc import Mapping
from datetime import UTC, datetime

from deploy.bench.lake_steps import lake_jobs
from finlake_resources.kafka import topics_of
from finlake_resources.kafka_access import KafkaAccess
from spark.contracts import bronze, gold, silver
from spark.jobs.report import Provenance, Window

PROVENANCE = Provenance(run_id="chaos", partition="chaos", code_version="chaos")
BRONZE = (bronze.FINNHUB_TRADES_CDC.address, bronze.FINNHUB_QUOTES_CDC.address)
FROM_BRONZE = (silver.TRADES.address, silver.QUOTES.address, gold.CANDLES_1M.address)


def archive_all(environment: Mapping[str, str], kafka: KafkaAccess) -> None:
    """Bring all that is in Kafka to bronze, silver and candles."""
    jobs, today = lake_jobs(environment), datetime.now(UTC).date()
    window = Window(start=today, end=today)
    topics = topics_of(kafka)
    for address in BRONZE:
        jobs.run(address, window=window, provenance=PROVENANCE, inputs={"topics": topics, "ends": None})
    for address in FROM_BRONZE:
        jobs.run(address, window=window, provenance=PROVENANCE)
