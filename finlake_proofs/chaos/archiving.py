"""Archiving without Dagster: the jobs of the stream one after the other, as a run of Dagster would carry them out."""

from collections.abc import Mapping
from datetime import UTC, datetime

from finlake_clients.kafka.topics import KafkaTopics
from finlake_proofs.bench.lake_steps import lake_jobs
from finlake_settings.groups import Kafka
from spark.contracts import gold
from spark.contracts.job_inputs import ArchiveInputs, RebuildInputs
from spark.contracts.report import Provenance, Window
from spark.contracts.streams import STREAMS

PROVENANCE = Provenance(run_id="chaos", partition="chaos", code_version="chaos")
BRONZE = tuple(each.changes for each in STREAMS)
FROM_BRONZE = (*(each.settled for each in STREAMS), gold.CANDLES_1M)


def archive_all(environment: Mapping[str, str], kafka: Kafka) -> None:
    """Bring all that is in Kafka to bronze, silver and candles."""
    jobs, today = lake_jobs(environment), datetime.now(UTC).date()
    window = Window(start=today, end=today)
    topics = KafkaTopics.of(kafka)
    for table in BRONZE:
        jobs.run(ArchiveInputs(table=table, topics=topics, ends=None), window=window, provenance=PROVENANCE)
    for table in FROM_BRONZE:
        jobs.run(RebuildInputs(table=table), window=window, provenance=PROVENANCE)
