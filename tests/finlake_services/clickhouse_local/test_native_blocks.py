"""Native blocks for clients that name their protocol version, and blocks with checksums: what Grafana's client speaks."""

import contextlib
import struct
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_services.clickhouse_local.errors import ClickHouseError
from finlake_services.clickhouse_local.native_blocks import (
    DEEPEST_TYPE,
    LONGEST_TYPE,
    MOST_TYPE_BYTES,
    check_types_of_rows,
    is_plain_type,
    with_revision,
)

REVISION = 54460
BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
AS_GO_ASKS = {"default_format": "Native", "client_protocol_version": str(REVISION), "max_execution_time": "60"}
EXPRESSIONS = [
    "number",
    "toString(number)",
    "repeat('long', 100)",
    "toDateTime64(number, 3, 'UTC')",
    "now()",
    "today()",
    "toDate32(1)",
    "cast((('a', 1), 2), 'Tuple(`a b` Tuple(`c d` String, e UInt8), f UInt8)')",
    "[number, 1]",
    "[[number], []]",
    "emptyArrayString()",
    "map('a', number)",
    "map('a', ['b', 'c'])",
    "toNullable(number)",
    "NULL",
    "toNullable('x')",
    "('x', number)",
    "tuple()",
    "cast(('a', [1]), 'Tuple(n String, `b c` Array(UInt8))')",
    "cast(('a', ('b', 1)), 'Tuple(n String, m Tuple(x String, y Int8))')",
    "[('a', [1, 2]), ('b', [])]",
    "toDecimal32(1, 3)",
    "toDecimal64(1, 3)",
    "toDecimal128(1, 3)",
    "toDecimal256(1, 3)",
    "toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')",
    "toIPv4('1.2.3.4')",
    "toIPv6('::1')",
    "CAST('a' AS Enum8('a' = 1, 'b, (\\'c)' = 2))",
    "CAST('a' AS Enum16('a' = 1000))",
    "toFixedString('abc', 5)",
    "toInt128(1)",
    "toUInt256(1)",
    "toFloat32(1)",
    "true",
    "toIntervalDay(1)",
    "toLowCardinality('a')",
    "toLowCardinality(toString(number % 300))",
    "toLowCardinality(toNullable('z'))",
    "[toLowCardinality('a'), toLowCardinality('b')]",
    "map(toLowCardinality('a'), toLowCardinality(toString(number)))",
    "(toLowCardinality('a'), toLowCardinality(toFixedString('b', 2)))",
    "[toNullable(toLowCardinality('q'))]",
    "CAST([(1, 'a')], 'Nested(a UInt8, b String)')",
    "CAST(number AS SimpleAggregateFunction(sum, UInt64))",
]


def varint(data: bytes, position: int) -> tuple[int, int]:
    """A number and the position after it."""
    value = shift = 0
    while data[position] >= 0x80:
        value |= (data[position] & 0x7F) << shift
        shift += 7
        position += 1
    return value | data[position] << shift, position + 1


def text(data: bytes, position: int) -> tuple[str, int]:
    """A string and the position after it."""
    length, position = varint(data, position)
    return data[position : position + length].decode(), position + length


def number_blocks(data: bytes) -> Iterator[list[int]]:
    """Values of blocks with one UInt64 column, read as a client of REVISION reads them."""
    position = 0
    while position < len(data):
        assert data[position : position + len(BLOCK_INFO)] == BLOCK_INFO
        position += len(BLOCK_INFO)
        columns, position = varint(data, position)
        rows, position = varint(data, position)
        _, position = text(data, position)
        column_type, position = text(data, position)
        assert (columns, column_type, data[position]) == (1, "UInt64", 0)
        position += 1
        yield list(struct.unpack_from(f"<{rows}Q", data, position))
        position += 8 * rows


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_end_of_every_columns_values_is_found(reader: httpx.Client, expression: str) -> None:
    for rows in (1, 3, 1000):
        query = f"SELECT {expression} AS x, toUInt8(7) AS last FROM numbers({rows})"
        plain = reader.post("/", content=query, params={"default_format": "Native"}).content
        framed = reader.post("/", content=query, params=AS_GO_ASKS).content
        blocks = framed.count(BLOCK_INFO)
        assert len(framed) - len(plain) == blocks * (len(BLOCK_INFO) + 2)
        assert framed.startswith(BLOCK_INFO)
        assert b"\x04last\x05UInt8\x00\x07" in framed
        assert framed.endswith(b"\x07")


def test_blocks_of_a_long_answer_are_framed_one_by_one(reader: httpx.Client) -> None:
    framed = reader.post("/", content="SELECT number FROM numbers(200000)", params=AS_GO_ASKS).content
    blocks = list(number_blocks(framed))
    assert len(blocks) > 1
    assert [value for block in blocks for value in block] == list(range(200_000))


