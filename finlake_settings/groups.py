"""Every setting, declared once, by the system it is about; those of vendors stand in vendors.py.

A group holds what all of its users need; what a process needs beyond that, such as the password of its own user, is in a
subclass. Does not belong here: which process needs which group (processes.py).
"""

from pathlib import Path
from typing import Annotated

from finlake_settings.declaration import (
    Brokers,
    DatabaseAddress,
    Group,
    HttpAddress,
    Setting,
    StreamFormat,
)
from finlake_settings.local_stack import (
    CONNECT_CERTIFICATE,
    DAGSTER_WEB_PASSWORD,
    KAFKA_PASSWORD,
    LOOPBACK,
    SECRETS,
    SPARK_TOKEN,
    password_of,
)


def _secret(file: str) -> str:
    return f"{{home}}/{SECRETS}/{file}"


class Catalog(Group):
    """The Iceberg catalog in Postgres."""

    uri: Annotated[
        DatabaseAddress,
        Setting(
            about="SQLAlchemy URL of the Iceberg catalog, with its user and without a password",
            local=f"postgresql+psycopg2://lake@{LOOPBACK}:{{postgres}}/lake",
            is_of_stack=True,
        ),
    ]
    password_file: Annotated[
        Path,
        Setting(about="file with the password of the catalog's user", local=_secret(password_of("lake")), is_of_stack=True),
    ]


class Spark(Group):
    """The Spark Connect server."""

    remote: Annotated[
        str, Setting(about="address of the Spark Connect server", local=f"sc://{LOOPBACK}:{{spark_connect}}", is_of_stack=True)
    ]
    token_file: Annotated[
        Path | None,
        Setting(
            about="file with the token that the Spark Connect server asks for; none: it asks for none",
            local=_secret(SPARK_TOKEN),
            cluster=None,
            is_of_stack=True,
        ),
    ]


class S3(Group):
    """An S3-compatible store; needed when the warehouse or the drop folder is there."""

    endpoint: Annotated[HttpAddress | None, Setting(about="URL of the S3-compatible store", everywhere=None)]
    region: Annotated[str, Setting(about="region of the store", everywhere="us-east-1")]
    access_key_file: Annotated[Path | None, Setting(about="file with the store's access key", everywhere=None)]
    secret_key_file: Annotated[Path | None, Setting(about="file with the store's secret key", everywhere=None)]


class DagsterPages(Group):
    """Dagster's webserver, for whoever names its pages."""

    url: Annotated[
        HttpAddress, Setting(about="Dagster's webserver", local=f"http://{LOOPBACK}:{{dagster_webserver}}", is_of_stack=True)
    ]


class DagsterLogin(DagsterPages):
    """For whoever asks it."""

    password_file: Annotated[
        Path | None,
        Setting(
            about="file with the password of Dagster's pages; none: they ask for none",
            local=_secret(DAGSTER_WEB_PASSWORD),
            cluster=None,
            is_of_stack=True,
        ),
    ]


class MarketAccess(Group):
    """The database of trades and quotes."""

    uri: Annotated[
        DatabaseAddress,
        Setting(
            about="URL of the market's Postgres database, without user and password",
            local=f"postgresql://{LOOPBACK}:{{postgres}}/market",
            is_of_stack=True,
        ),
    ]


class FeedMarket(MarketAccess):
    """For whoever writes trades."""

    feed_password_file: Annotated[
        Path,
        Setting(
            about="file with the password of Postgres's role `feed`, which writes trades and quotes",
            local=_secret(password_of("feed")),
            is_of_stack=True,
        ),
    ]


class ReconcileMarket(MarketAccess):
    """For whoever compares and looks."""

    reconcile_password_file: Annotated[
        Path,
        Setting(
            about="file with the password of Postgres's role `reconcile`, which reads them",
            local=_secret(password_of("reconcile")),
            is_of_stack=True,
        ),
    ]


class Kafka(Group):
    """The broker."""

    bootstrap: Annotated[
        Brokers,
        Setting(about="Kafka's brokers as host:port, separated by commas", local=f"{LOOPBACK}:{{kafka}}", is_of_stack=True),
    ]
    password_file: Annotated[
        Path | None,
        Setting(
            about="file with the password of Kafka's user `finlake`; none: the brokers ask for no login",
            local=_secret(KAFKA_PASSWORD),
            cluster=None,
            is_of_stack=True,
        ),
    ]
    registry_url: Annotated[
        HttpAddress | None,
        Setting(
            about="schema registry of Avro records, without the path of its protocol; none: every record is JSON",
            everywhere=None,
            is_of_stack=True,
        ),
    ]
    registry_token_file: Annotated[
        Path | None,
        Setting(
            about="file with the token that the schema registry asks for; none: it asks for none",
            everywhere=None,
            is_of_stack=True,
        ),
    ]


class StreamRecords(Group):
    """What Kafka holds of the market."""

    format: Annotated[
        StreamFormat, Setting(about="what the connector writes, json or avro; readers take both", everywhere="json")
    ]


class Connect(Group):
    """Kafka Connect."""

    url: Annotated[
        HttpAddress,
        Setting(about="Kafka Connect's REST interface", local=f"https://{LOOPBACK}:{{kafka_connect}}", is_of_stack=True),
    ]
    certificate_file: Annotated[
        Path | None,
        Setting(
            about="PEM file with key and certificate for Kafka Connect; none: it asks for none",
            local=_secret(CONNECT_CERTIFICATE),
            cluster=None,
            is_of_stack=True,
        ),
    ]


class ClickHouseAccess(Group):
    """ClickHouse, which has a password per user."""

    url: Annotated[
        HttpAddress, Setting(about="ClickHouse's HTTP interface", local=f"http://{LOOPBACK}:{{clickhouse}}", is_of_stack=True)
    ]


class SinkClickHouse(ClickHouseAccess):
    """For whoever inserts trades."""

    sink_password_file: Annotated[
        Path,
        Setting(
            about="file with the password of ClickHouse's user `sink`",
            local=_secret(password_of("clickhouse_sink")),
            is_of_stack=True,
        ),
    ]


class ReaderClickHouse(ClickHouseAccess):
    """For whoever reads tables."""

    reader_password_file: Annotated[
        Path,
        Setting(
            about="file with the password of ClickHouse's user `reader`",
            local=_secret(password_of("clickhouse_reader")),
            is_of_stack=True,
        ),
    ]


class AdminClickHouse(ClickHouseAccess):
    """For whoever makes tables."""

    admin_password_file: Annotated[
        Path,
        Setting(
            about="file with the password of ClickHouse's user `admin`",
            local=_secret(password_of("clickhouse_admin")),
            is_of_stack=True,
        ),
    ]


class ServingClickHouse(ReaderClickHouse, AdminClickHouse):
    """For whoever fills tables and reads them."""


class Alert(Group):
    """Where alerts go."""

    webhook_url_file: Annotated[
        Path | None,
        Setting(
            about="file with the URL of the webhook that alerts are sent to; none: they are shown in Dagster only",
            everywhere=None,
        ),
    ]
