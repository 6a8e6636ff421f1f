"""What the defaults of settings and deploy/local share: the usual ports of a local stack, and where its secrets lie.

deploy/local starts the services at these ports and makes these files.
"""

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
"""The ports that settings name, by service; those that are no client's setting stand in deploy/local/services.py."""

SECRETS: Final = "secrets"
"""The folder of secrets in the state folder; the files below are in it."""

SPARK_TOKEN: Final = "spark_connect.token"
FINNHUB_TOKEN: Final = "finnhub.token"
CONNECT_CERTIFICATE: Final = "connect.pem"
KAFKA_PASSWORD: Final = "kafka.password"
DAGSTER_WEB_PASSWORD: Final = "dagster_web.password"


def password_of(user: str) -> str:
    """The file with the password of a role of Postgres, or of `clickhouse_<user>`."""
    return f"{user}.password"
