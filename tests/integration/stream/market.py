"""What the stream's tests do in the database `market`: each row they make is theirs by its connection id."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg

from deploy.local.postgres import MARKET_DATABASE, connect
from deploy.local.stack import LocalStack
from finlake_settings.local_stack import LOOPBACK

# A day and the next, long after any row of the sample sources.
FIRST_TS = datetime(2031, 5, 6, 23, 59, 59, tzinfo=UTC)
FIRST_DAY, LAST_DAY = "2031-05-06", "2031-05-07"

INSERT = """
    INSERT INTO ods.finnhub_trades (received_ts, connection_id, message_seq, trade_index, symbol, price_usd,
                                    volume_shares, trade_ts, conditions)
    VALUES {} ON CONFLICT DO NOTHING"""


def new_id() -> str:
    return uuid4().hex


@contextmanager
def as_role(stack: LocalStack, role: str, database: str = MARKET_DATABASE) -> Iterator[psycopg.Connection]:
    """A connection of a role with its password; closed, not committed, at the end."""
    connection = psycopg.connect(
        host=LOOPBACK,
        port=stack.settings().ports["postgres"],
        user=role,
        dbname=database,
        password=stack.layout.password_file(role).read_text().strip(),
    )
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def as_superuser(stack: LocalStack) -> Iterator[psycopg.Connection]:
    with connect(stack.layout, stack.settings().ports["postgres"], database=MARKET_DATABASE) as connection:
        yield connection


def whole_ms(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def insert_trades(feed: psycopg.Connection, connection_id: str, numbers: Sequence[int], received_ts: datetime = FIRST_TS) -> None:
    """One trade for each number, all in one statement and one transaction; it happened in the millisecond of its receipt."""
    trade_ts = whole_ms(received_ts)
    values: list[Any] = []
    for number in numbers:
        conditions = ["1", "12"] if number % 2 else None
        values += [received_ts, connection_id, number, 0, "AAPL", 1.5 + number, 2.0, trade_ts, conditions]
    row = "(%s, %s, %s, %s, %s, %s, %s, %s, %s)"
    feed.execute(INSERT.format(", ".join([row] * len(numbers))).encode(), values)
    feed.commit()
