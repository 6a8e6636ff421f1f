"""What the keeper tells Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class KeeperMetrics:
    """All metrics of one keeper, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.is_running = Gauge(
            "finlake_capture_running", "1 while the connector and all of its tasks run.", registry=self.registry
        )
        self.failed_tasks = Gauge("finlake_capture_failed_tasks", "Tasks that have failed.", registry=self.registry)
        self.restarts = Counter(
            "finlake_capture_restarts", "Times that the connector was started again after a failure.", registry=self.registry
        )
        # Told here because the log that Postgres keeps while nothing is captured fills this disk.
        self.state_free_bytes = Gauge(
            "finlake_state_disk_free_bytes", "Bytes that the disk of the state folder still takes.", registry=self.registry
        )
