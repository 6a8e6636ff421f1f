"""Unmodified clients: clickhouse-connect, its asynchronous client, SQLAlchemy by its dialect."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO

import clickhouse_connect
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from tests.finlake_services.clickhouse_local.endpoint import Server

pytestmark = pytest.mark.slow

START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
ROWS = [
    [f"S{number % 3}", START + timedelta(seconds=number), float(number), ["a", "b"][: number % 3], None] for number in range(500)
]
COLUMNS = ["symbol", "trade_ts", "price_usd", "conditions", "note"]
MAKE = (
    "CREATE OR REPLACE TABLE speed.client (symbol LowCardinality(String), trade_ts DateTime64(6, 'UTC'), price_usd Float64, "
    "conditions Array(String), note Nullable(String)) ENGINE = MergeTree ORDER BY (symbol, trade_ts)"
)


@pytest.fixture(scope="module")
def admin_client(server: Server) -> Iterator[Client]:
    """clickhouse-connect as the administrator."""
    with server.client("admin") as client:
        yield client


@pytest.fixture(scope="module")
def writer_client(server: Server, admin_client: Client) -> Iterator[Client]:
    """clickhouse-connect as the sink."""
    with server.client("sink") as client:
        yield client


@pytest.fixture(scope="module")
def reader_client(server: Server) -> Iterator[Client]:
    """clickhouse-connect as a reader."""
    with server.client("reader") as client:
        yield client


@pytest.fixture
def filled(admin_client: Client, writer_client: Client) -> str:
    """A table with ROWS."""
    admin_client.command(MAKE)
    summary = writer_client.insert("speed.client", ROWS, column_names=COLUMNS)
    assert summary.written_rows == 500
    return "speed.client"


@pytest.mark.parametrize("compression", [False, "lz4", "zstd", "gzip"])
def test_rows_go_in_and_come_out_as_they_were(server: Server, admin_client: Client, compression: bool | str) -> None:
    admin_client.command(MAKE)
    with server.client("sink", compress=compression) as client:
        client.insert("speed.client", ROWS, column_names=COLUMNS)
        result = client.query("SELECT * FROM speed.client ORDER BY trade_ts", column_formats={"trade_ts": "native"})
        assert [(symbol, conditions, note) for symbol, _, _, conditions, note in result.result_rows] == [
            (symbol, conditions, note) for symbol, _, _, conditions, note in ROWS
        ]
        assert [price for _, _, price, _, _ in result.result_rows] == [price for _, _, price, _, _ in ROWS]
        assert result.result_rows[0][1].replace(tzinfo=UTC) == START
        assert result.summary["read_rows"] == "500"


def test_frames_and_arrow_tables_go_in_and_come_out(admin_client: Client, writer_client: Client, reader_client: Client) -> None:
    frame = pd.DataFrame(
        {
            "symbol": ["A", "B"],
            "trade_ts": pd.to_datetime([START, START]).as_unit("us"),
            "price_usd": [1.5, 2.5],
            "conditions": [["x"], []],
            "note": [None, "n"],
        }
    )
    admin_client.command(MAKE)
    writer_client.insert_df("speed.client", frame)
    writer_client.insert_arrow("speed.client", pa.table({"symbol": ["C"], "price_usd": [3.5]}))
    read = reader_client.query_df("SELECT symbol, price_usd, note FROM speed.client ORDER BY symbol")
    assert read["price_usd"].tolist() == [1.5, 2.5, 3.5]
    table = reader_client.query_arrow("SELECT symbol, price_usd FROM speed.client ORDER BY symbol")
    assert table.column("price_usd").to_pylist() == [1.5, 2.5, 3.5]
    assert reader_client.query_np("SELECT price_usd FROM speed.client ORDER BY symbol").tolist() == [[1.5], [2.5], [3.5]]


def test_an_empty_result_is_no_rows(filled: str, reader_client: Client) -> None:
    assert reader_client.query(f"SELECT * FROM {filled} WHERE symbol = 'none'").result_rows == []
    assert reader_client.query_df(f"SELECT * FROM {filled} WHERE symbol = 'none'").empty
    assert reader_client.query(f"SELECT * FROM {filled} LIMIT 0").column_names == tuple(COLUMNS)
    assert reader_client.query_arrow(f"SELECT price_usd FROM {filled} WHERE 0").num_rows == 0


def test_parameters_by_name_and_bound_by_the_server(filled: str, reader_client: Client) -> None:
    for condition in (
        "price_usd < %(limit)s AND symbol = %(symbol)s",
        "price_usd < {limit:Float64} AND symbol = {symbol:String}",
    ):
        result = reader_client.query(
            f"SELECT price_usd FROM {filled} WHERE {condition} ORDER BY 1", parameters={"limit": 10.0, "symbol": "S1"}
        )
        assert result.result_columns == [[1.0, 4.0, 7.0]]


def test_streams_are_complete(reader_client: Client) -> None:
    with reader_client.query_row_block_stream("SELECT number, toString(number) FROM numbers(200000)") as stream:
        assert sum(len(block) for block in stream) == 200_000
    with reader_client.query_df_stream("SELECT number FROM numbers(200000)") as frames:
        assert sum(len(frame) for frame in frames) == 200_000
    with reader_client.query_arrow_stream("SELECT number FROM numbers(200000)") as batches:
        assert sum(batch.num_rows for batch in batches) == 200_000
    assert reader_client.command("SELECT 1") == 1


def test_an_error_amid_a_stream_reaches_the_client(reader_client: Client) -> None:
    result = reader_client.query("SELECT throwIf(number = 2500000, 'boom') FROM numbers(3000000)")
    with pytest.raises(StreamFailureError, match=r"Code: 395.*boom"):
        _ = result.result_rows
    assert reader_client.command("SELECT 1") == 1


def test_raw_queries_inserts_and_commands(admin_client: Client, writer_client: Client, reader_client: Client) -> None:
    admin_client.command(MAKE)
    writer_client.raw_insert("speed.client", ["symbol", "price_usd"], b"A,1\nB,2\n", fmt="CSV")
    line = BytesIO(b'{"symbol":"C","price_usd":3}\n')
    writer_client.raw_insert("speed.client", ["symbol", "price_usd"], line, fmt="JSONEachRow")
    assert reader_client.raw_query("SELECT symbol, price_usd FROM speed.client ORDER BY 1", fmt="CSV") == b'"A",1\n"B",2\n"C",3\n'
    assert reader_client.command("SELECT count() FROM speed.client") == 3
    assert reader_client.command("SELECT currentDatabase()", use_database=True) == "default"
    assert reader_client.ping()


def test_settings_of_the_client_and_of_one_statement(server: Server, writer_client: Client) -> None:
    asked = "SELECT getSetting('max_threads')"
    with server.client("sink", settings={"max_threads": 1}) as client:
        assert client.command(asked) == 1
    assert writer_client.query(asked, settings={"max_threads": 2}).first_row == (2,)


def test_a_reader_sends_the_settings_that_it_may_change(server: Server, reader_client: Client) -> None:
    asked = "SELECT getSetting('max_threads'), getSetting('max_execution_time')"
    assert reader_client.query(asked, settings={"max_threads": 1, "max_execution_time": 7}).first_row == (1, 7)
    with server.client("reader", settings={"max_threads": 1, "max_execution_time": 600}) as client:
        assert client.query(asked).first_row == (1, 30)
    with pytest.raises(DatabaseError, match="Cannot modify 'allow_ddl' setting"):
        reader_client.query("SELECT 1", settings={"allow_ddl": 1})


def test_a_session_of_the_administrator_keeps_its_temporary_table(server: Server) -> None:
    with server.client("admin", session_id="of-a-client") as client:
        client.command("CREATE TEMPORARY TABLE mine (a Int64)")
        client.insert("mine", [[1], [2]], column_names=["a"], column_type_names=["Int64"])
        for _ in range(20):
            assert client.query("SELECT sum(a) FROM mine").first_row == (3,)


def test_a_database_given_to_the_client_is_the_current_one(server: Server) -> None:
    with server.client("reader", database="speed") as client:
        assert client.query("SELECT count() FROM ticks").first_row == (10,)


def test_errors_carry_code_and_name(reader_client: Client) -> None:
    with pytest.raises(DatabaseError, match=r"code: 60.*UNKNOWN_TABLE"):
        reader_client.query("SELECT * FROM speed.nothing")
    with pytest.raises(DatabaseError, match=r"code: 164.*READONLY"):
        reader_client.insert("speed.ticks", [["A", START, 1.0]], column_names=["symbol", "trade_ts", "price_usd"])


def test_the_asynchronous_client_asks_many_things_at_once(server: Server, filled: str) -> None:
    async def ask() -> list[int]:
        client = await clickhouse_connect.get_async_client(
            host="127.0.0.1", port=server.port, username="reader", password=server.passwords["reader"]
        )
        try:
            results = await asyncio.gather(*(client.query(f"SELECT count() + {number} FROM {filled}") for number in range(20)))
        finally:
            await client.close()
        return [result.result_rows[0][0] for result in results]

    assert asyncio.run(ask()) == [500 + number for number in range(20)]


def test_sqlalchemy_reads_tables_columns_and_rows_as_superset_does(server: Server, filled: str) -> None:
    url = sqlalchemy.URL.create("clickhousedb", "reader", server.passwords["reader"], "127.0.0.1", server.port, "speed")
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT 1")).scalar() == 1
        inspector = sqlalchemy.inspect(connection)
        assert {"speed", "serving"} <= set(inspector.get_schema_names())
        assert {"ticks", "client"} <= set(inspector.get_table_names("speed"))
        assert "symbols" in inspector.get_view_names("serving") + inspector.get_table_names("serving")
        assert [column["name"] for column in inspector.get_columns("client", "speed")] == COLUMNS
        table = sqlalchemy.Table("client", sqlalchemy.MetaData(), autoload_with=connection)
        asked = sqlalchemy.select(table.c.symbol, sqlalchemy.func.count().label("n")).group_by(table.c.symbol).order_by("symbol")
        assert [tuple(row) for row in connection.execute(asked)] == [("S0", 167), ("S1", 167), ("S2", 166)]
    engine.dispose()
