"""A write lands on a branch, is audited there, and is published whole or not at all."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from typing import Protocol
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyiceberg.expressions import EqualTo

from spark.contracts import lake as contracts
from spark.contracts import silver
from spark.contracts.report import AuditFailedError, TableReport, Window
from spark.lake.branches import branches_of
from spark.lake.storage import Lake, between
from spark.schemas import arrow_schema
from tests.integration.lake.bars import ADDRESS, bar, bars, days, frame
from tests.integration.lake.chain import PROVENANCE, published

pytestmark = [pytest.mark.stack, pytest.mark.both_engines]

WEEK = Window(start=date(2018, 3, 12), end=date(2018, 3, 16))
MONTH = Window(start=date(2018, 3, 1), end=date(2018, 3, 31))


class Write(Protocol):
    """Replaces the rows of a window."""

    def __call__(
        self,
        lake: Lake,
        window: Window,
        rows: pa.Table,
        inputs: Mapping[str, int] | None = None,
    ) -> TableReport: ...


# chDB reads Iceberg under its working directory only; a process of its own, so that its libraries meet no others.
CLICKHOUSE = """
import sys, chdb
print(chdb.query(sys.argv[1], "JSONEachRow"))
"""


def replace(lake: Lake, window: Window, rows: pa.Table, inputs: Mapping[str, int] | None = None) -> TableReport:
    """Through Spark."""
    return lake.replace_window(ADDRESS, frame(lake, rows), window=window, provenance=PROVENANCE, input_snapshots=inputs)


def replace_by_pyiceberg(
    lake: Lake,
    window: Window,
    rows: pa.Table,
    inputs: Mapping[str, int] | None = None,
) -> TableReport:
    """The same without Spark."""
    return lake.replace_rows(
        ADDRESS, rows, replaced=between("session_date", window), provenance=PROVENANCE, input_snapshots=inputs
    )


WRITERS = pytest.mark.parametrize("write", [replace, replace_by_pyiceberg])


def impossible(window: Window) -> pa.Table:
    """A week of bars of which one has its high below its low."""
    *good, last = bars(window, 20.0).to_pylist()
    return pa.Table.from_pylist([*good, {**last, "high_usd": 1.0}], arrow_schema(silver.PRICES_DAILY))


def audit_branches(lake: Lake) -> list[str]:
    return [name for name in lake.catalog.load_table(ADDRESS).metadata.refs if name != "main"]


def closes_in_clickhouse(lake: Lake) -> list[tuple[str, str, float]]:
    """What ClickHouse reads from the metadata file that the catalog names."""
    table = lake.catalog.load_table(ADDRESS)
    folder = urlsplit(table.location()).path
    metadata = urlsplit(table.metadata_location).path.removeprefix(folder).lstrip("/")
    query = (
        f"SELECT ticker, session_date, close_usd FROM icebergLocal('{folder}', "
        f"SETTINGS iceberg_metadata_file_path = '{metadata}') ORDER BY ALL"
    )
    answer = subprocess.run([sys.executable, "-c", CLICKHOUSE, query], cwd=folder, check=True, capture_output=True, text=True)
    return [tuple(json.loads(line).values()) for line in answer.stdout.splitlines() if line]


@WRITERS
def test_a_window_that_fails_its_audit_publishes_nothing_and_every_reader_sees_the_rows_before(
    empty_lake: Lake,
    write: Write,
) -> None:
    replace(empty_lake, WEEK, bars(WEEK, 10.0))
    before = published(empty_lake, ADDRESS)
    snapshot = empty_lake.snapshot_id(ADDRESS)

    with pytest.raises(AuditFailedError) as failure:
        write(empty_lake, WEEK, impossible(WEEK))

    # The message names the check, the rows and where they are.
    branch = failure.value.branch
    assert "high_is_highest" in str(failure.value)
    assert "ticker=MSFT, session_date=2018-03-16" in str(failure.value)
    assert branch in str(failure.value)
    assert [(check.name, check.failing_count) for check in failure.value.report.checks if not check.passed] == [
        ("high_is_highest", 1),
        ("low_is_lowest", 1),
    ]
    # Nothing has changed for readers.
    assert empty_lake.snapshot_id(ADDRESS) == snapshot
    assert published(empty_lake, ADDRESS).equals(before)
    expected = [(ticker, str(day), 10.0) for ticker in ("AAPL", "MSFT") for day in days(WEEK)]
    in_spark = empty_lake.frame(ADDRESS).select("ticker", "session_date", "close_usd").collect()
    assert sorted((row[0], str(row[1]), row[2]) for row in in_spark) == expected
    assert closes_in_clickhouse(empty_lake) == expected
    # The rows can be looked at on the branch, which keeps the failed check.
    assert audit_branches(empty_lake) == [branch]
    on_branch = empty_lake.catalog.load_table(ADDRESS).scan().use_ref(branch).to_arrow()
    assert on_branch.num_rows == 10
    assert on_branch.filter(pc.less(on_branch["high_usd"], 2)).num_rows == 1
    assert [check.name for check in empty_lake.check(ADDRESS, branch=branch) if not check.passed] == [
        "high_is_highest",
        "low_is_lowest",
    ]


def test_the_next_good_write_of_the_window_is_published_after_a_failed_one(empty_lake: Lake) -> None:
    with pytest.raises(AuditFailedError):
        replace(empty_lake, WEEK, impossible(WEEK))
    replace(empty_lake, WEEK, bars(WEEK, 30.0))
    assert set(empty_lake.rows(ADDRESS)["close_usd"].to_pylist()) == {30.0}


def test_a_step_that_is_tried_again_drops_what_its_last_attempt_has_left_and_nothing_else(empty_lake: Lake) -> None:
    step = dataclasses.replace(PROVENANCE, run_id="aaaabbbb-cccc-dddd", step="silver.prices_daily")
    others = (dataclasses.replace(step, step="gold.indicators"), dataclasses.replace(step, run_id="eeeeffff-0000-1111"))

    def write(close: float) -> None:
        empty_lake.replace_rows(ADDRESS, bars(WEEK, close), replaced=between("session_date", WEEK), provenance=step)

    write(10.0)
    table = empty_lake.table(ADDRESS)
    left = {each: f"{branches_of(each)}00000000" for each in (step, *others)}
    for name in left.values():
        table.manage_snapshots().create_branch(empty_lake.snapshot_id(ADDRESS), name).commit()
    write(11.0)

    assert sorted(audit_branches(empty_lake)) == sorted(left[each] for each in others)
    assert set(empty_lake.rows(ADDRESS)["close_usd"].to_pylist()) == {11.0}


def test_a_key_that_stands_twice_and_a_missing_required_value_stop_the_window(empty_lake: Lake) -> None:
    doubled = pa.concat_tables([bars(WEEK, 10.0), bars(Window(start=WEEK.start, end=WEEK.start), 11.0, ("AAPL",))])
    with pytest.raises(AuditFailedError, match="grain_is_unique.*ticker=AAPL, session_date=2018-03-12, count=2"):
        replace(empty_lake, WEEK, doubled)
    lacking = pa.Table.from_pylist([{**bar("AAPL", WEEK.start, 10.0), "file_sha256": None}], arrow_schema(silver.PRICES_DAILY))
    with pytest.raises(AuditFailedError, match="required_columns_present"):
        replace(empty_lake, WEEK, lacking)
    assert empty_lake.rows(ADDRESS).num_rows == 0


def test_an_empty_result_empties_the_window_and_leaves_the_rows_around_it(empty_lake: Lake) -> None:
    replace(empty_lake, MONTH, bars(MONTH, 10.0))
    around = published(empty_lake, ADDRESS).filter(outside(WEEK, empty_lake))

    report = replace(empty_lake, WEEK, bars(WEEK, 10.0).slice(0, 0))

    assert report.row_count == 0
    assert report.is_changed
    assert published(empty_lake, ADDRESS).equals(around)
    # The same through pyiceberg, for the rest of the month.
    replace_by_pyiceberg(empty_lake, MONTH, bars(WEEK, 10.0).slice(0, 0))
    assert empty_lake.rows(ADDRESS).num_rows == 0


def test_kept_rows_around_a_window_within_a_partition_stay_to_the_last_bit(empty_lake: Lake) -> None:
    replace(empty_lake, MONTH, bars(MONTH, 10.1))
    around = published(empty_lake, ADDRESS).filter(outside(WEEK, empty_lake))

    replace(empty_lake, WEEK, bars(WEEK, 20.0))

    assert published(empty_lake, ADDRESS).filter(outside(WEEK, empty_lake)).equals(around)
    assert empty_lake.rows(ADDRESS, EqualTo("close_usd", 20.0)).num_rows == 10
    assert empty_lake.rows(ADDRESS).num_rows == 62


def outside(window: Window, lake: Lake) -> pa.Array:
    """Mask of the published rows that do not lie in the window."""
    dates = published(lake, ADDRESS)["session_date"]
    return pc.or_(pc.less(dates, window.start), pc.greater(dates, window.end))


@WRITERS
def test_equal_rows_are_not_published_again(empty_lake: Lake, write: Write) -> None:
    replace(empty_lake, WEEK, bars(WEEK, 10.0))
    snapshot = empty_lake.snapshot_id(ADDRESS)
    again = bars(WEEK, 10.0)
    backwards = again.take(list(reversed(range(again.num_rows))))

    report = write(empty_lake, WEEK, backwards)

    assert not report.is_changed
    assert report.snapshot_id == snapshot == empty_lake.snapshot_id(ADDRESS)
    assert report.row_count == 10
    assert audit_branches(empty_lake) == []


def test_a_window_built_by_the_same_code_from_the_same_inputs_is_not_computed_again_by_others_it_is(
    empty_lake: Lake,
) -> None:
    def build(close_usd: float, code_version: str, prices_snapshot: int) -> bool:
        return empty_lake.replace_window(
            ADDRESS,
            frame(empty_lake, bars(WEEK, close_usd)),
            window=WEEK,
            provenance=dataclasses.replace(PROVENANCE, code_version=code_version),
            input_snapshots={"bronze.stooq_prices": prices_snapshot},
        ).is_changed

    assert build(10.0, "old", 1)
    # A frame with other rows shows that it was not looked at.
    assert not build(20.0, "old", 1)
    assert set(empty_lake.rows(ADDRESS)["close_usd"].to_pylist()) == {10.0}
    assert build(30.0, "new", 1)
    assert build(40.0, "new", 2)
    # What was written in between may stand on other inputs.
    replace(empty_lake, WEEK, bars(WEEK, 50.0))
    assert build(40.0, "new", 2)
    assert set(empty_lake.rows(ADDRESS)["close_usd"].to_pylist()) == {40.0}


def test_a_value_that_moves_to_the_column_beside_it_is_a_change(empty_lake: Lake) -> None:
    address, window = "gold.ml_labels", Window(start=WEEK.start, end=WEEK.start)
    label = {
        "ticker": "AAPL",
        "session_date": WEEK.start,
        "next_day_return": 0.5,
        "tradable_return": None,
        "entry_date": None,
        "exit_date": None,
    }
    moved = {**label, "next_day_return": None, "tradable_return": 0.5}
    for row in (label, moved):
        frame = empty_lake.spark.createDataFrame(pa.Table.from_pylist([row], arrow_schema(contracts.table(address))))
        assert empty_lake.replace_window(address, frame, window=window, provenance=PROVENANCE).is_changed
    assert empty_lake.rows(address).to_pylist() == [moved]


@WRITERS
def test_a_snapshot_says_which_run_and_partition_wrote_it_with_which_code_and_from_what(
    empty_lake: Lake,
    write: Write,
) -> None:
    inputs = {"bronze.stooq_prices": 17, "silver.price_restatements": 18}

    report = write(empty_lake, WEEK, bars(WEEK, 10.0), inputs)

    snapshot = empty_lake.catalog.load_table(ADDRESS).current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.snapshot_id == report.snapshot_id
    assert {
        name: snapshot.summary[name]
        for name in (
            "dagster.run_id",
            "dagster.partition",
            "finlake.code_version",
            "finlake.input.bronze.stooq_prices",
            "finlake.input.silver.price_restatements",
        )
    } == {
        "dagster.run_id": PROVENANCE.run_id,
        "dagster.partition": "a-partition",
        "finlake.code_version": "a-version",
        "finlake.input.bronze.stooq_prices": "17",
        "finlake.input.silver.price_restatements": "18",
    }
    assert report.row_count_by_date == {str(WEEK.start.replace(day=day)): 2 for day in range(12, 17)}
    assert audit_branches(empty_lake) == []
