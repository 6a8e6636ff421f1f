"""What the endpoint counts, for Prometheus: statements, errors, rows, seconds, memory, room; no text of a statement."""

import shutil
from collections.abc import Iterator

import psutil
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from finlake_services.clickhouse_local.execution import Endpoint

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class _Present(Collector):
    """What is measured when it is asked for."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._process = psutil.Process()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily(
            "finlake_clickhouse_running_queries", "Statements that run now", value=self._endpoint.registry.count()
        )
        yield GaugeMetricFamily(
            "finlake_clickhouse_resident_memory_bytes",
            "Resident memory of the endpoint and its engine",
            value=self._process.memory_info().rss,
        )
        yield GaugeMetricFamily(
            "finlake_clickhouse_disk_free_bytes",
            "Bytes that the disk of the engine's folder still takes",
            value=shutil.disk_usage(self._endpoint.engine.home).free,
        )


class EndpointMetrics:
    """The endpoint's counters."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._registry = CollectorRegistry()
        self.queries = Counter(
            "finlake_clickhouse_queries", "Statements by user and kind", ["user", "kind"], registry=self._registry
        )
        self.errors = Counter(
            "finlake_clickhouse_errors", "Statements that failed, by ClickHouse's code", ["code"], registry=self._registry
        )
        self.rows_inserted = Counter(
            "finlake_clickhouse_rows_inserted", "Rows written by INSERT, views included", registry=self._registry
        )
        self.seconds = Histogram(
            "finlake_clickhouse_query_seconds",
            "Time from the request to the end of its answer",
            ["kind"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._registry.register(_Present(endpoint))

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
