"""Clients of ClickHouse: the one way from an address and a password's file to a connection.

Does not belong here: what is asked of the server, and the errors of whoever asks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from finlake_resources.settings import StreamSettings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

User = Literal["admin", "reader", "sink"]


def open_client(
    url: str, user: User, password_file: Path, *, connect_timeout_s: int = 10, answer_timeout_s: int = 300,
) -> "Client":
    """A client of the server at `url`, without a session, so that threads may share it. To be closed.

    Raises `OSError` for a password file that cannot be read, and clickhouse-connect's errors for a server that does not
    answer or refuses the user.
    """
    import clickhouse_connect

    address = urlsplit(url)
    return clickhouse_connect.get_client(
        host=address.hostname or "", port=address.port or 8123, secure=address.scheme == "https", username=user,
        password=password_file.read_text(encoding="utf-8").strip(), autogenerate_session_id=False,
        connect_timeout=connect_timeout_s, send_receive_timeout=answer_timeout_s)


@contextmanager
def reader(stream: StreamSettings) -> "Iterator[Client]":
    """A client with the rights of whoever looks at the tables. Raises as `open_client`."""
    with _closing(stream, "reader", stream.clickhouse_reader_password_file) as client:
        yield client


@contextmanager
def admin(stream: StreamSettings) -> "Iterator[Client]":
    """A client that may do everything. Raises as `open_client`."""
    with _closing(stream, "admin", stream.clickhouse_admin_password_file) as client:
        yield client


@contextmanager
def _closing(stream: StreamSettings, user: User, password_file: Path) -> "Iterator[Client]":
    client = open_client(stream.clickhouse_url, user, password_file)
    try:
        yield client
    finally:
        client.close()
