"""Native blocks as a client of a given protocol revision reads them, and the types that an INSERT's rows bring along.

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
LONGEST_TYPE = 4096
MOST_TYPE_BYTES = 1 << 20
"""Of all types that the rows of one INSERT name."""
_INDEX_WIDTHS = 4
_DICTIONARY_FLAGS: Final = (0x200, 0x600)
"""Beside the index's width: the dictionary stands here, and (0x400) is a new one. Nothing else is in Native."""
_OTHER_VALUES: Final = frozenset(
    {"String", "FixedString", "Decimal", "Point", "Ring", "LineString", "MultiLineString", "Polygon", "MultiPolygon"}
)
_CANONICAL: Final = re.compile(r"(?:[A-Za-z0-9_(), =]|-(?!-)|'(?:[^'\\]|\\.)*'|`[^`\\]*`)*", re.DOTALL)
"""Signs of a type as the engine itself writes it: no comments, no names in other quotes or in escapes."""
_PLAIN_ARGUMENT: Final = re.compile(r"0|[1-9][0-9]{0,8}|'(?:[^'\\]|\\.)*'(?: = -?[0-9]{1,6})?", re.DOTALL)


def is_plain_type(column_type: str) -> bool:
    """Whether a type is written as the engine writes it and made of numbers, texts, times, and what holds such values.

    Not of AggregateFunction, Dynamic, Variant, JSON or whatever else may hold one: their values bring types along, or memory.
    """
    return (
        len(column_type) <= LONGEST_TYPE
        and column_type.count("(") <= DEEPEST_TYPE
        and _CANONICAL.fullmatch(column_type) is not None
        and _is_plain(column_type)
    )


def _is_plain(column_type: str) -> bool:
    name, arguments = _split_type(column_type)
    if column_type not in (name, f"{name}({', '.join(arguments)})"):
        return False
    if name in ("Tuple", "Nested", "Array", "Nullable", "Map", "LowCardinality"):
        children = _children(name, arguments)
        return (bool(children) or name == "Tuple") and all(_is_plain(child) for child in children)
    if name == "SimpleAggregateFunction":
        return len(arguments) == 2 and _is_plain(arguments[1])
    is_value = name in _WIDTHS or name in _OTHER_VALUES or name.startswith("Interval")
    return is_value and all(_PLAIN_ARGUMENT.fullmatch(argument) for argument in arguments)


def check_types_of_rows(input_format: str, rows: bytes) -> None:
    """Raise `ClickHouseError` (497) unless rows that bring their types along, in this format, bring plain ones.

    Each header is found where the engine will read it; bytes that it might read otherwise are refused.
    """
    read = {
        "native": _types_of_blocks,
        "rowbinarywithnamesandtypes": _types_of_row_binary,
        "rowbinarywithnamesandtypesanddefaults": _types_of_row_binary,
    }.get(input_format.lower())
    if read is None:
        return
    size = 0
    try:
        for column_type in read(_Cursor(rows)):
            size += len(column_type)
            if size > MOST_TYPE_BYTES or not is_plain_type(column_type):
                raise _refused_rows(f"values of type {column_type[:100]}")
    except (IndexError, ValueError, struct.error) as error:
        raise _refused_rows(f"bytes that are no whole {input_format} ({error})") from error


def _refused_rows(what: str) -> ClickHouseError:
    return ClickHouseError(
        497,
        "ACCESS_DENIED",
        f"Not enough privileges: INSERT of {what}; only values of plain types, named as "
        "system.columns names them, can be inserted",
    )


def _types_of_blocks(cursor: "_Cursor") -> Iterator[str]:
    """Types of the columns of all blocks; a column's values are passed when its type has been taken."""
    while cursor.position < len(cursor.data):
        columns, rows = cursor.varint(), cursor.varint()
        for _ in range(columns):
            cursor.text()
            column_type = cursor.text()
            yield column_type
            if rows:
                _skip_prefix(cursor, column_type)
                _skip_values(cursor, column_type, rows)


def _types_of_row_binary(cursor: "_Cursor") -> Iterator[str]:
    """Types in the header."""
    if not cursor.data:
        return
    columns = cursor.varint()
    for _ in range(columns):
        cursor.text()
    for _ in range(columns):
        yield cursor.text()


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
        return self.data[self.position - length : self.position].decode(errors="replace")

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
        raise ClickHouseError(
            48,
            "NOT_IMPLEMENTED",
            f"Native with these settings for a client that names its protocol version ({error}); ask for another format",
        ) from error


def _framed(blocks: bytes) -> Iterator[bytes]:
    cursor = _Cursor(blocks)
    while cursor.position < len(blocks):
        yield _BLOCK_INFO
        start = cursor.position
        columns, rows = cursor.varint(), cursor.varint()
        yield blocks[start : cursor.position]
        for _ in range(columns):
            start = cursor.position
            cursor.text()
            column_type = cursor.text()
            if column_type.count("(") > DEEPEST_TYPE:
                raise ValueError(f"a type with more than {DEEPEST_TYPE} brackets")
            yield blocks[start : cursor.position]
            yield _DEFAULT_SERIALIZATION
            start = cursor.position
            if rows:
                _skip_prefix(cursor, column_type)
                _skip_values(cursor, column_type, rows)
            yield blocks[start : cursor.position]


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


_QUOTED_NAME: Final = re.compile(r"`(?:[^`\\]|\\.|``)*` ", re.DOTALL)


def _element_type(argument: str) -> str:
    """The type in an element of a tuple, which may have a name before it."""
    if quoted := _QUOTED_NAME.match(argument):
        return argument[quoted.end() :]
    head, space, rest = argument.partition(" ")
    return rest if space and "(" not in head else argument


def _children(name: str, arguments: list[str]) -> list[str]:
    if name in ("Tuple", "Nested"):
        return [_element_type(argument) for argument in arguments]
    if name in ("Array", "Nullable", "Map", "LowCardinality"):
        return arguments
    if name == "SimpleAggregateFunction":
        return arguments[1:2]
    return []


def _skip_prefix(cursor: _Cursor, column_type: str) -> None:
    """Pass what stands before a column's values: a version for each dictionary within the type."""
    name, arguments = _split_type(column_type)
    if name == "LowCardinality":
        cursor.skip(_LOW_CARDINALITY_VERSION_BYTES)
        return
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
        _skip_low_cardinality(cursor, arguments[0], rows)
    else:
        cursor.skip(rows * _width(column_type, name, arguments))


def _skip_low_cardinality(cursor: _Cursor, value_type: str, rows: int) -> None:
    flags = cursor.uint64()
    if flags & ~_KEY_WIDTH_MASK not in _DICTIONARY_FLAGS or flags & _KEY_WIDTH_MASK >= _INDEX_WIDTHS:
        raise ValueError(f"a dictionary of kind {flags}")
    key_width = 1 << (flags & _KEY_WIDTH_MASK)
    name, arguments = _split_type(value_type)
    # A dictionary of nullable values holds plain ones; null is its first key.
    _skip_values(cursor, arguments[0] if name == "Nullable" else value_type, cursor.uint64())
    keys = cursor.uint64()
    if keys != rows:
        raise ValueError(f"a dictionary for {keys} of {rows} rows")
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
        raise ClickHouseError(
            48,
            "NOT_IMPLEMENTED",
            f"Type {column_type} in Native for a client that names its protocol "
            "version; cast it to String, or ask for another format",
        )
    return _WIDTHS[name]
