"""What the sink says about itself: Prometheus metrics, and its state."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class SinkMetrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        topic, partition = ("topic",), ("topic", "partition")
        self.rows = Counter("finlake_sink_rows", "Rows inserted", topic, registry=registry)
        self.blocks = Counter("finlake_sink_blocks", "Blocks inserted", topic, registry=registry)
        self.dead_letters = Counter(
            "finlake_sink_dead_letters", "Records sent to the dead letters", ("topic", "reason"), registry=registry
        )
        self.read_again = Counter(
            "finlake_sink_read_again", "Rows of snapshots left out, being held already", topic, registry=registry
        )
        self.not_applied = Counter(
            "finlake_sink_not_applied", "Updates and deletes, which the speed tables do not apply", topic, registry=registry
        )
        self.replays = Counter(
            "finlake_sink_plans_replayed", "Blocks found in flight and inserted again", topic, registry=registry
        )
        self.gaps = Counter(
            "finlake_sink_lost_offsets", "Offsets that Kafka deleted before they were read", topic, registry=registry
        )
        self.rejoins = Counter("finlake_sink_rejoins", "Times the group was left and joined anew", registry=registry)
        self.step_seconds = Histogram(
            "finlake_sink_step_seconds", "Duration of a block's steps", ("step",), buckets=_SECONDS, registry=registry
        )
        self.last_commit_seconds = Gauge("finlake_sink_last_commit_seconds", "Duration of the last commit", registry=registry)
        self.last_commit_to_insert_seconds = Gauge(
            "finlake_sink_last_commit_to_insert_seconds",
            "From Postgres's commit to the end of the insert, newest row",
            topic,
            registry=registry,
        )
        self.lag = Gauge("finlake_sink_lag_records", "Offsets of the log not yet inserted", partition, registry=registry)
        self.is_waiting = Gauge(
            "finlake_sink_waiting", "1 while something outside keeps the sink from inserting", registry=registry
        )


@dataclass(frozen=True)
class Health:
    """`status` is starting, ok or waiting; `waiting_for` says for what, in words."""

    status: str
    waiting_for: str = ""

    @property
    def answer(self) -> tuple[int, dict[str, str]]:
        """What /health says: 503 unless all is healthy."""
        return 200 if self.status == "ok" else 503, {"status": self.status, "waiting_for": self.waiting_for}
