"""Postgres as the measure of all others: one consistent cut, its sums and its rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finlake_clients.secret_files import secret_of
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_reconciliation.buckets import Bucket, Buckets, Content, Sums
from finlake_reconciliation.comparison import SHOWN_IDS, Ids, Rows
from spark.contracts.column_sums import HASH_DIGITS, UNITS_LIMIT
from spark.contracts.speed import UNITS_PER_ONE
from spark.contracts.streams import CapturedTable

if TYPE_CHECKING:
    import psycopg

ROLE = "reconcile"
LOCK_TIMEOUT_S = 15
INSERT_LSN = "pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
HEARTBEAT_ID = 2
"""Row of ods.cdc_heartbeat that a comparison writes; the connector has its own."""


class CutError(Exception):
    """No consistent cut of Postgres could be made; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A UTC day whose rows are known to be in the archive: how many there were, and the sum of their ids' hashes."""

    relation: str
    day: date
    row_count: int
    id_hash: int


class Ods:
    """The database `market` as role `reconcile`; `uri` names neither user nor password.

    Every verb raises `ServiceUnavailableError` when Postgres does not answer.
    """

    def __init__(self, uri: str, password_file: Path) -> None:
        self._uri = uri
        self._password_file = password_file

    @contextmanager
    def cut(self, relations: Sequence[CapturedTable]) -> Iterator["Cut"]:
        """All rows whose change lies below one LSN, held still for as long as the context lasts.

        A lock keeps writers out for the moment in which a snapshot begins and the LSN is read, so that the snapshot holds
        exactly the rows below it. Raises `CutError` when the lock is not granted in time.
        """
        import psycopg

        tables = ", ".join(relation.market_table for relation in relations)
        with self._connect() as snapshot:
            snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with self._connect() as lock:
                try:
                    lock.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
                    lock.execute(f"LOCK TABLE {tables} IN SHARE MODE")
                except psycopg.errors.LockNotAvailable as error:
                    raise CutError(
                        f"a transaction has kept {tables} locked for {LOCK_TIMEOUT_S} s; end it (see pg_stat_activity) "
                        "and reconcile again"
                    ) from error
                row = snapshot.execute(f"SELECT {INSERT_LSN}, now()").fetchone()
            assert row is not None
            yield Cut(snapshot, lsn=row[0], cut_ts=row[1])

    def beat(self) -> int:
        """Write the heartbeat row, whose change reaches Kafka after all that was committed before; returns an LSN below it."""
        with self._connect() as connection:
            row = connection.execute(f"SELECT {INSERT_LSN}").fetchone()
            connection.execute(
                "INSERT INTO ods.cdc_heartbeat (id, ts) VALUES (%s, now()) ON CONFLICT (id) DO UPDATE SET ts = excluded.ts",
                [HEARTBEAT_ID],
            )
        assert row is not None
        return int(row[0])

    def proofs(self) -> list[Proof]:
        """Days proven so far, oldest first."""
        with self._connect() as connection:
            rows = connection.execute("SELECT relation, day, row_count, id_hash FROM ods.archive_proofs ORDER BY day")
            return [Proof(relation=name, day=day, row_count=count, id_hash=int(hashes)) for name, day, count, hashes in rows]

    def prove(self, proof: Proof) -> None:
        """Record that a day is in the archive, in place of what was recorded of it before."""
        with self._connect() as connection:
            connection.execute(
                "INSERT INTO ods.archive_proofs (relation, day, row_count, id_hash, proven_ts) "
                "VALUES (%s, %s, %s, %s, now()) ON CONFLICT (relation, day) DO UPDATE SET "
                "row_count = excluded.row_count, id_hash = excluded.id_hash, proven_ts = excluded.proven_ts",
                [proof.relation, proof.day, proof.row_count, proof.id_hash],
            )

    def drop(self, relation: str, day: date) -> None:
        """Drop the partition of a proven day; Postgres refuses when its rows are not those of the proof."""
        with self._connect() as connection:
            connection.execute("SELECT ods.drop_archived_partition(%s, %s)", [relation, day])

    def _connect(self) -> "psycopg.Connection[tuple[Any, ...]]":
        import psycopg

        password = secret_of("postgres", self._password_file)
        try:
            return psycopg.connect(
                self._uri, user=ROLE, password=password, connect_timeout=10, application_name="finlake reconcile"
            )
        except (OSError, psycopg.OperationalError) as error:
            raise ServiceUnavailableError("postgres", self._uri, error) from error


