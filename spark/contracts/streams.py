"""What is captured from Postgres: each table of schema `ods`, its topic, and the tables that its rows become.

The topics of the stream and what reads them take their names from here. Does not belong here: limits and flaws of a row
(stream_rows.py), columns (ods.py in Postgres; speed.py, bronze.py and silver.py where they are read).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from spark.contracts import bronze, ods, silver, speed
from spark.contracts.table import Column, Table

TOPIC_PREFIX = "finlake"
"""Debezium names a topic after it, the schema and the table."""


def topic_of(relation: str) -> str:
    """The topic of a table of schema `ods`."""
    return f"{TOPIC_PREFIX}.{ods.SCHEMA}.{relation}"


@dataclass(frozen=True, kw_only=True)
class CapturedTable:
    """One captured table and its followers.

    `operational` is the table in Postgres. A row's identity is `id` and `received_ts`; `values` are the rest of what it says,
    `event_ts` the vendor's time of it. `realtime` is ClickHouse's table, `changes` the archive of its topic and `settled` the
    lake's rows after all changes.
    """

    operational: ods.OdsTable
    summary: str
    id: tuple[Column, ...]
    values: tuple[Column, ...]
    event_ts: Column
    realtime: Table
    changes: Table
    settled: Table

    @property
    def name(self) -> str:
        """Its name in schema `ods`."""
        return self.operational.name

    @property
    def topic(self) -> str:
        """Its Kafka topic."""
        return topic_of(self.name)

    @property
    def subject(self) -> str:
        """Under what the schema registry keeps the versions of its columns."""
        return f"{self.topic}-value"

    @property
    def market_table(self) -> str:
        """Its name in Postgres."""
        return self.operational.address

    @property
    def id_columns(self) -> tuple[str, ...]:
        """Names of the columns of its identity, which reports join by ':'."""
        return tuple(column.name for column in self.id)

    @property
    def numbers(self) -> tuple[str, ...]:
        """Columns that are summed where tables are compared: doubles that are always there."""
        return tuple(each.name for each in self.values if each.type == "double" and not each.nullable)


TRADES = CapturedTable(
    operational=ods.FINNHUB_TRADES,
    summary="One row per trade as the feed received it, equal and impossible ones included.",
    id=speed.TRADE_ID,
    values=bronze.TRADE_VALUES,
    event_ts=speed.TRADE_TS,
    realtime=speed.STOCK_REALTIME,
    changes=bronze.FINNHUB_TRADES_CDC,
    settled=silver.TRADES,
)
QUOTES = CapturedTable(
    operational=ods.FINNHUB_QUOTES,
    summary="One row per polled quote as the feed received it.",
    id=speed.QUOTE_ID,
    values=bronze.QUOTE_VALUES,
    event_ts=speed.QUOTE_TS,
    realtime=speed.QUOTES_REALTIME,
    changes=bronze.FINNHUB_QUOTES_CDC,
    settled=silver.QUOTES,
)
STREAMS = (TRADES, QUOTES)

HEARTBEAT = "cdc_heartbeat"
"""The table of signs of life, captured like the others and followed by nothing."""

HEARTBEAT_TOPIC = topic_of(HEARTBEAT)
DEAD_LETTERS_TOPIC = f"{TOPIC_PREFIX}.dead_letters"
SINK_GROUP = "clickhouse_sink"
"""The consumer group that brings topics to ClickHouse."""

TOPIC_DAYS: Mapping[str, int] = {**{each.topic: 7 for each in STREAMS}, HEARTBEAT_TOPIC: 7, DEAD_LETTERS_TOPIC: 30}
"""Every topic of the stream with the days it keeps."""

BY_CHANGES: Mapping[str, CapturedTable] = {each.changes.address: each for each in STREAMS}
"""The streams by the table that archives their topic."""
