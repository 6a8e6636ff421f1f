"""Answers of a query as Arrow tables, part by part as the server sends them: an answer larger than memory can be read.

What pyspark's own `toLocalIterator` reads, before it makes Python rows of it: times stay in UTC, and numbers their type.
"""

from collections.abc import Iterator
from typing import Any, cast

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import to_arrow_schema


def answer_schema(frame: DataFrame) -> pa.Schema:
    """The columns of a query's answer."""
    return to_arrow_schema(frame.schema)


def answer_parts(frame: DataFrame) -> Iterator[pa.Table]:
    """The rows of a query's answer (Spark Connect), in order; each part has the columns of `answer_schema`."""
    # Connect's frame, which pyspark's types do not tell from the other kind.
    remote: Any = frame
    schema, client = answer_schema(frame), remote._session.client
    for part in client.to_table_as_iterator(remote._plan.to_proto(client), {}):
        if isinstance(part, pa.Table):
            yield cast(pa.Table, part).cast(schema)
