"""Native blocks as a client of a given protocol revision reads them.

The engine writes the blocks of revision 0. A client that names a `client_protocol_version` since 54454 reads a block info before
each block and one byte after each column's type that says how the column is serialized. To put that byte in, the end of every
column must be known, so each column's length is found from its type.

Earlier revisions (block info only) are answered as revision 0, as behind a proxy that drops the parameter: the client that uses
them tries it first, and its answers need not be taken apart.
"""

import re
import struct
from collections.abc import Iterator
from typing import Final

from finlake_services.clickhouse_local.errors import ClickHouseError

FIRST_REVISION_WITH_SERIALIZATION: Final = 54454

_BLOCK_INFO: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""Field 1: no overflow rows; field 2: bucket number -1; end."""

_DEFAULT_SERIALIZATION: Final = b"\x00"
_WIDTHS: Final = {
    **dict.fromkeys(("Int8", "UInt8", "Bool", "Enum8", "Nothing"), 1),
    **dict.fromkeys(("Int16", "UInt16", "Date", "Enum16", "BFloat16"), 2),
    **dict.fromkeys(("Int32", "UInt32", "Float32", "Date32", "DateTime", "IPv4", "Decimal32", "Time"), 4),
    **dict.fromkeys(("Int64", "UInt64", "Float64", "DateTime64", "Decimal64", "Time64"), 8),
    **dict.fromkeys(("Int128", "UInt128", "UUID", "IPv6", "Decimal128"), 16),
    **dict.fromkeys(("Int256", "UInt256", "Decimal256"), 32),
}
_DECIMAL_WIDTHS: Final = ((9, 4), (18, 8), (38, 16), (76, 32))
_LOW_CARDINALITY_VERSION_BYTES: Final = 8
_KEY_WIDTH_MASK: Final = 0xFF


DEEPEST_TYPE: Final = 100
_LONGEST_VARINT_BITS: Final = 64
_STATE_TYPE: Final = re.compile(rb"(?<!Simple)" + b"".join(
    rb"(?:\\N)*(?:%c|\\x%02x)" % (letter, letter) for letter in b"AggregateFunction"), re.IGNORECASE)
"""The type's name as text, also as a quoted name that is spelled in escapes (`\\N` stands for nothing)."""


def names_state_type(rows: bytes) -> bool:
    """Whether rows that bring their types along may bring states of aggregate functions (a text that holds the word counts)."""
    return _STATE_TYPE.search(rows) is not None


class _Cursor:
    """A position in the bytes of blocks, which never goes back nor beyond their end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def skip(self, size: int) -> None:
        if not 0 <= size <= len(self.data) - self.position:
            raise ValueError(f"{size} bytes of a value")
        self.position += size

    def varint(self) -> int:
        value = shift = 0
        while shift < _LONGEST_VARINT_BITS:
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise ValueError("a number without an end")

    def text(self) -> str:
        length = self.varint()
        self.skip(length)
        return self.data[self.position - length:self.position].decode(errors="replace")

    def uint64(self) -> int:
        self.skip(8)
        value: int = struct.unpack_from("<Q", self.data, self.position - 8)[0]
        return value

    def skip_strings(self, count: int) -> None:
        data, position = self.data, self.position
        for _ in range(count):
            length = data[position]
            position += 1
            if length >= 0x80:
                self.position = position - 1
                length = self.varint()
                position = self.position
            position += length
        self.skip(position - self.position)


def with_revision(blocks: bytes, revision: int) -> bytes:
    """Whole blocks of revision 0 as those of `revision`. Raises `ClickHouseError` (48) for a type without a known length."""
    if revision < FIRST_REVISION_WITH_SERIALIZATION:
        return blocks
    try:
        return b"".join(_framed(blocks))
    except (IndexError, ValueError, struct.error) as error:
        raise ClickHouseError(48, "NOT_IMPLEMENTED", "Native with these settings for a client that names its protocol "
                                                     f"version ({error}); ask for another format") from error


def _framed(blocks: bytes) -> Iterator[bytes]:
    cursor = _Cursor(blocks)
    while cursor.position < len(blocks):
        yield _BLOCK_INFO
        start = cursor.position
        columns, rows = cursor.varint(), cursor.varint()
        yield blocks[start:cursor.position]
        for _ in range(columns):
            start = cursor.position
            cursor.text()
            column_type = cursor.text()
            if column_type.count("(") > DEEPEST_TYPE:
                raise ValueError(f"a type with more than {DEEPEST_TYPE} brackets")
            yield blocks[start:cursor.position]
            yield _DEFAULT_SERIALIZATION
            start = cursor.position
            if rows:
                _skip_prefix(cursor, column_type)
                _skip_values(cursor, column_type, rows)
            yield blocks[start:cursor.position]


def _split_type(column_type: str) -> tuple[str, list[str]]:
    """A type's name and the texts of its arguments: `Map(String, Array(Int8))` is ("Map", ["String", "Array(Int8)"])."""
    name, bracket, rest = column_type.partition("(")
    if not bracket:
        return name, []
    arguments, depth, start, quoted, position = [], 0, 0, "", 0
    while position < len(rest):
        sign = rest[position]
        if quoted:
            if sign == "\\":
                position += 1
            elif sign == quoted:
                quoted = ""
        elif sign in "'`":
            quoted = sign
        elif sign == "(":
            depth += 1
        elif (sign == "," and depth == 0) or (sign == ")" and depth == 0):
            arguments.append(rest[start:position].strip())
            start = position + 1
        elif sign == ")":
            depth -= 1
        position += 1
    return name, [argument for argument in arguments if argument]


