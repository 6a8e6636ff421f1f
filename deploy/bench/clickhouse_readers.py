"""ClickHouse clients of the measuring commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from finlake_resources.settings import StreamSettings

if TYPE_CHECKING:
    from pathlib import Path

    from clickhouse_connect.driver.client import Client


@contextmanager
def reader(stream: StreamSettings) -> "Iterator[Client]":
    """A client with the rights of whoever looks at the tables."""
    with _client(stream, "reader", stream.clickhouse_reader_password_file) as client:
        yield client


@contextmanager
def admin(stream: StreamSettings) -> "Iterator[Client]":
    """A client that may do everything."""
    with _client(stream, "admin", stream.clickhouse_admin_password_file) as client:
        yield client


@contextmanager
def _client(stream: StreamSettings, user: str, password_file: "Path") -> "Iterator[Client]":
    import clickhouse_connect

    url = urlsplit(stream.clickhouse_url)
    client = clickhouse_connect.get_client(
        host=url.hostname or "", port=url.port or 8123, secure=url.scheme == "https", username=user,
        password=password_file.read_text(encoding="utf-8").strip())
    try:
        yield client
    finally:
        client.close()
