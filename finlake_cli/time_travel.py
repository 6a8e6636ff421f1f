"""A query read at another version: the tables it names get Spark's `VERSION AS OF` or `TIMESTAMP AS OF`."""

import re
from datetime import datetime

from spark.contracts import lake as contracts


def at_version(query: str, *, snapshot_id: int | None = None, as_of_ts: datetime | None = None) -> str:
    """`query` with every lake table after FROM or JOIN pinned to a snapshot or a UTC time; unchanged when neither is given."""
    if snapshot_id is None and as_of_ts is None:
        return query
    clause = f"VERSION AS OF {snapshot_id}" if snapshot_id is not None else f"TIMESTAMP AS OF '{as_of_ts:%Y-%m-%d %H:%M:%S}'"
    names = "|".join(re.escape(address) for address in sorted(contracts.TABLES, key=len, reverse=True))
    return re.sub(rf"(?i)\b(from|join)(\s+(?:lake\.)?(?:{names}))\b(?!\.)", rf"\1\2 {clause}", query)
