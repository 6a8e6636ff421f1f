"""Writers that meet on one table: nothing is lost or mixed, whoever comes second writes on top of the first."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from threading import Barrier
from typing import Protocol, TypeVar

import pyarrow as pa
import pytest
from pyiceberg.expressions import BooleanExpression
from pyiceberg.table import Table as IcebergTable

from finlake_clients.lake_client import LakeClient
from spark.contracts.report import CheckOutcome, TableReport, Window
from spark.contracts.table import Table
from spark.lake.audit import RowsAudit, WindowContent
from spark.lake.catalog import LakeLocation
from spark.lake.storage import Lake, between
from tests.integration.lake.bars import ADDRESS, bars, frame
from tests.integration.lake.chain import PROVENANCE

pytestmark = [pytest.mark.stack, pytest.mark.both_engines]

ROUNDS = 2
# Two windows within one partition, so that each writes the other's rows again as kept rows.
FIRST = Window(start=date(2018, 3, 1), end=date(2018, 3, 10))
SECOND = Window(start=date(2018, 3, 11), end=date(2018, 3, 20))
T = TypeVar("T")


class Write(Protocol):
    """Replaces the rows of a window by bars with this close."""

    def __call__(self, lake: Lake, *, window: Window, close_usd: float) -> TableReport: ...


def by_spark(lake: Lake, *, window: Window, close_usd: float) -> TableReport:
    rows = frame(lake, bars(window, close_usd))
    return lake.replace_window(ADDRESS, rows, window=window, provenance=PROVENANCE)


def by_pyiceberg(lake: Lake, *, window: Window, close_usd: float) -> TableReport:
    return lake.replace_rows(ADDRESS, bars(window, close_usd), replaced=between("session_date", window), provenance=PROVENANCE)


def at_once(jobs: LakeClient, calls: Sequence[Callable[[Lake], T]]) -> list[T]:
    """Results of the calls, each in a thread with a lake of its own, all let go together."""
    barrier = Barrier(len(calls))

    def wait_and_call(call: Callable[[Lake], T]) -> T:
        lake = jobs.lake()
        barrier.wait(timeout=60)
        return call(lake)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(wait_and_call, calls))


def closes(lake: Lake, window: Window) -> list[float]:
    return sorted(set(lake.rows(ADDRESS, between("session_date", window))["close_usd"].to_pylist()))


@pytest.mark.parametrize("writers", [(by_spark, by_spark), (by_pyiceberg, by_pyiceberg), (by_spark, by_pyiceberg)])
def test_two_writers_of_different_windows_of_one_partition_lose_nothing(
    empty_lake: Lake,
    lake_jobs: LakeClient,
    writers: tuple[Write, Write],
) -> None:
    for number in range(1, ROUNDS + 1):
        one, other = 10.0 * number, 10.0 * number + 5
        reports = at_once(
            lake_jobs, [partial(writers[0], window=FIRST, close_usd=one), partial(writers[1], window=SECOND, close_usd=other)]
        )
        assert [(report.is_changed, report.row_count) for report in reports] == [(True, 20), (True, 20)]
        assert (closes(empty_lake, FIRST), closes(empty_lake, SECOND)) == ([one], [other])
        assert empty_lake.rows(ADDRESS).num_rows == 40


@pytest.mark.parametrize("writer", [by_spark, by_pyiceberg])
def test_two_writers_of_the_same_window_leave_the_rows_of_one_of_them(
    empty_lake: Lake,
    lake_jobs: LakeClient,
    writer: Write,
) -> None:
    for number in range(1, ROUNDS + 1):
        one, other = 10.0 * number, 10.0 * number + 5
        reports = at_once(
            lake_jobs, [partial(writer, window=FIRST, close_usd=one), partial(writer, window=FIRST, close_usd=other)]
        )
        assert closes(empty_lake, FIRST) in ([one], [other])
        assert empty_lake.rows(ADDRESS).num_rows == 20
        # Main is where the later of the two put it, and it stands on the earlier one.
        assert empty_lake.snapshot_id(ADDRESS) in {report.snapshot_id for report in reports}
        assert {report.previous_snapshot_id for report in reports} & {report.snapshot_id for report in reports}


class OvertakenLake(Lake):
    """A lake in which another writer publishes after the first audit, before that write is published."""

    def __init__(self, location: LakeLocation, overtake: Callable[[], TableReport]) -> None:
        super().__init__(location)
        self.overtake = overtake
        self.intruder: TableReport | None = None

    def audit(
        self, contract: Table, window: Window | None, audited: BooleanExpression | None, branch: str | None
    ) -> tuple[tuple[CheckOutcome, ...], WindowContent]:
        found = super().audit(contract, window, audited, branch)
        self._overtake()
        return found

    def audit_rows(self, rows: pa.Table, contract: Table, kept_keys: pa.Table | None) -> RowsAudit:
        found = super().audit_rows(rows, contract, kept_keys)
        self._overtake()
        return found

    def _overtake(self) -> None:
        if self.intruder is None:
            self.intruder = self.overtake()


@pytest.mark.parametrize("writer", [by_spark, by_pyiceberg])
def test_a_write_overtaken_between_audit_and_publish_is_repeated_on_top_of_the_new_main(
    empty_lake: Lake,
    writer: Write,
) -> None:
    lake = OvertakenLake(empty_lake.location, partial(by_spark, empty_lake, window=SECOND, close_usd=50.0))

    report = writer(lake, window=FIRST, close_usd=20.0)

    assert lake.intruder is not None
    assert report.previous_snapshot_id == lake.intruder.snapshot_id
    assert report.is_changed
    assert (closes(empty_lake, FIRST), closes(empty_lake, SECOND)) == ([20.0], [50.0])
    # The branch that lost the race is gone.
    assert list(empty_lake.catalog.load_table(ADDRESS).metadata.refs) == ["main"]


def test_four_writers_that_create_the_table_together_all_find_their_rows(
    empty_lake: Lake,
    lake_jobs: LakeClient,
) -> None:
    windows = [Window(start=date(2018, month, 1), end=date(2018, month, 5)) for month in range(1, 5)]

    reports = at_once(
        lake_jobs,
        [
            partial(writer, window=window, close_usd=10.0)
            for window, writer in zip(windows, (by_spark, by_pyiceberg) * 2, strict=True)
        ],
    )

    assert all(report.is_changed for report in reports)
    assert empty_lake.rows(ADDRESS).num_rows == 40
    assert [closes(empty_lake, window) for window in windows] == [[10.0]] * 4


def test_a_lake_whose_namespaces_are_missing_is_created_by_four_writers_together(
    empty_lake: Lake,
    lake_jobs: LakeClient,
) -> None:
    for (namespace,) in empty_lake.catalog.list_namespaces():
        empty_lake.catalog.drop_namespace(namespace)
    created: list[IcebergTable] = at_once(lake_jobs, [lambda lake: lake.table(ADDRESS)] * 4)
    assert len({table.metadata.table_uuid for table in created}) == 1
    assert all(table.current_snapshot() is not None for table in created)
