"""A table's `main`, and the commit that changes it: data files come and go in one snapshot.

A snapshot of a table of the stream also says how far into the stream the table stands.
"""

from collections.abc import Mapping, Sequence

from pyiceberg.exceptions import ValidationException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table import Transaction
from pyiceberg.table.metadata import TableMetadata
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from spark.contracts import lake as contracts
from spark.contracts.report import PublishConflictError
from spark.lake.snapshots import Progress, positions_of

# Other tables have no position: the search for one would read their whole history.
_OF_THE_STREAM = frozenset(address for address, table in contracts.TABLES.items() if table.window == "stream_day")


def main_of(table: IcebergTable) -> int:
    """Snapshot of `main`."""
    snapshot = table.current_snapshot()
    if snapshot is None:
        name = ".".join(table.name())
        raise PublishConflictError(f"{name} has no snapshot although it was created with one; run the step again")
    return snapshot.snapshot_id


def carried(table: IcebergTable, progress: Progress | None) -> dict[str, str]:
    """How far into the stream the table stands after a commit, so that its newest snapshot always says it."""
    if ".".join(table.name()) not in _OF_THE_STREAM:
        return {}
    return (progress or Progress(positions={})).properties(positions_of(table))


def is_of_the_stream(address: str) -> bool:
    """Whether a table's snapshots say how far into the stream it stands."""
    return address in _OF_THE_STREAM


def repeated_after(*errors: type[Exception]) -> Retrying:
    """Attempts with growing random pauses, as long as they end with these errors."""
    return Retrying(
        retry=retry_if_exception_type(errors),
        stop=stop_after_attempt(8),
        reraise=True,
        wait=wait_random_exponential(multiplier=0.2, max=5),
    )


def commit_files(
    table: IcebergTable, added: Sequence[DataFile], removed: Sequence[DataFile], summary: Mapping[str, str], branch: str = "main"
) -> None:
    """One snapshot on a branch, with these files and without those.

    Raises `CommitFailedException` or `PublishConflictError` when the branch has moved since the table was loaded.
    """
    # pyiceberg would lay the rows on top of what another writer has committed meanwhile, which no audit has seen.
    table.metadata.properties["commit.retry.num-retries"] = "0"
    try:
        with _Transaction(table) as transaction:
            update = transaction.update_snapshot(snapshot_properties=dict(summary), branch=branch)
            with update.overwrite() if removed else update.fast_append() as producer:
                for each in removed:
                    producer.delete_data_file(each)
                for each in added:
                    producer.append_data_file(each)
    except ValidationException as error:
        name = ".".join(table.name())
        raise PublishConflictError(f"{name}: another writer committed meanwhile ({error}); writing again") from error


class _Transaction(Transaction):
    """A transaction that does not copy the table's metadata, which are large, each time when it is asked for them."""

    @property
    def table_metadata(self) -> TableMetadata:
        """Those of the table, until a change is staged."""
        return super().table_metadata if self._updates else self._table.metadata
