"""The settings of one stack: its ports, what the user asked for, and the variables that its clients need."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.kafka import connect_url
from deploy.local.layout import Layout
from deploy.local.passwords import password_from, write_private
from deploy.local.ports import LOOPBACK, Ports

CLICKHOUSE_USERS = ("clickhouse_admin", "clickhouse_sink", "clickhouse_reader")


@dataclass(frozen=True)
class Settings:
    """`variables` are the product's variables that the user has set; they win over the stack's own values."""

    ports: Ports
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def uses_live_sources(self) -> bool:
        return self.variables.get("FINLAKE_SOURCES") == "live"

    @property
    def uses_s3(self) -> bool:
        return self.variables.get("FINLAKE_WAREHOUSE", "").startswith("s3://")


def client_environment(layout: Layout, settings: Settings) -> dict[str, str]:
    """What a process needs to use the stack. Passwords appear as paths of files only."""
    ports = settings.ports
    own = {
        "FINLAKE_ENVIRONMENT": "local",
        "FINLAKE_HOME": str(layout.home),
        "FINLAKE_CATALOG_URI": f"postgresql+psycopg2://lake@{LOOPBACK}:{ports['postgres']}/lake",
        "FINLAKE_CATALOG_PASSWORD_FILE": str(layout.password_file("lake")),
        # Not percent-encoded: both Iceberg implementations take a location's path literally.
        "FINLAKE_WAREHOUSE": f"file://{layout.warehouse}",
        "FINLAKE_SPARK_REMOTE": f"sc://{LOOPBACK}:{ports['spark_connect']}",
        "FINLAKE_SPARK_TOKEN_FILE": str(layout.spark_token),
        "FINLAKE_SOURCES": "sample",
        "FINLAKE_SAMPLE_SOURCES_URL": f"http://{LOOPBACK}:{ports['sample_sources']}",
        "FINLAKE_STOOQ_DROP": str(layout.stooq_drop),
        "FINLAKE_DAGSTER_URL": f"http://{LOOPBACK}:{ports['dagster_webserver']}",
        "FINLAKE_DAGSTER_PASSWORD_FILE": str(layout.dagster_web_password),
        "FINLAKE_MARKET_URI": f"postgresql://{LOOPBACK}:{ports['postgres']}/market",
        "FINLAKE_MARKET_FEED_PASSWORD_FILE": str(layout.password_file("feed")),
        "FINLAKE_MARKET_RECONCILE_PASSWORD_FILE": str(layout.password_file("reconcile")),
        "FINLAKE_KAFKA_BOOTSTRAP": f"{LOOPBACK}:{ports['kafka']}",
        "FINLAKE_KAFKA_PASSWORD_FILE": str(layout.kafka_password),
        "FINLAKE_CONNECT_URL": connect_url(ports),
        "FINLAKE_CONNECT_CERTIFICATE_FILE": str(layout.connect_certificate),
        "FINLAKE_CLICKHOUSE_URL": f"http://{LOOPBACK}:{ports['clickhouse']}",
        "DAGSTER_HOME": str(layout.dagster),
    }
    for user in CLICKHOUSE_USERS:
        own[f"FINLAKE_{user.upper()}_PASSWORD_FILE"] = str(layout.password_file(user))
    if not settings.uses_live_sources:
        own["FINLAKE_FINNHUB_TOKEN_FILE"] = str(layout.finnhub_token)
    return own | dict(settings.variables)


def needed_secrets(layout: Layout) -> list[Path]:
    """Files of the secrets that have to be there before any process starts; those of Postgres's roles come later."""
    return [*_drawn_secrets(layout), layout.connect_keystore, layout.connect_certificate]


def _drawn_secrets(layout: Layout) -> list[Path]:
    return [
        *(layout.password_file(user) for user in CLICKHOUSE_USERS),
        *(layout.kafka_password, layout.kafka_admin_password, layout.connect_password, layout.spark_token),
        layout.dagster_web_password,
        layout.finnhub_token,
    ]


def make_secrets(layout: Layout) -> None:
    """Generate the passwords and tokens that are not there yet."""
    for file in _drawn_secrets(layout):
        password_from(file)


def save(layout: Layout, settings: Settings) -> None:
    """Record the settings of a starting stack for later commands."""
    text = json.dumps({"ports": dict(settings.ports), "variables": dict(settings.variables)}, indent=2)
    write_private(layout.record, text + "\n")


def recorded(layout: Layout, defaults: Ports) -> Settings | None:
    """The settings of the last start, None when there was none; a port that was not known then has its default.

    Raises StackError when the record cannot be read.
    """
    if not layout.record.is_file():
        return None
    try:
        content = json.loads(layout.record.read_text())
        return Settings(defaults.moved(content["ports"]), dict(content["variables"]))
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise StackError(
            f"{layout.record} is not a record of ports and variables ({problem}); delete it, then run `finlake up`"
        ) from problem


def s3_keys(settings: Settings) -> tuple[str, str] | None:
    """Access and secret key for the warehouse in S3, None when the machine's own credentials apply.

    Raises StackError when a key file is named and cannot be read.
    """
    names = ("FINLAKE_S3_ACCESS_KEY_FILE", "FINLAKE_S3_SECRET_KEY_FILE")
    if not any(name in settings.variables for name in names):
        return None
    return _key(settings, names[0]), _key(settings, names[1])


def _key(settings: Settings, name: str) -> str:
    file = settings.variables.get(name)
    if file is None:
        raise StackError(f"{name} is not set; set both S3 key files or neither")
    try:
        return Path(file).read_text().strip()
    except OSError as problem:
        raise StackError(f"{name} names {file}, which cannot be read ({problem.strerror})") from problem
