"""What the feed tells Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_INSERT_BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class FeedMetrics:
    """All metrics of one feed, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.messages_received = self._counter("messages_received", "Websocket messages by type.", "type")
        self.trades_received = self._counter("trades_received", "Trades read from the websocket that can be stored.")
        self.trades_rejected = self._counter("trades_rejected", "Trades that cannot be stored, in rejected messages.")
        self.trades_in_other_units = self._counter(
            "trades_in_other_units", "Trades whose time came in seconds, micro- or nanoseconds and was converted."
        )
        self.messages_rejected = self._counter("messages_rejected", "Messages of which something cannot be stored.")
        self.rows_written = self._counter("rows_written", "Rows that Postgres has committed.", "table")
        self.insert_seconds = Histogram(
            "finlake_feed_insert_seconds",
            "One transaction into Postgres, without retries.",
            buckets=_INSERT_BOUNDS_S,
            registry=self.registry,
        )
        self.postgres_errors = self._counter("postgres_errors", "Attempts to write that failed and were repeated.")
        self.buffered_rows = self._gauge("buffered_rows", "Rows received and not yet committed.")
        self.buffer_capacity_rows = self._gauge("buffer_capacity_rows", "Buffered rows at which reading stops.")
        self.is_connected = self._gauge("connected", "1 while a websocket connection has given a sign of life.")
        self.connections = self._counter("connections", "Websocket connections opened.")
        self.disconnects = self._counter("disconnects", "Websocket connections ended, by reason.", "reason")
        self.connect_failures = self._counter("connect_failures", "Attempts to connect that failed.")
        self.gaps = self._counter("gaps", "Gaps recorded.", "reason")
        self.vendor_errors = self._counter("vendor_errors", "Messages of type error.")
        self.last_message_age = self._gauge(
            "last_message_age_seconds",
            "Seconds since the last websocket message of any type; NaN before the first.",
        )
        self.last_message_age.set(float("nan"))
        self.subscribed_symbols = self._gauge("subscribed_symbols", "Symbols asked for on the websocket.")
        self.quote_calls = self._counter(
            "quote_calls",
            "Calls for a quote, by outcome: stored, unknown_symbol, rate_limited, refused, failed.",
            "outcome",
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"finlake_feed_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"finlake_feed_{name}", text, registry=self.registry)