def test_no_rows_are_no_bytes(reader: httpx.Client) -> None:
    assert reader.post("/", content="SELECT number FROM numbers(0)", params=AS_GO_ASKS).content == b""


def test_an_earlier_revision_is_answered_without_frames(reader: httpx.Client) -> None:
    params = {**AS_GO_ASKS, "client_protocol_version": "54405"}
    assert reader.post("/", content="SELECT 1 AS a", params=params).content == b"\x01\x01\x01a\x05UInt8\x01"


def test_the_handshake_of_grafanas_client_is_answered(reader: httpx.Client) -> None:
    answer = reader.post("/", content="SELECT displayName(), version(), revision(), timezone()", params=AS_GO_ASKS)
    assert answer.content.startswith(BLOCK_INFO + b"\x04\x01")
    assert b"revision()\x06UInt32\x00" in answer.content


def test_a_type_without_a_known_length_is_refused_by_name(reader: httpx.Client) -> None:
    answer = reader.post("/", content="SELECT sumState(number) FROM numbers(1)", params=AS_GO_ASKS)
    assert answer.headers["x-clickhouse-exception-code"] == "48"
    assert "AggregateFunction(sum, UInt64)" in answer.text


@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=5), max_size=5))
def test_frames_leave_values_as_they_are(blocks: list[list[int]]) -> None:
    plain = b"".join(
        b"\x01" + bytes([len(block)]) + b"\x01x\x06UInt64" + struct.pack(f"<{len(block)}Q", *block) for block in blocks
    )
    assert list(number_blocks(with_revision(plain, REVISION))) == blocks
    assert with_revision(plain, 0) == plain


@given(st.lists(st.text(max_size=200), max_size=20))
def test_strings_of_any_length_are_passed_over(values: list[str]) -> None:
    def counted(value: str) -> bytes:
        data, length = value.encode(), len(value.encode())
        return bytes([length]) + data if length < 0x80 else bytes([length & 0x7F | 0x80, length >> 7]) + data

    rows, numbers = bytes([len(values)]), bytes(len(values))
    column = b"".join(counted(value) for value in values)
    framed = with_revision(b"\x02" + rows + b"\x01s\x06String" + column + b"\x01n\x05UInt8" + numbers, REVISION)
    assert framed == BLOCK_INFO + b"\x02" + rows + b"\x01s\x06String\x00" + column + b"\x01n\x05UInt8\x00" + numbers


def test_answers_and_bodies_in_checked_blocks(reader: httpx.Client, writer: httpx.Client, admin: httpx.Client) -> None:
    pytest.importorskip("clickhouse_cityhash")
    from finlake_services.clickhouse_local.compression import CheckedBlocks, decode_checked_blocks

    for method in ("LZ4", "ZSTD"):
        params = {**AS_GO_ASKS, "compress": "1", "network_compression_method": method}
        answer = reader.post("/", content="SELECT number FROM numbers(200000)", params=params).content
        assert len(answer) < 1_000_000
        blocks = list(number_blocks(decode_checked_blocks(answer, 1 << 30)))
        assert [value for block in blocks for value in block] == list(range(200_000))
        admin.post("/", content="CREATE OR REPLACE TABLE speed.blocks (a UInt64) ENGINE = MergeTree ORDER BY a")
        block = b"\x01\x03\x01a\x06UInt64" + struct.pack("<3Q", 1, 2, 3)
        sent = CheckedBlocks(method).encode(block)
        insert = {"query": "INSERT INTO speed.blocks FORMAT Native", "decompress": "1"}
        writer.post("/", params=insert, content=sent).raise_for_status()
        assert writer.post("/", content="SELECT sum(a) FROM speed.blocks").text == "6\n"
        broken = sent[:-1] + bytes([sent[-1] ^ 1])
        assert writer.post("/", params=insert, content=broken).headers["x-clickhouse-exception-code"] == "40"
        assert writer.post("/", params=insert, content=sent[:-1]).headers["x-clickhouse-exception-code"] == "33"


@pytest.mark.parametrize(
    "column_type",
    [
        "FixedString(-20)",
        "FixedString(999999999999)",
        "Array(" * (DEEPEST_TYPE + 1),
        "Tuple(" * 3_000,
        "Array(FixedString(-9))",
        "LowCardinality(FixedString(-3))",
    ],
)
def test_blocks_that_do_not_hold_what_they_say_are_refused(column_type: str) -> None:
    for count in (1, 255):
        values = bytes([count] * 64)
        length = len(column_type)
        block = b"\x01\x01\x01x" + bytes([length & 0x7F | 0x80, length >> 7]) + column_type.encode() + values
        with pytest.raises(ClickHouseError):
            with_revision(block, REVISION)


