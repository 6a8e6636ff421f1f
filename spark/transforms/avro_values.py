"""Values that Kafka Connect's Avro converter wrote, as the JSON that its JSON converter writes of the same record.

Such a value is a zero byte, the number of a schema (four bytes, the big end first) and Avro's binary form of the record. No
JSON begins so: a topic may hold both, and what is not framed is handed on as it is.

Who may write to the topic and to the registry may write anything. So each bound holds before the work: the size of a schema
before it is parsed, what a record of it may hold before one is read. Does not belong here: where schemas come from
(finlake_clients), and what a record means.
"""

import io
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

FRAME = struct.Struct(">xI")
"""What stands before the record: a zero byte and the schema's number."""

MAX_SCHEMA_BYTES = 64 * 1024
"""The largest schema that is read; those of the stream have 3 kB."""

MOST_SCHEMAS = 64
"""Schemas that a reader keeps. Each change of a captured table makes one."""

MOST_FIELDS = 1_000
"""Values that a record may hold, those of records within it included and lists counted as one."""

SchemaOf = Callable[[int], str | None]
"""The text of a schema by its number, None for a number that the registry does not know."""

_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
# What fastavro raises for bytes that are no record of the schema: each of these was met in a test that changes bytes at random.
_BROKEN = (EOFError, LookupError, ValueError, TypeError, ArithmeticError, OSError, MemoryError, struct.error)


class UnreadableAvroError(ValueError):
    """A framed value that is no record: `reason` is unknown_schema, unreadable_schema or broken_avro, the message says more."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class AvroValues:
    """A reader of framed values. What `schema_of` raises when the registry cannot be asked passes through, and is asked again."""

    def __init__(self, schema_of: SchemaOf) -> None:
        self._schema_of = schema_of
        self._schema = lru_cache(maxsize=MOST_SCHEMAS)(self._parsed)

    def as_json(self, value: bytes) -> bytes:
        """The record as JSON; `value` itself when it is not framed. Raises UnreadableAvroError."""
        if value[:1] != b"\0":
            return value
        from fastavro import schemaless_reader

        if len(value) < FRAME.size:
            raise UnreadableAvroError("broken_avro", f"the record has {len(value)} bytes, too few for a schema's number")
        [number] = FRAME.unpack_from(value)
        schema = self._schema(number)
        stream = io.BytesIO(value)
        stream.seek(FRAME.size)
        try:
            record = schemaless_reader(stream, schema, None)
            text = msgspec.json.encode(record)
        except (*_BROKEN, msgspec.MsgspecError) as error:
            raise UnreadableAvroError("broken_avro", f"it is no record of schema {number}: {error!r:.200}") from error
        if stream.tell() != len(value):
            raise UnreadableAvroError("broken_avro", f"{len(value) - stream.tell()} bytes follow the record of schema {number}")
        return text

    def _parsed(self, number: int) -> Any:
        from fastavro import parse_schema
        from fastavro.schema import SchemaParseException, UnknownType

        text = self._schema_of(number)
        if text is None:
            raise UnreadableAvroError(
                "unknown_schema",
                f"it is Avro of schema {number}, which no schema registry that is set here knows; see "
                "FINLAKE_KAFKA_REGISTRY_URL, and `finlake replay` it when the registry has it again",
            )
        if len(text) > MAX_SCHEMA_BYTES:
            raise UnreadableAvroError(
                "unreadable_schema", f"schema {number} has {len(text)} characters, more than {MAX_SCHEMA_BYTES}"
            )
        try:
            schema = parse_schema(msgspec.json.decode(text))
            _Extent().of(schema)
        except (
            msgspec.MsgspecError,
            SchemaParseException,
            UnknownType,
            RecursionError,
            LookupError,
            TypeError,
            AttributeError,
            ValueError,
        ) as error:
            raise UnreadableAvroError("unreadable_schema", f"schema {number} cannot be read by: {error!r:.200}") from error
        return schema


class _Extent:
    """How many values one datum of a parsed schema may hold. Raises ValueError for too many, and for what has no bound: a type
    within itself, and lists of what takes no byte."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of(self, schema: Any) -> int:
        if isinstance(schema, str):
            return 1 if schema in _PRIMITIVES else self._of_name(schema)
        if isinstance(schema, list):
            return 1 + max(map(self.of, schema), default=0)
        kind = schema["type"]
        if kind == "record":
            self._known[schema["name"]] = total = 1 + sum(self.of(field["type"]) for field in schema["fields"])
            if total > MOST_FIELDS:
                raise ValueError(f"a record {schema['name']} may hold more than {MOST_FIELDS} values")
            return total
        if kind in ("enum", "fixed"):
            self._known[schema["name"]] = 1
            return 1
        if kind in ("array", "map"):
            self._require_plain(schema["items" if kind == "array" else "values"])
            return 1
        return self.of(kind)

    def _of_name(self, name: str) -> int:
        if name not in self._known:
            raise ValueError(f"a type {name} is within itself or not declared before")
        return self._known[name]

    @staticmethod
    def _require_plain(items: Any) -> None:
        """Each item takes a byte at least: the number of items is within that of bytes."""
        bare = items["type"] if isinstance(items, dict) else items
        choices = bare if isinstance(bare, list) else [bare]
        plain = [choice["type"] if isinstance(choice, dict) else choice for choice in choices]
        if bare == "null" or not all(isinstance(choice, str) and choice in _PRIMITIVES for choice in plain):
            raise ValueError("a list may hold texts, numbers and nulls beside them alone")


JSON_ALONE = AvroValues(lambda _: None)
"""For a stream without a registry: whatever is framed is of an unknown schema."""
