"""Postgres database `market`, as role `reconcile`: how the slot is, what is published, how new the rows are.

Does not belong here: comparing its rows with other engines (reconciliation/); psycopg is imported when a verb runs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from finlake_clients.secret_files import secret_of
from finlake_clients.service_client import ServiceClient
from finlake_clients.service_errors import ServiceUnavailableError
from spark.contracts.stream_rows import VENDOR_COMPLAINS

if TYPE_CHECKING:
    import psycopg

SERVICE = "postgres"
ROLE = "reconcile"
SCHEMA = "ods"
PUBLICATION = "finlake_pub"
CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 20


@dataclass(frozen=True, kw_only=True)
class SlotHealth:
    """A logical replication slot of the database.

    `wal_status` is Postgres's word: reserved, extended, unreserved (about to be lost) or lost. `retained_wal_bytes` is
    the WAL kept back for it; `safe_wal_bytes` how much more may be written before it is lost, None without a limit.
    """

    name: str
    is_active: bool
    wal_status: str
    retained_wal_bytes: int
    safe_wal_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class FeedGaps:
    """Interruptions of the feed since some time: how many, seconds in total, the newest one in words."""

    count: int
    total_s: float
    newest: str


@dataclass(frozen=True, kw_only=True)
class VendorComplaints:
    """What the vendor complained of since some time: how often (1,000 at most), and its newest words."""

    count: int
    newest: str


class Market(ServiceClient):
    """The database of trades and quotes. `uri` names neither user nor password; the password is read from its file.

    Every verb raises `ServiceUnavailableError` when Postgres does not answer or refuses us.
    """

    uri: str
    password_file: str

    def slots(self) -> list[SlotHealth]:
        """The logical slots of this database, by name."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT slot_name, active, coalesce(wal_status, 'lost'), "
                "coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint, safe_wal_size "
                "FROM pg_replication_slots WHERE slot_type = 'logical' AND database = current_database() ORDER BY slot_name"
            )
            return [
                SlotHealth(name=name, is_active=active, wal_status=status, retained_wal_bytes=retained, safe_wal_bytes=safe)
                for name, active, status, retained, safe in rows
            ]

    def published_tables(self) -> frozenset[str]:
        """The tables whose changes are published; empty when there is no publication."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT tablename FROM pg_publication_tables WHERE pubname = %s AND schemaname = %s", [PUBLICATION, SCHEMA]
            )
            return frozenset(row[0] for row in rows)

    def newest_received(self, relation: str) -> datetime | None:
        """When the newest row of a relation of `ods` was received; None when there is no row."""
        from psycopg import sql

        query = sql.SQL("SELECT max(received_ts) FROM {}").format(sql.Identifier(SCHEMA, relation))
        with self._connection() as connection:
            row = connection.execute(query).fetchone()
            return None if row is None else row[0]

    def first_received_after(self, relation: str, moment: datetime | None) -> datetime | None:
        """When the oldest row of a relation of `ods` newer than `moment` was received; None when there is none."""
        from psycopg import sql

        query = sql.SQL("SELECT min(received_ts) FROM {} WHERE %(moment)s::timestamptz IS NULL OR received_ts > %(moment)s")
        with self._connection() as connection:
            row = connection.execute(query.format(sql.Identifier(SCHEMA, relation)), {"moment": moment}).fetchone()
            return None if row is None else row[0]

    def estimated_rows(self, relation: str) -> int:
        """About how many rows a relation of `ods` has, all its partitions together, without counting them."""
        with self._connection() as connection:
            row = connection.execute(
                "SELECT coalesce(sum(n_live_tup), 0)::bigint FROM pg_stat_user_tables "
                "WHERE relid IN (SELECT relid FROM pg_partition_tree(%s::regclass) UNION SELECT %s::regclass)",
                [f"{SCHEMA}.{relation}", f"{SCHEMA}.{relation}"],
            ).fetchone()
            return 0 if row is None else row[0]

    def feed_gaps(self, since: datetime) -> FeedGaps:
        """Interruptions of the feed that ended after `since`; before the very first connection there is none."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT gap_start_ts, gap_end_ts, reason FROM ods.feed_gaps "
                "WHERE gap_end_ts >= %s AND gap_start_ts IS NOT NULL ORDER BY gap_end_ts",
                [since],
            ).fetchall()
        lengths = [(end - start).total_seconds() for start, end, _ in rows]
        newest = "" if not rows else f"until {rows[-1][1]:%Y-%m-%d %H:%M:%S%z}: {rows[-1][2]}"
        return FeedGaps(count=len(rows), total_s=sum(lengths), newest=newest)

    def rejected_messages(self, since: datetime) -> int:
        """Messages of the vendor that the feed could not read since then; its complaints are none of them."""
        with self._connection() as connection:
            row = connection.execute(
                "SELECT count(*) FROM ods.rejected_messages WHERE received_ts >= %s AND NOT starts_with(reason, %s)",
                [since, VENDOR_COMPLAINS],
            ).fetchone()
            return 0 if row is None else row[0]

    def vendor_complaints(self, since: datetime) -> VendorComplaints:
        """What the vendor said since then that was no trade and no ping, such as "Subscribing to too many symbols"."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT reason FROM ods.rejected_messages WHERE received_ts >= %s AND starts_with(reason, %s) "
                "ORDER BY received_ts DESC, message_seq DESC LIMIT 1000",
                [since, VENDOR_COMPLAINS],
            ).fetchall()
        return VendorComplaints(count=len(rows), newest=rows[0][0].removeprefix(VENDOR_COMPLAINS) if rows else "")

    @contextmanager
    def _connection(self) -> "Iterator[psycopg.Connection[tuple[Any, ...]]]":
        import psycopg

        parts = urlsplit(self.uri)
        where = f"{parts.hostname}:{parts.port or 5432}{parts.path}"
        password = secret_of(SERVICE, Path(self.password_file))
        try:
            with psycopg.connect(
                self.uri,
                user=ROLE,
                password=password,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name="finlake health",
                options=f"-c statement_timeout={STATEMENT_TIMEOUT_S * 1000} -c default_transaction_read_only=on",
            ) as connection:
                yield connection
        except (OSError, psycopg.Error) as error:
            raise ServiceUnavailableError(SERVICE, where, error) from error
