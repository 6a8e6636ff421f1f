"""Run the sink: `python -m finlake_services.clickhouse_sink --metrics-port N [--memory-mb M] [--instance NAME]`."""

import logging
from contextlib import closing
from typing import Annotated

import structlog
import typer

from finlake_services.clickhouse_sink.clickhouse import SinkConnection
from finlake_services.clickhouse_sink.consumer_configuration import Broker
from finlake_services.clickhouse_sink.dead_letters import DeadLetters
from finlake_services.clickhouse_sink.exactly_once import CorruptPlanError, TopicReplacedError
from finlake_services.clickhouse_sink.memory import DEFAULT_MEMORY_MB
from finlake_services.clickhouse_sink.metrics import SinkMetrics
from finlake_services.clickhouse_sink.sink import Sink
from finlake_services.metrics_server import MetricsServer
from finlake_services.runtime import log_as_json, own_settings, stop_of_threads
from finlake_settings.processes import SinkSettings


def main(
    metrics_port: Annotated[int, typer.Option(min=1, max=65535, help="Loopback port of /metrics and /health.")],
    memory_mb: Annotated[int, typer.Option(min=64, help="About how much memory to use; an eighth holds fetched records.")] = (
        DEFAULT_MEMORY_MB
    ),
    instance: Annotated[
        str | None,
        typer.Option(
            help="Name of this member, unique in the group: a process restarted under it takes over at once.",
        ),
    ] = None,
) -> None:
    """Insert trades and quotes from Kafka into ClickHouse, each exactly once, until stopped by SIGINT or SIGTERM."""
    log_as_json()
    # Its warnings repeat, attempt by attempt, what the sink says once.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    log = structlog.get_logger()
    settings = own_settings(SinkSettings)
    kafka, server = settings.kafka, settings.clickhouse
    stop = stop_of_threads()
    metrics = SinkMetrics()
    sink = Sink(
        Broker(kafka=kafka, instance=instance, queue_kbytes=memory_mb * 1024 // 8),
        SinkConnection(server.url, server.sink_password_file),
        DeadLetters(kafka),
        metrics,
        stop,
    )
    with closing(MetricsServer(metrics_port, metrics.registry, lambda: sink.health().answer)):
        log.info("sink start", kafka=kafka.bootstrap, clickhouse=server.url, metrics_port=metrics_port)
        try:
            sink.run()
        except (CorruptPlanError, TopicReplacedError) as error:
            log.error("sink ends", error=str(error))
            raise typer.Exit(1) from error
    log.info("sink stop")


if __name__ == "__main__":
    typer.run(main)
