"""The settings of an S3-compatible store, as the clients that use one take them."""

from typing import TypedDict

from finlake_clients.service_client import path_text
from finlake_settings.processes import LakeSettings


class ObjectStore(TypedDict):
    """Endpoint and region of a store, and the files of its two keys; all None where there is none, or it is AWS."""

    s3_endpoint: str | None
    s3_region: str | None
    s3_access_key_file: str | None
    s3_secret_key_file: str | None


def object_store(settings: LakeSettings) -> ObjectStore:
    """The store of these settings, where any of their locations is in one."""
    s3 = settings.s3
    if not settings.uses_s3:
        return ObjectStore(s3_endpoint=None, s3_region=None, s3_access_key_file=None, s3_secret_key_file=None)
    return ObjectStore(
        s3_endpoint=s3.endpoint,
        s3_region=s3.region,
        s3_access_key_file=path_text(s3.access_key_file),
        s3_secret_key_file=path_text(s3.secret_key_file),
    )
