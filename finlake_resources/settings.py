"""Everything that differs between a laptop, staging and production, in one exhaustive mapping of frozen settings.

Belongs here: defaults and rules per environment. Does not belong here: reading variables (environment.py), secrets
(they stay in files until a resource needs them).
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from finlake_resources.environment import EnvironmentName, RawEnvironment, SourcesName
from finlake_resources.kafka_access import KafkaAccess

PROJECT_ROOT = Path(__file__).resolve().parent.parent
LIVE_STOOQ_URL = "https://stooq.com"
LIVE_GDELT_URL = "http://data.gdeltproject.org"
LIVE_FINNHUB_URL = "https://finnhub.io/api/v1"
LIVE_FINNHUB_WS_URL = "wss://ws.finnhub.io"
# Followed unless told otherwise: a coin trades when the exchanges are closed.
ALWAYS_TRADED = "BINANCE:BTCUSDT"


class SettingsError(ValueError):
    """A setting is missing or makes no sense; the message names the variable to set."""


@dataclass(frozen=True, kw_only=True)
class S3Settings:
    """An S3-compatible store; the two keys are read from files when a client is made."""

    endpoint: str
    region: str
    access_key_file: Path
    secret_key_file: Path


@dataclass(frozen=True, kw_only=True)
class EnvironmentRules:
    """What an environment decides by itself, whatever the variables say."""

    default_sources: SourcesName
    may_use_sample_sources: bool
    needs_every_variable: bool


RULES: dict[EnvironmentName, EnvironmentRules] = {
    "local": EnvironmentRules(default_sources="sample", may_use_sample_sources=True, needs_every_variable=False),
    "staging": EnvironmentRules(default_sources="live", may_use_sample_sources=True, needs_every_variable=True),
    "production": EnvironmentRules(default_sources="live", may_use_sample_sources=False, needs_every_variable=True),
}


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """Where trades and quotes flow: from Finnhub through Postgres and Kafka to ClickHouse.

    `market_uri` and `clickhouse_url` hold neither user nor password; each user's password is read from its file when a
    client is made. `connect_certificate_file` None: Kafka Connect asks for no certificate. `finnhub_token_file` None: there is no
    token, and the feed refuses to start. `finnhub_symbols` are
    followed beside the universe's, such as BINANCE:BTCUSDT.
    """

    market_uri: str
    market_feed_password_file: Path
    market_reconcile_password_file: Path
    kafka: KafkaAccess
    connect_url: str
    connect_certificate_file: Path | None
    clickhouse_url: str
    clickhouse_admin_password_file: Path
    clickhouse_sink_password_file: Path
    clickhouse_reader_password_file: Path
    finnhub_url: str
    finnhub_ws_url: str
    finnhub_token_file: Path | None
    finnhub_symbols: tuple[str, ...]
    alert_webhook_url_file: Path | None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One complete, consistent configuration.

    `sources_end_date` is the last session the sources know (None when they go on); `sources_holes` are sessions before it of
    which they have no bar, although the exchange traded; `runs_unattended` says whether
    schedules, sensors and automation start by themselves: with live sources, unless FINLAKE_UNATTENDED says otherwise.
    """

    environment: EnvironmentName
    sources: SourcesName
    home: Path
    history_start: date
    sources_end_date: date | None
    sources_holes: frozenset[date]
    runs_unattended: bool
    universe_path: Path
    catalog_uri: str
    catalog_password_file: Path
    warehouse: str
    spark_remote: str
    spark_token_file: Path | None
    dagster_url: str
    dagster_password_file: Path | None
    stooq_url: str
    stooq_drop: str
    stooq_apikey_file: Path | None
    gdelt_url: str
    s3: S3Settings | None
    stream: StreamSettings


