"""A snapshot from before a column was added is read with that column as null, as the contract declares it."""

from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.expressions import And, IsNull, NotNull
from pyspark.sql import types as st

from spark.contracts import lake as contracts
from spark.contracts.report import Window
from spark.contracts.table import Column
from spark.lake import later_columns
from spark.lake.catalog import LakeLocation
from spark.lake.storage import Lake
from spark.schemas import arrow_schema, spark_schema
from tests.integration.lake.bars import ADDRESS, bars

WEEK = Window(start=date(2018, 3, 12), end=date(2018, 3, 16))
LATER = (
    Column(name="later_ts", type="timestamp", note="a column of an upgrade", nullable=True),
    Column(name="later_names", type="list<string>", note="another", nullable=True),
)


@dataclass
class FrameOfATest:
    """What Spark would read: the columns of a snapshot's time."""

    columns: list[str]
    added: dict[str, Any] = field(default_factory=dict)

    def withColumns(self, columns: dict[str, Any]) -> "FrameOfATest":  # noqa: N802 - Spark's name
        return FrameOfATest([*self.columns, *columns], columns)


@pytest.fixture
def upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Lake, int]:
    """A lake and the snapshot of a table that has gained columns since."""
    lake = Lake(
        LakeLocation(
            warehouse=f"file://{tmp_path}",
            engine="spark",
            spark_remote="none",
            catalog_properties={"uri": f"sqlite:///{tmp_path}/catalog.db"},
        )
    )
    lake.table(ADDRESS).append(bars(WEEK, 1.0))
    before, earlier = lake.snapshot_id(ADDRESS), contracts.table(ADDRESS)
    upgraded = replace(earlier, columns=(*earlier.columns, *LATER))
    monkeypatch.setattr(contracts, "TABLES", {**contracts.TABLES, ADDRESS: upgraded})
    assert {"later_ts", "later_names"} <= set(contracts.table(ADDRESS).column_names)
    lake.table(ADDRESS)
    return lake, before


def test_rows_of_an_earlier_snapshot_have_the_later_columns_as_null(upgraded: tuple[Lake, int]) -> None:
    lake, before = upgraded
    rows = lake.rows(ADDRESS, snapshot_id=before)
    assert rows.num_rows == 10
    for name in ("later_ts", "later_names"):
        assert rows[name].null_count == rows.num_rows
    assert rows["later_ts"].type == pa.timestamp("us", tz="UTC")
    assert pa.types.is_list(rows["later_names"].type) or pa.types.is_large_list(rows["later_names"].type)
    assert rows.select(list(contracts.table(ADDRESS).column_names)).cast(arrow_schema(contracts.table(ADDRESS))).num_rows == 10


def test_an_earlier_snapshot_is_asked_by_a_later_column(upgraded: tuple[Lake, int]) -> None:
    lake, before = upgraded
    assert lake.rows(ADDRESS, NotNull("later_ts"), ("ticker", "later_ts"), before).num_rows == 0
    asked = And(IsNull("later_ts"), IsNull("later_names"))
    assert lake.rows(ADDRESS, asked, ("ticker", "later_names"), before).num_rows == 10


def test_a_snapshot_of_its_own_time_is_read_as_it_is_and_an_earlier_one_is_not(upgraded: tuple[Lake, int]) -> None:
    lake, before = upgraded
    table = lake.table(ADDRESS)
    assert later_columns.lacks_columns(table, before)
    table.append(pa.Table.from_pylist([], arrow_schema(contracts.table(ADDRESS))))
    assert not later_columns.lacks_columns(table, lake.snapshot_id(ADDRESS))


def test_a_frame_gains_what_it_lacks_with_the_declared_types(monkeypatch: pytest.MonkeyPatch, upgraded: tuple[Lake, int]) -> None:
    class Casting:
        def cast(self, kind: st.DataType) -> st.DataType:
            return kind

    monkeypatch.setattr("pyspark.sql.functions.lit", lambda value: Casting() if value is None else value)
    contract = contracts.table(ADDRESS)
    frame: Any = FrameOfATest([name for name in contract.column_names if not name.startswith("later_")])
    whole: Any = later_columns.with_later_columns(frame, contract)
    assert whole.added == {"later_ts": st.TimestampType(), "later_names": st.ArrayType(st.StringType())}
    assert whole.columns == [each.name for each in spark_schema(contract).fields]
    assert later_columns.with_later_columns(whole, contract) is whole


def test_frames_of_earlier_snapshots_are_widened(monkeypatch: pytest.MonkeyPatch, upgraded: tuple[Lake, int]) -> None:
    lake, before = upgraded
    read: list[str] = []

    class Session:
        def __getattr__(self, name: str) -> "Session":
            return self

        def option(self, _: str, snapshot: str) -> "Session":
            read.append(snapshot)
            return self

        def table(self, _: str) -> FrameOfATest:
            return FrameOfATest([])

    monkeypatch.setattr(Lake, "spark", Session())
    monkeypatch.setattr("spark.lake.storage.with_later_columns", lambda frame, contract: (frame, contract.address))
    frame: Any = lake.frame(ADDRESS, snapshot_id=before)
    assert read == [str(before)]
    assert frame[1] == ADDRESS