PLAIN = st.recursive(
    st.sampled_from(
        [
            "UInt8",
            "String",
            "Float64",
            "FixedString(3)",
            "Decimal(18, 4)",
            "DateTime64(6, 'UTC')",
            "Enum8('a, (' = 1)",
            "SimpleAggregateFunction(sum, UInt64)",
            "LowCardinality(Nullable(String))",
            "IntervalDay",
            "UUID",
            "Point",
        ]
    ),
    lambda inner: st.one_of(
        inner.map("Array({})".format),
        inner.map("Nullable({})".format),
        inner.map("Map(String, {})".format),
        inner.map("Tuple(`a (` {0}, b {0})".format),
        inner.map("Nested(x {})".format),
        inner.map("Tuple({})".format),
    ),
    max_leaves=4,
)
UNPLAIN = st.sampled_from(
    [
        "Dynamic",
        "Dynamic(max_types=0)",
        "JSON",
        "JSON(a UInt8)",
        "Object('json')",
        "Variant(String, UInt8)",
        "QBit(Float32, 3)",
        "AggregateFunction(sum, UInt64)",
        "`Dynamic`",
        '"Dynamic"',
        "Array(`Aggregate\\x46unction`(sum, UInt64))",
        "Array (Dynamic)",
        "/**/Dynamic",
        "UInt8 Dynamic",
        "SimpleAggregateFunction(any, Dynamic)",
        "Tuple(Dynamic, `b` Array(UInt8))",
        "dynamic",
        "INT",
        "--x\nDynamic",
        "Array(UInt8) Dynamic",
        "FixedString(0x5)",
        "FixedString(1_0)",
        "FixedString(010)",
        "Array(UInt8",
        "UInt8)",
        "String\0",
        "Nothing at all",
        "Array()",
    ]
)


def block_of(column_type: str, values: bytes = b"\1" * 64) -> bytes:
    """One row of one column `symbol`."""
    length = len(column_type.encode())
    return b"\1\1\6symbol" + bytes([length & 0x7F | 0x80, length >> 7]) + column_type.encode() + values


@given(PLAIN)
def test_types_of_values_are_plain(column_type: str) -> None:
    assert is_plain_type(column_type)


@given(PLAIN, UNPLAIN)
def test_a_type_that_holds_another_is_not_plain_wherever_it_stands(outer: str, inner: str) -> None:
    for leaf in ("UInt8", "String", "Float64", "UUID", "Point"):
        held = outer.replace(leaf, inner)
        if held != outer:
            assert not is_plain_type(held), held
    assert not is_plain_type(inner)
    for input_format in ("Native", "native", "RowBinaryWithNamesAndTypes", "RowBinaryWithNamesAndTypesAndDefaults"):
        header = block_of(inner) if input_format.lower() == "native" else block_of(inner)[:1] + block_of(inner)[2:]
        with pytest.raises(ClickHouseError, match="ACCESS_DENIED"):
            check_types_of_rows(input_format, header)


@pytest.mark.parametrize(
    "rows",
    [
        block_of("UInt8", b"\1") + block_of("Dynamic"),
        block_of("String", b"\5ab"),
        block_of("UInt8", b""),
        b"\1",
        b"\1\1",
        block_of("LowCardinality(String)", struct.pack("<QQQ", 1, 0, 1) + b"\0"),
        block_of("LowCardinality(String)", struct.pack("<QQQ", 1, 0x600, 1) + b"\0" + struct.pack("<Q", 2) + b"\0\0"),
        block_of("LowCardinality(String)", struct.pack("<QQQ", 1, 0x700, 1) + b"\0" + struct.pack("<Q", 1) + b"\0"),
        block_of("UInt8", b"\1") * (MOST_TYPE_BYTES // 5 + 1),
        block_of("Array(" * 101 + "UInt8" + ")" * 101),
        block_of("Enum8('" + "a" * LONGEST_TYPE + "')"),
    ],
)
def test_rows_that_the_engine_might_read_otherwise_are_refused(rows: bytes) -> None:
    with pytest.raises(ClickHouseError, match="ACCESS_DENIED"):
        check_types_of_rows("Native", rows)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_the_engine_writes_may_be_inserted(reader: httpx.Client, expression: str) -> None:
    query = f"SELECT {expression} AS x, 'last' AS last FROM numbers(300)"
    for named in ("Native", "RowBinaryWithNamesAndTypes"):
        check_types_of_rows(named, reader.post("/", content=query, params={"default_format": named}).content)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_to_an_end(blocks: bytes) -> None:
    with contextlib.suppress(ClickHouseError):
        assert len(with_revision(blocks, REVISION)) >= len(blocks)
