"""Iceberg's side: what the silver tables hold of the stream, read in batches and forgotten."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from finlake_reconciliation.buckets import Bucket, Buckets, Content, Tally, id_hash, units
from finlake_reconciliation.comparison import Rows
from finlake_reconciliation.kafka_side import Offsets
from spark.contracts.streams import CapturedTable

if TYPE_CHECKING:
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.table import Table as IcebergTable

    from spark.lake.storage import Lake


class ArchivedRow(NamedTuple):
    """A row of silver, as far as it is compared."""

    row_id: str
    symbol: str
    received_us: int
    content: Content
    lsn: int


class Archive:
    """The lake's silver tables of trades and quotes, each as it was when it was first asked: runs may go on meanwhile."""

    def __init__(self, lake: "Lake") -> None:
        self._lake = lake
        self._table = cache(self._published)

    def end_offsets(self, relation: CapturedTable) -> Offsets:
        """The first offset of each partition that silver does not show yet."""
        from spark.lake.snapshots import positions_of

        table = self._table(relation.settled.address)
        positions = {} if table is None else positions_of(table)
        return {partition: end for (topic, partition), end in positions.items() if topic == relation.topic}

    def buckets(self, relation: CapturedTable, *, below_lsn: int, first_day: date) -> Buckets:
        """Sums of the rows below an LSN that were received on a UTC day or later."""
        from pyiceberg.expressions import GreaterThanOrEqual

        tally = Tally()
        for row in self._rows(relation, GreaterThanOrEqual("received_date", first_day.isoformat())):
            if row.lsn < below_lsn:
                tally.add(row.row_id, row.symbol, row.received_us, row.content)
        return tally.buckets()

    def rows(self, relation: CapturedTable, bucket: Bucket, *, below_lsn: int) -> Rows:
        """The rows of one bucket below an LSN."""
        from pyiceberg.expressions import And, EqualTo

        day = datetime.fromtimestamp(bucket.hour * 3600, tz=UTC).date()
        found: dict[str, list[Content]] = {}
        for row in self._rows(relation, And(EqualTo("received_date", day.isoformat()), EqualTo("symbol", bucket.symbol))):
            if row.lsn < below_lsn and Bucket.of(row.symbol, row.received_us) == bucket:
                found.setdefault(row.row_id, []).append(row.content)
        return found

    def id_hashes(self, relation: CapturedTable) -> Iterator[int]:
        """Hashes of the ids of all rows."""
        from pyiceberg.expressions import AlwaysTrue

        return (id_hash(row.row_id) for row in self._rows(relation, AlwaysTrue()))

    def _rows(self, relation: CapturedTable, wanted: "BooleanExpression") -> Iterator[ArchivedRow]:
        table = self._table(relation.settled.address)
        if table is None:
            return
        columns = (*relation.id_columns, "symbol", "received_ts", relation.event_ts.name, "lsn", *relation.numbers)
        keys = len(relation.id_columns)
        for batch in table.scan(row_filter=wanted, selected_fields=columns).to_arrow_batch_reader():
            times = {"received_ts", relation.event_ts.name}
            lists = [(batch[name].cast("int64") if name in times else batch[name]).to_pylist() for name in columns]
            for values in zip(*lists, strict=True):
                row_id = ":".join(str(value) for value in values[:keys])
                symbol, received_us, event_us, lsn, *numbers = values[keys:]
                yield ArchivedRow(row_id, symbol, received_us, Content(tuple(map(units, numbers)), event_us), lsn)

    def _published(self, address: str) -> "IcebergTable | None":
        """The table, None when nothing was ever archived."""
        from pyiceberg.exceptions import NoSuchTableError

        try:
            return self._lake.catalog.load_table(address)
        except NoSuchTableError:
            return None
