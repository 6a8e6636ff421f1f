"""Stooq's daily prices: what is set, and three verbs."""

from collections.abc import Mapping
from datetime import date

from pydantic import Field

from finlake_clients.service_client import ServiceClient
from finlake_clients.stooq.download import Downloader
from finlake_clients.stooq.drop_location import DropEntry, DropLocation
from finlake_clients.stooq.dropped_files import read_dropped
from finlake_clients.stooq.prices_file import StooqBatch, StooqFile


class StooqPrices(ServiceClient):
    """Stooq's daily prices from dropped files and over HTTP."""

    drop_location: str = Field(description="Folder or s3://bucket/prefix where a user drops Stooq files.")
    base_url: str = Field(default="https://stooq.com", description="Root of Stooq or of the sample sources.")
    apikey_file: str | None = Field(default=None, description="File with the user's API key; none: no key is sent.")
    connect_timeout_seconds: float = Field(default=10, gt=0)
    read_timeout_seconds: float = Field(default=60, gt=0)
    attempts: int = Field(default=4, ge=1, description="Tries of one download when the server fails or is not reached.")
    backoff_seconds: float = Field(default=1, ge=0, description="First pause between tries; it doubles.")
    s3_endpoint: str | None = Field(default=None, description="Endpoint of an S3-compatible store; none: AWS.")
    s3_region: str | None = Field(default=None)
    s3_access_key_file: str | None = Field(default=None, description="File that holds the access key id.")
    s3_secret_key_file: str | None = Field(default=None, description="File that holds the secret access key.")

    def list_drop(self) -> list[DropEntry]:
        """The files in the drop location by name, without folders, links and hidden files; raises as `DropLocation.entries`."""
        return self._drop().entries()

    def dropped_files(self, vendor_codes: Mapping[str, str]) -> StooqBatch:
        """The universe's prices in the drop location, and what was not usable; see `read_dropped`."""
        return read_dropped(self._drop(), vendor_codes)

    def download(self, ticker: str, vendor_code: str, start: date | None = None, end: date | None = None) -> StooqFile:
        """One ticker's CSV over HTTP, from `start` to `end`, both inclusive; raises as `Downloader.download`."""
        return Downloader(
            base_url=self.base_url,
            apikey_file=self.apikey_file,
            connect_timeout_seconds=self.connect_timeout_seconds,
            read_timeout_seconds=self.read_timeout_seconds,
            attempts=self.attempts,
            backoff_seconds=self.backoff_seconds,
        ).download(ticker, vendor_code, start, end)

    def _drop(self) -> DropLocation:
        return DropLocation(
            location=self.drop_location,
            s3_endpoint=self.s3_endpoint,
            s3_region=self.s3_region,
            s3_access_key_file=self.s3_access_key_file,
            s3_secret_key_file=self.s3_secret_key_file,
        )
