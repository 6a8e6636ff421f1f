"""What repeats the columns of schema ods: Postgres's DDL, the rows of feed, sink and archive, the columns that readers see."""

import re
import types
from datetime import datetime
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from finlake_services.clickhouse_sink import records
from finlake_services.trade_feed import rows
from finlake_settings.checkout import CHECKOUT
from spark.contracts import ods
from spark.contracts.ods import OdsColumn, OdsTable
from spark.contracts.speed import RECEIVED_TS
from spark.contracts.streams import STREAMS, CapturedTable
from spark.transforms.bronze import finnhub_changes

DDL = (CHECKOUT / "deploy" / "postgres" / "market.sql").read_text()
TABLES = (ods.FINNHUB_TRADES, ods.FINNHUB_QUOTES, ods.FEED_GAPS, ods.REJECTED_MESSAGES)
TOLD = {"text": str, "bigint": int, "integer": int, "float8": float, "text[]": list[str], "timestamptz": int}
CAPTURED = {**TOLD, "timestamptz": datetime}
READ = {
    "text": "string",
    "bigint": "long",
    "integer": "int",
    "float8": "double",
    "text[]": "list<string>",
    "timestamptz": "timestamp",
}


def by_table(value: object) -> str:
    return value.name if isinstance(value, OdsTable | CapturedTable) else ""


def bare(annotation: Any) -> tuple[Any, bool]:
    """A type without its bounds, and whether None is one of its values."""
    if get_origin(annotation) is types.UnionType:
        inner, none = get_args(annotation)
        assert none is type(None)
        return bare(inner)[0], True
    return annotation, False


def fields(struct: type[msgspec.Struct]) -> dict[str, tuple[Any, bool]]:
    return {name: bare(hint) for name, hint in get_type_hints(struct).items() if name in struct.__struct_fields__}


def wanted(columns: tuple[OdsColumn, ...], types_of: dict[str, Any], *, in_feed: bool = False) -> dict[str, tuple[Any, bool]]:
    return {column.feed_name if in_feed else column.name: (types_of[column.type], column.nullable) for column in columns}


@pytest.mark.parametrize("table", TABLES, ids=by_table)
def test_postgres_is_told_to_make_the_declared_columns_and_key(table: OdsTable) -> None:
    [text] = re.findall(rf"CREATE TABLE IF NOT EXISTS {table.address} \(\n(.*?)\n\)", DDL, re.DOTALL)
    lines = [line.strip().rstrip(",") for line in text.splitlines()]
    single_key = [line.split()[0] for line in lines if line.endswith(" PRIMARY KEY") and not line.startswith("PRIMARY")]
    composed_key = [re.findall(r"\w+", line)[2:] for line in lines if line.startswith("PRIMARY KEY")]
    found = [line.removesuffix(" PRIMARY KEY").split(maxsplit=2) for line in lines if not line.startswith("PRIMARY KEY")]
    assert [single_key, *composed_key][-1] == [column.name for column in table.key]
    assert found == [[column.name, column.type, *([] if column.nullable else ["NOT NULL"])] for column in table.columns]


def test_postgres_is_told_of_no_other_table_that_the_feed_may_fill() -> None:
    granted = re.findall(r"GRANT SELECT, INSERT ON (.*?) TO feed;", DDL)
    assert {name for names in granted for name in names.split(", ")} == {table.address for table in TABLES}


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (ods.FINNHUB_TRADES, rows.TradeRow),
        (ods.FINNHUB_QUOTES, rows.QuoteRow),
        (ods.FEED_GAPS, rows.GapRow),
        (ods.REJECTED_MESSAGES, rows.RejectedRow),
    ],
    ids=by_table,
)
def test_a_row_of_the_feed_has_the_columns_in_their_order_with_times_as_numbers(
    table: OdsTable,
    row: type[msgspec.Struct],
) -> None:
    assert list(fields(row).items()) == list(wanted(table.columns, TOLD, in_feed=True).items())


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (ods.FINNHUB_TRADES, records.TradeValues),
        (ods.FINNHUB_QUOTES, records.Quote),
        (ods.FINNHUB_TRADES, finnhub_changes.CapturedTrade),
        (ods.FINNHUB_QUOTES, finnhub_changes.CapturedQuote),
    ],
    ids=by_table,
)
def test_sink_and_archive_read_the_columns_with_their_types(table: OdsTable, row: type[msgspec.Struct]) -> None:
    assert fields(row) == wanted(table.columns, CAPTURED)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (ods.FINNHUB_TRADES, finnhub_changes.TradeKey),
        (ods.FINNHUB_QUOTES, finnhub_changes.QuoteKey),
    ],
    ids=by_table,
)
def test_the_archive_reads_the_key_of_a_deleted_row(table: OdsTable, key: type[msgspec.Struct]) -> None:
    assert list(fields(key).items()) == list(wanted(table.key, CAPTURED).items())


@pytest.mark.parametrize(
    ("struct", "bounds"),
    [
        (records.TradeValues, records),
        (records.Quote, records),
        (finnhub_changes.CapturedTrade, finnhub_changes),
        (finnhub_changes.CapturedQuote, finnhub_changes),
    ],
)
def test_whole_numbers_and_times_are_read_within_their_bounds(struct: type[msgspec.Struct], bounds: Any) -> None:
    table = ods.FINNHUB_TRADES if "Trade" in struct.__name__ else ods.FINNHUB_QUOTES
    bounded = {"bigint": bounds.Int64, "integer": bounds.Int32, "timestamptz": bounds.Instant}
    hints = get_type_hints(struct, include_extras=True)
    for column in table.columns:
        if column.type in bounded:
            assert hints[column.name] == bounded[column.type], column.name


@pytest.mark.parametrize("captured", STREAMS, ids=by_table)
def test_readers_see_every_captured_column_with_its_type(captured: CapturedTable) -> None:
    columns = (RECEIVED_TS, *captured.id, *captured.values)
    assert {column.name: (column.type, column.nullable or column.type == "list<string>") for column in columns} == {
        column.name: (READ[column.type], column.nullable) for column in captured.operational.columns
    }
    assert [column.name for column in captured.operational.key] == ["received_ts", *captured.id_columns]
    assert captured.event_ts in captured.values
