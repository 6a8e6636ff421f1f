"""The only reader of environment variables: `FINLAKE_*` names become one typed record.

Belongs here: names and types of variables. Does not belong here: what they mean or default to per environment
(settings.py).
"""

from pathlib import Path
from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict

EnvironmentName = Literal["local", "staging", "production"]
SourcesName = Literal["sample", "live"]


class RawEnvironment(BaseSettings):
    """What the process was told, before any default is applied; secrets are given as paths of files."""

    model_config = SettingsConfigDict(env_prefix="FINLAKE_", frozen=True, extra="ignore")

    environment: EnvironmentName = "local"
    home: Path | None = None
    catalog_uri: str | None = None
    catalog_password_file: Path | None = None
    warehouse: str | None = None
    spark_remote: str | None = None
    spark_token_file: Path | None = None
    sources: SourcesName | None = None
    unattended: bool | None = None
    sample_sources_url: str | None = None
    stooq_drop: str | None = None
    stooq_apikey_file: Path | None = None
    universe: Path | None = None
    dagster_url: str | None = None
    dagster_password_file: Path | None = None
    market_uri: str | None = None
    market_feed_password_file: Path | None = None
    market_reconcile_password_file: Path | None = None
    kafka_bootstrap: str | None = None
    kafka_password_file: Path | None = None
    connect_url: str | None = None
    connect_certificate_file: Path | None = None
    clickhouse_url: str | None = None
    clickhouse_admin_password_file: Path | None = None
    clickhouse_sink_password_file: Path | None = None
    clickhouse_reader_password_file: Path | None = None
    finnhub_url: str | None = None
    finnhub_ws_url: str | None = None
    finnhub_token_file: Path | None = None
    finnhub_symbols: str | None = None
    alert_webhook_url_file: Path | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None
    s3_access_key_file: Path | None = None
    s3_secret_key_file: Path | None = None


def read_environment() -> RawEnvironment:
    """The variables of this process; raises pydantic's `ValidationError` naming a variable with an impossible value."""
    return RawEnvironment()
