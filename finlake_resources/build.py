"""Resources from settings: which object stands behind each resource key."""

from typing import TypedDict

from finlake_resources.alert_webhook import AlertWebhook
from finlake_resources.change_capture import ChangeCapture
from finlake_resources.clickhouse import ClickHouse
from finlake_resources.gdelt import GdeltFeed
from finlake_resources.kafka import topics_of
from finlake_resources.market import Market
from finlake_resources.reconciliation.reconcile import build_reconciliation
from finlake_resources.settings import PROJECT_ROOT, Settings
from finlake_resources.spark_jobs import SparkJobs
from finlake_resources.state_folder import StateFolder
from finlake_resources.stooq.resource import StooqPrices
from finlake_resources.universe_file import UniverseFile

CONNECTOR_FILE = PROJECT_ROOT / "deploy" / "connectors" / "finlake-ods.json"


def build_resources(settings: Settings) -> dict[str, object]:
    """One resource per outside system, by the key under which assets and sensors ask for it; nothing is opened.

    `topics` is `kafka` with less patience: for those who look at many things and must not hang at one that is silent.
    """
    return {
        "jobs": build_jobs(settings),
        "stooq": StooqPrices(
            drop_location=settings.stooq_drop, base_url=settings.stooq_url,
            apikey_file=str(settings.stooq_apikey_file) if settings.stooq_apikey_file else None,
            **_store(settings),
        ),
        "gdelt": GdeltFeed(base_url=settings.gdelt_url, delay_seconds=0.0 if settings.sources == "sample" else 0.1),
        "universe": UniverseFile(path=str(settings.universe_path)),
        "state_folder": StateFolder(path=str(settings.home)),
        **_stream_resources(settings),
    }


def _stream_resources(settings: Settings) -> dict[str, object]:
    stream = settings.stream
    return {
        "kafka": topics_of(stream.kafka),
        "topics": topics_of(stream.kafka, patience_s=5),
        "market": Market(uri=stream.market_uri, password_file=str(stream.market_reconcile_password_file)),
        "capture": ChangeCapture(
            connect_url=stream.connect_url, config_file=str(CONNECTOR_FILE),
            certificate_file=str(stream.connect_certificate_file) if stream.connect_certificate_file else None,
        ),
        "clickhouse": ClickHouse(
            url=stream.clickhouse_url, admin_password_file=str(stream.clickhouse_admin_password_file),
            reader_password_file=str(stream.clickhouse_reader_password_file),
            s3_endpoint=settings.s3.endpoint if settings.s3 else None,
        ),
        "reconciliation": build_reconciliation(stream),
        "alerts": AlertWebhook(
            url_file=str(stream.alert_webhook_url_file) if stream.alert_webhook_url_file else None),
    }


def build_jobs(settings: Settings) -> SparkJobs:
    """The lake and its jobs."""
    return SparkJobs(
        catalog_uri=settings.catalog_uri, catalog_password_file=str(settings.catalog_password_file),
        warehouse=settings.warehouse, spark_remote=settings.spark_remote,
        spark_token_file=str(settings.spark_token_file) if settings.spark_token_file else None, **_store(settings),
    )


class _Store(TypedDict):
    """Fields of an S3-compatible store in the resources that know one."""

    s3_endpoint: str | None
    s3_region: str | None
    s3_access_key_file: str | None
    s3_secret_key_file: str | None


def _store(settings: Settings) -> _Store:
    s3 = settings.s3
    return _Store(
        s3_endpoint=s3.endpoint if s3 else None, s3_region=s3.region if s3 else None,
        s3_access_key_file=str(s3.access_key_file) if s3 else None,
        s3_secret_key_file=str(s3.secret_key_file) if s3 else None,
    )
