"""Where the services of a local stack answer unless their ports were moved; deploy/local starts them there."""

from collections.abc import Mapping
from typing import Final

LOOPBACK: Final = "127.0.0.1"

USUAL_PORTS: Mapping[str, int] = {
    "postgres": 15432,
    "kafka": 19092,
    "kafka_connect": 18083,
    "clickhouse": 18123,
    "sample_sources": 18090,
    "spark_connect": 15002,
    "dagster_webserver": 3000,
}
"""The ports that settings name, by service; those that no client is told of stand in deploy/local/services.py."""