def _element_type(argument: str) -> str:
    """The type in an element of a tuple, which may have a name before it."""
    if argument.startswith("`"):
        return argument[argument.rindex("` ") + 2:]
    head, space, rest = argument.partition(" ")
    return rest if space and "(" not in head else argument


def _children(name: str, arguments: list[str]) -> list[str]:
    if name in ("Tuple", "Nested"):
        return [_element_type(argument) for argument in arguments]
    if name in ("Array", "Nullable", "Map"):
        return arguments
    if name == "SimpleAggregateFunction":
        return arguments[1:2]
    return []


def _skip_prefix(cursor: _Cursor, column_type: str) -> None:
    """Pass what stands before a column's values: a version for each dictionary within the type."""
    name, arguments = _split_type(column_type)
    if name == "LowCardinality":
        cursor.skip(_LOW_CARDINALITY_VERSION_BYTES)
    for child in _children(name, arguments):
        _skip_prefix(cursor, child)


def _skip_values(cursor: _Cursor, column_type: str, rows: int) -> None:
    if rows == 0:
        return
    name, arguments = _split_type(column_type)
    if name == "String":
        cursor.skip_strings(rows)
    elif name == "Nullable":
        cursor.skip(rows)
        _skip_values(cursor, arguments[0], rows)
    elif name in ("Array", "Map", "Nested"):
        cursor.skip(8 * (rows - 1))
        values = cursor.uint64()
        for child in _children(name, arguments):
            _skip_values(cursor, child, values)
    elif name == "Tuple" and arguments:
        for child in _children(name, arguments):
            _skip_values(cursor, child, rows)
    elif name == "SimpleAggregateFunction":
        _skip_values(cursor, arguments[1], rows)
    elif name == "LowCardinality":
        _skip_low_cardinality(cursor, arguments[0])
    else:
        cursor.skip(rows * _width(column_type, name, arguments))


def _skip_low_cardinality(cursor: _Cursor, value_type: str) -> None:
    key_width = 1 << (cursor.uint64() & _KEY_WIDTH_MASK)
    name, arguments = _split_type(value_type)
    # A dictionary of nullable values holds plain ones; null is its first key.
    _skip_values(cursor, arguments[0] if name == "Nullable" else value_type, cursor.uint64())
    keys = cursor.uint64()
    cursor.skip(keys * key_width)


def _width(column_type: str, name: str, arguments: list[str]) -> int:
    if name == "FixedString":
        return int(arguments[0])
    if name == "Decimal":
        return next(width for digits, width in _DECIMAL_WIDTHS if int(arguments[0]) <= digits)
    if name.startswith("Interval"):
        return 8
    if name == "Tuple":
        return 1
    if name not in _WIDTHS:
        raise ClickHouseError(48, "NOT_IMPLEMENTED", f"Type {column_type} in Native for a client that names its protocol "
                                                     "version; cast it to String, or ask for another format")
    return _WIDTHS[name]