class Cut:
    """The rows of Postgres below `lsn`; `cut_ts` is Postgres's clock."""

    def __init__(self, connection: "psycopg.Connection[tuple[Any, ...]]", *, lsn: int, cut_ts: datetime) -> None:
        self._connection = connection
        self.lsn = lsn
        self.cut_ts = cut_ts

    def buckets(self, relation: CapturedTable) -> Buckets:
        """Sums of all rows."""
        sums = ", ".join(f"sum({_units(number)})" for number in relation.numbers)
        query = (
            f"SELECT symbol, {_hour()}, count(*), {_microseconds(f'min({relation.event_ts.name})')}, "
            f"{_microseconds(f'max({relation.event_ts.name})')}, sum({_id_hash(relation)}), {sums} "
            f"FROM {relation.market_table} GROUP BY 1, 2"
        )
        with self._connection.cursor() as cursor:
            return {
                Bucket(symbol, hour): Sums(count, tuple(int(number) for number in numbers), first, last, int(hashes))
                for symbol, hour, count, first, last, hashes, *numbers in cursor.execute(query)
            }

    def rows(self, relation: CapturedTable, bucket: Bucket) -> Rows:
        """The rows of one bucket."""
        numbers = ", ".join(_units(number) for number in relation.numbers)
        query = (
            f"SELECT {_id(relation)}, {_microseconds(relation.event_ts.name)}, {numbers} FROM {relation.market_table} "
            "WHERE symbol = %(symbol)s AND received_ts >= %(from)s AND received_ts < %(from)s + interval '1 hour'"
        )
        found: dict[str, list[Content]] = {}
        parameters: Mapping[str, object] = {"symbol": bucket.symbol, "from": bucket.hour_ts}
        with self._connection.cursor() as cursor:
            for row_id, event_us, *units in cursor.execute(query, parameters):
                found.setdefault(row_id, []).append(Content(tuple(units), event_us))
        return found

    def doubled_ids(self, relation: CapturedTable) -> Ids:
        """Ids that several rows have: the table's key also holds the time of receipt, so that it could not refuse them."""
        query = (
            f"SELECT id, count(*) OVER () FROM (SELECT {_id(relation)} AS id FROM {relation.market_table} "
            f"GROUP BY {', '.join(relation.id_columns)} HAVING count(*) > 1) AS doubled ORDER BY id LIMIT {SHOWN_IDS}"
        )
        rows = self._connection.execute(query).fetchall()
        return Ids(count=rows[0][1] if rows else 0, first=tuple(row[0] for row in rows))


def _hour() -> str:
    return "floor(extract(epoch FROM received_ts) / 3600)::bigint"


def _microseconds(moment: str) -> str:
    return f"(extract(epoch FROM {moment}) * 1000000)::bigint"


def _units(number: str) -> str:
    """`buckets.units` in Postgres: rounding a float8 takes the even neighbour, and a product out of range is an error."""
    scaled = f"({number} * {UNITS_PER_ONE}::float8)"
    return (
        f"CASE WHEN NOT abs({number}) < 1e12 THEN 0 WHEN abs({scaled}) < {UNITS_LIMIT}::float8 "
        f"THEN round({scaled})::bigint ELSE 0 END"
    )


def _id(relation: CapturedTable) -> str:
    return " || ':' || ".join(relation.id_columns)


def _id_hash(relation: CapturedTable) -> str:
    """`buckets.id_hash` in Postgres."""
    return f"('x' || left(md5({_id(relation)}), {HASH_DIGITS}))::bit({HASH_DIGITS * 4})::bigint"
