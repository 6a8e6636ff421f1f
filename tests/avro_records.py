"""Records as the Avro converter of Kafka Connect writes them, by the schema that Debezium gave a captured table."""

import io
import json
from pathlib import Path
from typing import Any

import fastavro

from spark.contracts.ods import OdsTable, SqlType
from spark.transforms.avro_values import FRAME

TRADES_SCHEMA, QUOTES_SCHEMA = (
    (Path(__file__).parent / "data" / "avro" / f"{name}.avsc").read_text() for name in ("finnhub_trades", "finnhub_quotes")
)
"""As the registry had them from Debezium 3.7.0.Final and Apicurio's converter 2.6.13.Final."""
AVRO_TYPES: dict[SqlType, Any] = {
    "timestamptz": "string",
    "text": "string",
    "bigint": "long",
    "integer": "int",
    "float8": "double",
    "text[]": {"type": "array", "items": ["null", "string"]},
}

NUMBER = 7
_SOURCE = {
    "version": "3.7.0.Final",
    "connector": "postgresql",
    "name": "finlake",
    "ts_ms": 0,
    "snapshot": "false",
    "db": "market",
    "sequence": None,
    "ts_us": None,
    "ts_ns": None,
    "schema": "ods",
    "table": "finnhub_trades",
    "txId": 1,
    "lsn": None,
    "xmin": None,
    "origin": None,
    "origin_lsn": None,
}


def columns_in(schema: str) -> dict[str, tuple[Any, bool]]:
    """By column of a captured table its Avro type and whether it may be null, in the schema of the table's changes."""
    [before] = [field for field in json.loads(schema)["fields"] if field["name"] == "before"]
    return {field["name"]: _bare(field["type"]) for field in before["type"][1]["fields"]}


def declared_columns(table: OdsTable) -> dict[str, tuple[Any, bool]]:
    return {column.name: (AVRO_TYPES[column.type], column.nullable) for column in table.columns}


def _bare(schema: Any) -> tuple[Any, bool]:
    """An Avro type without annotations, and whether it may be null."""
    if isinstance(schema, list):
        assert schema[0] == "null"
        return _bare(schema[1])[0], True
    if isinstance(schema, dict):
        return ({"type": "array", "items": schema["items"]} if schema["type"] == "array" else schema["type"]), False
    return schema, False


def schema_of(number: int) -> str | None:
    return TRADES_SCHEMA if number == NUMBER else None


def framed(record: dict[str, Any], schema: Any = None, number: int = NUMBER) -> bytes:
    """The record after its frame; raises when it is none of the schema."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema or json.loads(TRADES_SCHEMA)), record, strict=True)
    return FRAME.pack(number) + stream.getvalue()


def avro_of(change: bytes) -> bytes:
    """A change of a trade, told in Debezium's JSON, as Avro."""
    told = json.loads(change)
    empty = dict.fromkeys(("before", "after", "transaction", "ts_ms", "ts_us", "ts_ns"))
    source = {name: value for name, value in told["source"].items() if name in _SOURCE}
    return framed({**empty, **told, "source": {**_SOURCE, **source}})
