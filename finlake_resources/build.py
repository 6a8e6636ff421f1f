"""Resources from settings: which object stands behind each resource key."""

from typing import TypedDict

from finlake_resources.gdelt import GdeltFeed
from finlake_resources.settings import Settings
from finlake_resources.spark_jobs import SparkJobs
from finlake_resources.stooq import StooqPrices
from finlake_resources.universe_file import UniverseFile


def build_resources(settings: Settings) -> dict[str, object]:
    """`jobs`, `stooq`, `gdelt` and `universe`, configured; nothing is opened."""
    return {
        "jobs": build_jobs(settings),
        "stooq": StooqPrices(
            drop_location=settings.stooq_drop, base_url=settings.stooq_url,
            apikey_file=str(settings.stooq_apikey_file) if settings.stooq_apikey_file else None,
            **_store(settings),
        ),
        "gdelt": GdeltFeed(base_url=settings.gdelt_url, delay_seconds=0.0 if settings.sources == "sample" else 0.1),
        "universe": UniverseFile(path=str(settings.universe_path)),
    }


def build_jobs(settings: Settings) -> SparkJobs:
    """The lake and its jobs."""
    return SparkJobs(
        catalog_uri=settings.catalog_uri, catalog_password_file=str(settings.catalog_password_file),
        warehouse=settings.warehouse, spark_remote=settings.spark_remote, **_store(settings),
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
