"""Avro as JSON: what the converter wrote comes out as it was, and what nobody should have written does no harm."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark.contracts.ods import FINNHUB_QUOTES, FINNHUB_TRADES, OdsTable
from spark.transforms.avro_values import (
    FRAME,
    MAX_SCHEMA_BYTES,
    MOST_FIELDS,
    MOST_SCHEMAS,
    AvroValues,
    UnreadableAvroError,
)
from tests.avro_records import NUMBER, QUOTES_SCHEMA, TRADES_SCHEMA, columns_in, declared_columns, framed, schema_of

# A record as it lay in Kafka.
OF_THE_CONVERTER = (
    b"\x00\x00\x00\x00\x07\x00\x0262026-11-30T07:08:12.470429Z\x04c1\xb8\x83\xe9\xb0\r\x00\x08AAPL\x00\x00\x00\x00\x00\x00\xf8?"
    b"\x00\x00\x00\x00\x00\x00\x00@62026-11-30T07:08:12.470429Z\x02\x04\x02\x021\x02\x0412\x00\x163.7.0.Final\x14postgresql\x0e"
    b'finlake\xfc\xf4\xc2\xb4\xc5h\x00\nfalse\x0cmarket\x02.["37220376","37313512"]\x02\xaa\xf8\xe1\xaa\xa2\xde\xb0\x06\x02\x90'
    b"\x88\x94\x8d\x9e\xbc\xe0\xec1\x06ods\x1cfinnhub_trades\x02\xb0\x0c\x02\xd0\xef\xca#\x00\x00\x00\x00\x02c\x02\x8e\xd9\xd3"
    b"\xb4\xc5h\x02\x82\xa0\xf0\xad\xa3\xde\xb0\x06\x02\xce\x93\xfa\xb4\x9e\xc4\xe0\xec1"
)

values = AvroValues(schema_of)
plain = st.sampled_from(["boolean", "int", "long", "float", "double", "bytes", "string"])
fields = st.lists(
    st.one_of(
        plain,
        plain.map(lambda name: ["null", name]),
        plain.map(lambda name: {"type": "array", "items": ["null", name]}),
        plain.map(lambda name: {"type": "map", "values": name}),
        st.just({"type": "fixed", "name": "F", "size": 4}),
        st.just({"type": "enum", "name": "E", "symbols": ["A", "B"]}),
        st.just({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}),
        st.sampled_from(["timestamp-micros", "timestamp-millis", "time-micros"]).map(
            lambda name: {"type": "long", "logicalType": name}
        ),
        st.just({"type": "int", "logicalType": "date"}),
        st.just({"type": "string", "logicalType": "uuid"}),
    ),
    min_size=1,
    max_size=6,
)


def reading(schema: Any) -> AvroValues:
    text = schema if isinstance(schema, str) else json.dumps(schema)
    return AvroValues(lambda _: text)


def record(*types: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": f"f{at}", "type": each} for at, each in enumerate(types)]}


def fate(reader: AvroValues, value: bytes) -> str:
    """`read` for what comes out as JSON, else the reason of the refusal."""
    try:
        json.loads(reader.as_json(value))
    except UnreadableAvroError as error:
        return error.reason
    return "read"


def test_a_record_of_the_converter_becomes_what_its_json_converter_writes() -> None:
    told = json.loads(values.as_json(OF_THE_CONVERTER))
    assert told["after"] == {
        "received_ts": "2026-11-30T07:08:12.470429Z",
        "connection_id": "c1",
        "message_seq": 1796022492,
        "trade_index": 0,
        "symbol": "AAPL",
        "price_usd": 1.5,
        "volume_shares": 2.0,
        "trade_ts": "2026-11-30T07:08:12.470429Z",
        "conditions": ["1", "12"],
    }
    assert (told["op"], told["before"], told["source"]["lsn"], told["source"]["table"]) == ("c", None, 37313512, "finnhub_trades")


@pytest.mark.parametrize(("table", "schema"), [(FINNHUB_TRADES, TRADES_SCHEMA), (FINNHUB_QUOTES, QUOTES_SCHEMA)])
def test_the_schema_that_debezium_gives_a_table_has_the_declared_columns(table: OdsTable, schema: str) -> None:
    assert list(columns_in(schema).items()) == list(declared_columns(table).items())


@given(st.binary().filter(lambda value: value[:1] != b"\0"))
def test_what_is_not_framed_is_left_as_it_is(value: bytes) -> None:
    assert values.as_json(value) is value


@given(
    st.text(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.booleans(),
    st.lists(st.none() | st.text()),
)
def test_whatever_was_written_is_read(text: str, number: int, double: float, flag: bool | None, texts: list[str | None]) -> None:
    schema = record("string", "long", "double", ["null", "boolean"], {"type": "array", "items": ["null", "string"]})
    written = {"f0": text, "f1": number, "f2": double, "f3": flag, "f4": texts}
    assert json.loads(reading(schema).as_json(framed(written, schema))) == written


@given(fields, st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(types: list[Any], content: bytes) -> None:
    # A name is declared once.
    schema = record(*(each for at, each in enumerate(types) if each not in types[:at]))
    assert fate(reading(schema), FRAME.pack(1) + content) in ("read", "broken_avro")


@given(st.integers(FRAME.size, len(OF_THE_CONVERTER) - 1), st.binary(max_size=12), st.integers(0, 12))
def test_a_damaged_record_is_refused_or_read(place: int, inserted: bytes, cut: int) -> None:
    damaged = OF_THE_CONVERTER[:place] + inserted + OF_THE_CONVERTER[place + cut :]
    assert fate(values, damaged) in ("read", "broken_avro")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\0", "broken_avro"),
        (b"\0\0\0\0", "broken_avro"),
        (FRAME.pack(NUMBER), "broken_avro"),
        (OF_THE_CONVERTER + b"\0", "broken_avro"),
        (OF_THE_CONVERTER[:-1], "broken_avro"),
        (FRAME.pack(8) + b"1", "unknown_schema"),
        (FRAME.pack(2**32 - 1), "unknown_schema"),
    ],
)
def test_a_framed_value_that_is_no_record_says_why(value: bytes, reason: str) -> None:
    with pytest.raises(UnreadableAvroError) as caught:
        values.as_json(value)
    assert caught.value.reason == reason


LAUGHS = record(
    {"type": "record", "name": "L0", "fields": []},
    *(
        {
            "type": "record",
            "name": f"L{depth}",
            "fields": [{"name": side, "type": f"L{depth - 1}"} for side in ("a", "b", "c", "d")],
        }
        for depth in range(1, 40)
    ),
)


@pytest.mark.parametrize(
    "schema",
    [
        "",
        "{",
        "7",
        "null",
        '"nothing"',
        '{"type": "record"}',
        '{"type": "record", "name": "R", "fields": 3}',
        "[" * 60_000,
        json.dumps(record("string")) + " " * MAX_SCHEMA_BYTES,
        record(["null", "R"]),
        record({"type": "array", "items": "R"}),
        record({"type": "array", "items": "null"}),
        record({"type": "array", "items": {"type": "null"}}),
        record({"type": "map", "values": {"type": "fixed", "name": "F", "size": 0}}),
        record({"type": "array", "items": {"type": "array", "items": "int"}}),
        record({"type": "array", "items": record("null")}),
        record(*["null"] * (MOST_FIELDS + 1)),
        LAUGHS,
    ],
    ids=lambda schema: str(schema)[:30],
)
def test_a_schema_without_bounds_is_refused_before_a_record_is_read(schema: Any) -> None:
    with pytest.raises(UnreadableAvroError) as caught:
        reading(schema).as_json(FRAME.pack(1) + b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f")
    assert caught.value.reason == "unreadable_schema"


def test_the_registry_is_asked_once_for_each_schema_and_few_are_kept() -> None:
    asked: list[int] = []

    def noted(number: int) -> str:
        asked.append(number)
        return '"string"'

    reader = AvroValues(noted)
    for number in [*range(MOST_SCHEMAS + 1), *range(1, MOST_SCHEMAS + 1), 0]:
        assert reader.as_json(FRAME.pack(number) + b"\x02a") == b'"a"'
    assert asked == [*range(MOST_SCHEMAS + 1), 0]


def test_a_registry_that_does_not_answer_is_asked_again() -> None:
    asked: list[int] = []

    def away_at_first(number: int) -> str:
        asked.append(number)
        if len(asked) == 1:
            raise ConnectionError("away")
        return TRADES_SCHEMA

    reader = AvroValues(away_at_first)
    with pytest.raises(ConnectionError):
        reader.as_json(OF_THE_CONVERTER)
    assert reader.as_json(OF_THE_CONVERTER) == values.as_json(OF_THE_CONVERTER)
