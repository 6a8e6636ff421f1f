"""Resources from settings: which object stands behind each resource key."""

from finlake_resources.gdelt import GdeltFeed
from finlake_resources.settings import Settings
from finlake_resources.spark_jobs import SparkJobs
from finlake_resources.stooq import StooqPrices
from finlake_resources.universe_file import UniverseFile


def build_resources(settings: Settings) -> dict[str, object]:
    """`jobs`, `stooq`, `gdelt` and `universe`, configured; nothing is opened."""
    s3 = settings.s3
    store = {} if s3 is None else {
        "s3_endpoint": s3.endpoint, "s3_region": s3.region,
        "s3_access_key_file": str(s3.access_key_file), "s3_secret_key_file": str(s3.secret_key_file),
    }
    return {
        "jobs": SparkJobs(
            catalog_uri=settings.catalog_uri, catalog_password_file=str(settings.catalog_password_file),
            warehouse=settings.warehouse, spark_remote=settings.spark_remote, **store,
        ),
        "stooq": StooqPrices(
            drop=settings.stooq_drop, base_url=settings.stooq_url,
            apikey_file=str(settings.stooq_apikey_file) if settings.stooq_apikey_file else None,
        ),
        "gdelt": GdeltFeed(base_url=settings.gdelt_url),
        "universe": UniverseFile(path=str(settings.universe_path)),
    }
