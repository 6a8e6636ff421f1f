"""The shape of a rejected row: where it came from, why it was rejected, and its raw text."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from datetime import date

import pyarrow as pa

from spark.contracts.silver import QUARANTINE
from spark.schemas import arrow_schema

RAW_TEXT_LIMIT = 4_000
MAX_REJECTED_ROWS = 100
"""Rows for the lines of one file; lines beyond are counted, by reason, in rows of this number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """One row of silver.quarantine, fields in contract order.

    `reference` must be unique within (`source_table`, `source_name`, `reason`): a line number with what tells the file
    from another one of the same name, or a record id.
    """

    source_table: str
    source_name: str
    reference: str
    reason: str
    message: str
    raw_text: str
    ticker: str | None
    day_date: date


def rejections_table(rejections: Iterable[Rejection]) -> pa.Table:
    """Rejections as Arrow rows of silver.quarantine; raw text is cut at `RAW_TEXT_LIMIT` characters."""
    schema = arrow_schema(QUARANTINE)
    columns = list(zip(*map(astuple, rejections), strict=True)) or [()] * len(schema)
    raw_text = schema.get_field_index("raw_text")
    columns[raw_text] = tuple(text[:RAW_TEXT_LIMIT] for text in columns[raw_text])
    return pa.table([pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema)
