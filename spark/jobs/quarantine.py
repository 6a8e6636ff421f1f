"""How a step hands over the rows it rejected: it replaces exactly its own rows in silver.quarantine."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
from pyiceberg.expressions import And, BooleanExpression, EqualTo

from spark.contracts.report import Provenance, TableReport
from spark.lake.storage import Lake

ADDRESS = "silver.quarantine"


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """What was rejected: how many rows, a few of them for people to look at, the table's report."""

    count: int
    samples: tuple[Mapping[str, str], ...]
    report: TableReport


def quarantine(
    lake: Lake, rejected: pa.Table, *, source_table: str, replaced: BooleanExpression, provenance: Provenance
) -> Quarantined:
    """Replace `source_table`'s quarantined rows that match `replaced` by `rejected` (quarantine columns)."""
    own = And(EqualTo("source_table", source_table), replaced)
    report = lake.replace_rows(ADDRESS, rejected, replaced=own, provenance=provenance)
    samples = rejected.slice(0, 10).select(["source_name", "reference", "reason", "message", "raw_text"]).to_pylist()
    return Quarantined(
        count=rejected.num_rows,
        report=report,
        samples=tuple({key: str(value)[:300] for key, value in sample.items()} for sample in samples),
    )
