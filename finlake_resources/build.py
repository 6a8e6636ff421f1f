"""Resources from settings: which object stands behind each resource key."""

from pathlib import Path
from typing import TypedDict

from finlake_clients.alert_webhook import AlertWebhook
from finlake_clients.clickhouse.server import ClickHouse
from finlake_clients.connect.change_capture import ChangeCapture
from finlake_clients.gdelt.feed import GdeltFeed
from finlake_clients.kafka.topics import topics_of
from finlake_clients.lake_client import LakeClient
from finlake_clients.postgres.market import Market
from finlake_clients.state_folder import StateFolder
from finlake_clients.stooq.feed import StooqPrices
from finlake_clients.universe_file import UniverseFile
from finlake_reconciliation.reconcile import build_reconciliation
from finlake_settings.checkout import CHECKOUT
from finlake_settings.processes import DagsterSettings, LakeSettings

CONNECTOR_FILE = CHECKOUT / "deploy" / "connectors" / "finlake-ods.json"


def build_resources(settings: DagsterSettings) -> dict[str, object]:
    """One resource per outside system, by the key under which assets and sensors ask for it; nothing is opened.

    `topics` is `kafka` with less patience: for those who look at many things and must not hang at one that is silent.
    """
    return {
        "jobs": build_jobs(settings),
        "stooq": StooqPrices(
            drop_location=settings.stooq.drop, base_url=settings.stooq.url, apikey_file=_text(settings.stooq.apikey_file),
            **_store(settings),
        ),
        "gdelt": GdeltFeed(base_url=settings.gdelt.url, delay_seconds=0.0 if settings.sources == "sample" else 0.1),
        "universe": UniverseFile(path=str(settings.universe)),
        "state_folder": StateFolder(path=str(settings.home)),
        **_stream_resources(settings),
    }


def _stream_resources(settings: DagsterSettings) -> dict[str, object]:
    kafka = settings.kafka
    return {
        "kafka": topics_of(kafka),
        "topics": topics_of(kafka, patience_s=5),
        "market": Market(uri=settings.market.uri, password_file=str(settings.market.reconcile_password_file)),
        "capture": ChangeCapture(
            connect_url=settings.connect.url, config_file=str(CONNECTOR_FILE),
            certificate_file=_text(settings.connect.certificate_file),
        ),
        "clickhouse": ClickHouse(
            url=settings.clickhouse.url, admin_password_file=str(settings.clickhouse.admin_password_file),
            reader_password_file=str(settings.clickhouse.reader_password_file), s3_endpoint=_store(settings)["s3_endpoint"],
        ),
        "reconciliation": build_reconciliation(settings),
        "alerts": AlertWebhook(url_file=_text(settings.alert.webhook_url_file)),
    }


def build_jobs(settings: LakeSettings) -> LakeClient:
    """The lake and its jobs."""
    return LakeClient(
        catalog_uri=settings.catalog.uri, catalog_password_file=str(settings.catalog.password_file),
        warehouse=settings.warehouse, spark_remote=settings.spark.remote, spark_token_file=_text(settings.spark.token_file),
        **_store(settings),
    )


class _Store(TypedDict):
    """Fields of an S3-compatible store in the resources that know one."""

    s3_endpoint: str | None
    s3_region: str | None
    s3_access_key_file: str | None
    s3_secret_key_file: str | None


def _store(settings: LakeSettings) -> _Store:
    s3 = settings.s3
    if not settings.uses_s3:
        return _Store(s3_endpoint=None, s3_region=None, s3_access_key_file=None, s3_secret_key_file=None)
    return _Store(
        s3_endpoint=s3.endpoint, s3_region=s3.region, s3_access_key_file=_text(s3.access_key_file),
        s3_secret_key_file=_text(s3.secret_key_file))


def _text(file: Path | None) -> str | None:
    """A path as Dagster's resources take it."""
    return None if file is None else str(file)