def settings_for(raw: RawEnvironment) -> Settings:
    """Settings of the environment named in `raw`.

    Raises `SettingsError` when an environment that must be told everything was not, when production is asked to use
    sample data, or when an S3 warehouse lacks its endpoint or keys.
    """
    rules = RULES[raw.environment]
    sources = raw.sources or rules.default_sources
    if sources == "sample" and not rules.may_use_sample_sources:
        raise SettingsError(f"{raw.environment} must not read sample data; set FINLAKE_SOURCES=live")
    home = (raw.home or PROJECT_ROOT / ".finlake").absolute()
    local_defaults = {} if rules.needs_every_variable else {
        "catalog_uri": "postgresql+psycopg2://lake@127.0.0.1:15432/lake",
        "catalog_password_file": str(home / "secrets" / "lake.password"),
        "warehouse": f"file://{home / 'warehouse'}",
        "spark_remote": "sc://127.0.0.1:15002",
        "dagster_url": "http://127.0.0.1:3000",
        "stooq_drop": str(home / "stooq_drop"),
        "market_uri": "postgresql://127.0.0.1:15432/market",
        "market_feed_password_file": str(home / "secrets" / "feed.password"),
        "market_reconcile_password_file": str(home / "secrets" / "reconcile.password"),
        "kafka_bootstrap": "127.0.0.1:19092",
        "connect_url": "https://127.0.0.1:18083",
        "clickhouse_url": "http://127.0.0.1:18123",
        "clickhouse_admin_password_file": str(home / "secrets" / "clickhouse_admin.password"),
        "clickhouse_sink_password_file": str(home / "secrets" / "clickhouse_sink.password"),
        "clickhouse_reader_password_file": str(home / "secrets" / "clickhouse_reader.password"),
    }

    def told(name: str) -> str:
        value = getattr(raw, name)
        if value is None:
            value = local_defaults.get(name)
        if value is None:
            raise SettingsError(f"{raw.environment} needs FINLAKE_{name.upper()}; set it, there is no default outside local")
        return str(value)

    def secret(named: Path | None, local_name: str) -> Path | None:
        """A file that a cluster may do without: who may reach its services there is decided by its network."""
        return named or (None if rules.needs_every_variable else home / "secrets" / local_name)

    samples = raw.sample_sources_url or "http://127.0.0.1:18090"

    def sample_or(live_url: str, sample_url: str = samples) -> str:
        return live_url if sources == "live" else sample_url

    stream = StreamSettings(
        market_uri=told("market_uri"),
        kafka=KafkaAccess(told("kafka_bootstrap"), secret(raw.kafka_password_file, "kafka.password")),
        connect_url=told("connect_url"), connect_certificate_file=secret(raw.connect_certificate_file, "connect.pem"),
        market_feed_password_file=Path(told("market_feed_password_file")),
        market_reconcile_password_file=Path(told("market_reconcile_password_file")),
        clickhouse_url=told("clickhouse_url"),
        clickhouse_admin_password_file=Path(told("clickhouse_admin_password_file")),
        clickhouse_sink_password_file=Path(told("clickhouse_sink_password_file")),
        clickhouse_reader_password_file=Path(told("clickhouse_reader_password_file")),
        finnhub_url=raw.finnhub_url or sample_or(LIVE_FINNHUB_URL, f"{samples}/finnhub/api/v1"),
        finnhub_ws_url=raw.finnhub_ws_url or sample_or(LIVE_FINNHUB_WS_URL, f"{samples}/finnhub/ws".replace("http", "ws", 1)),
        finnhub_token_file=raw.finnhub_token_file or (home / "secrets" / "finnhub.token" if sources == "sample" else None),
        finnhub_symbols=_listed(ALWAYS_TRADED if raw.finnhub_symbols is None else raw.finnhub_symbols),
        alert_webhook_url_file=raw.alert_webhook_url_file,
    )

    return Settings(
        environment=raw.environment, sources=sources, home=home,
        history_start=date(2000, 1, 3),
        sources_end_date=date(2018, 3, 27) if sources == "sample" else None,
        sources_holes=frozenset({date(2017, 11, 8)}) if sources == "sample" else frozenset(),
        runs_unattended=sources == "live" if raw.unattended is None else raw.unattended,
        universe_path=raw.universe or PROJECT_ROOT / "universe.toml",
        catalog_uri=told("catalog_uri"), catalog_password_file=Path(told("catalog_password_file")),
        warehouse=told("warehouse"), spark_remote=told("spark_remote"),
        spark_token_file=secret(raw.spark_token_file, "spark_connect.token"), dagster_url=told("dagster_url"),
        dagster_password_file=secret(raw.dagster_password_file, "dagster_web.password"),
        stooq_url=sample_or(LIVE_STOOQ_URL), stooq_drop=told("stooq_drop"), stooq_apikey_file=raw.stooq_apikey_file,
        gdelt_url=sample_or(LIVE_GDELT_URL), s3=_s3_settings(raw),
        stream=stream,
    )


def _listed(text: str) -> tuple[str, ...]:
    """The entries of a list that is separated by commas."""
    return tuple(entry.strip() for entry in text.split(",") if entry.strip())


def _s3_settings(raw: RawEnvironment) -> S3Settings | None:
    """S3 access when the warehouse or the drop folder is there, else None."""
    if not any((place or "").startswith("s3://") for place in (raw.warehouse, raw.stooq_drop)):
        return None
    names = ("s3_endpoint", "s3_access_key_file", "s3_secret_key_file")
    missing = [f"FINLAKE_{name.upper()}" for name in names if getattr(raw, name) is None]
    if missing or raw.s3_endpoint is None or raw.s3_access_key_file is None or raw.s3_secret_key_file is None:
        raise SettingsError(f"an s3:// location needs {', '.join(missing)}; set them")
    return S3Settings(endpoint=raw.s3_endpoint, region=raw.s3_region or "us-east-1",
                      access_key_file=raw.s3_access_key_file, secret_key_file=raw.s3_secret_key_file)
