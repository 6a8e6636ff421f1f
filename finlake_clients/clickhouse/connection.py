"""Clients of ClickHouse: the one way from an address and a password's file to a connection.

Does not belong here: what is asked of the server, and the errors of whoever asks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from finlake_clients.secret_files import secret_of
from finlake_settings.groups import AdminClickHouse, ClickHouseAccess, ReaderClickHouse

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

User = Literal["admin", "reader", "sink"]


def open_client(
    url: str,
    user: User,
    password_file: Path,
    *,
    connect_timeout_s: int = 10,
    answer_timeout_s: int = 300,
) -> "Client":
    """A client of the server at `url`, without a session, so that threads may share it. To be closed.

    Raises `SecretUnreadableError`, and clickhouse-connect's errors for a server that does not
    answer or refuses the user.
    """
    import clickhouse_connect

    address = urlsplit(url)
    return clickhouse_connect.get_client(
        host=address.hostname or "",
        port=address.port or 8123,
        secure=address.scheme == "https",
        username=user,
        password=secret_of("clickhouse", password_file),
        autogenerate_session_id=False,
        connect_timeout=connect_timeout_s,
        send_receive_timeout=answer_timeout_s,
    )


@contextmanager
def reader(server: ReaderClickHouse) -> "Iterator[Client]":
    """A client with the rights of whoever looks at the tables. Raises as `open_client`."""
    with _closing(server, "reader", server.reader_password_file) as client:
        yield client


@contextmanager
def admin(server: AdminClickHouse) -> "Iterator[Client]":
    """A client that may do everything. Raises as `open_client`."""
    with _closing(server, "admin", server.admin_password_file) as client:
        yield client


@contextmanager
def _closing(server: ClickHouseAccess, user: User, password_file: Path) -> "Iterator[Client]":
    client = open_client(server.url, user, password_file)
    try:
        yield client
    finally:
        client.close()
