"""A commit of Spark that came through although its answer was lost, and that Spark then made once more: real Iceberg, a
writer that does as Spark's does.
"""

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.expressions import AlwaysTrue, BooleanExpression

from spark.contracts.report import CheckOutcome, Provenance, Window
from spark.contracts.table import Table
from spark.lake.audit import WindowContent
from spark.lake.catalog import LakeLocation
from spark.lake.snapshots import Progress
from spark.lake.storage import Lake
from tests.integration.lake.bars import ADDRESS, bars

WEEK = Window(start=date(2018, 3, 12), end=date(2018, 3, 16))
PROVENANCE = Provenance(run_id="a-run", partition="a-partition", code_version="a-version", step="a-step")


class Rows:
    """A frame: what Spark would write. `lake` is of the frame that is written."""

    def __init__(self, lake: "LakeOfATest | None" = None) -> None:
        self.lake = lake

    def select(self, *_: str) -> "Rows":
        return self

    def where(self, _: object) -> "Rows":
        return self

    unionByName = where  # noqa: N815 - Spark's name

    def writeTo(self, name: str) -> "Writer":  # noqa: N802 - Spark's name
        assert self.lake is not None
        return Writer(self.lake, name.rpartition(".branch_")[2], self.lake.doubled.pop(0))


class Writer:
    """Writes the week to a branch, as often as it is told to."""

    def __init__(self, lake: Lake, branch: str, times: int) -> None:
        self.lake, self.branch, self.times = lake, branch, times

    def option(self, *_: str) -> "Writer":
        return self

    def append(self) -> None:
        for _ in range(self.times):
            self.lake.catalog.load_table(ADDRESS).append(bars(WEEK, 1.0), branch=self.branch)

    def overwrite(self, _: object) -> None:
        self.append()


class LakeOfATest(Lake):
    """A lake whose first commits by Spark are made as many times as `doubled` says."""

    def __init__(self, folder: Path, doubled: list[int]) -> None:
        super().__init__(
            LakeLocation(
                warehouse=f"file://{folder}",
                engine="spark",
                spark_remote="none",
                catalog_properties={"uri": f"sqlite:///{folder}/catalog.db"},
            )
        )
        self.doubled = doubled

    def frame_at(self, address: str, snapshot_id: int) -> Any:
        return Rows()

    def audit(
        self, contract: Table, window: Window | None, audited: BooleanExpression | None, branch: str | None
    ) -> tuple[tuple[CheckOutcome, ...], WindowContent]:
        return (), WindowContent(by_date={})

    def content(self, address: str, window: Window | None = None, branch: str | None = None) -> WindowContent:
        return WindowContent(by_date={date.min: (1, 1)})


@pytest.fixture(autouse=True)
def _conditions_without_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyspark.sql.functions.expr", lambda text: text)


def shown(lake: Lake) -> pa.Table:
    return lake.rows(ADDRESS).sort_by([("ticker", "ascending"), ("session_date", "ascending")])


@pytest.mark.parametrize("way", ["append_rows", "replace_window"])
def test_rows_that_were_laid_on_top_of_themselves_are_written_again(tmp_path: Path, way: str) -> None:
    lake = LakeOfATest(tmp_path, doubled=[2, 1])
    if way == "append_rows":
        lake.append_rows(
            ADDRESS,
            lambda _: Rows(lake),  # type: ignore[arg-type, return-value]
            audited=AlwaysTrue(),
            window=WEEK,
            provenance=PROVENANCE,
            progress=Progress(positions={("a-topic", 0): 1}),
        )
    else:
        lake.replace_window(ADDRESS, Rows(lake), window=WEEK, provenance=PROVENANCE)  # type: ignore[arg-type]
    assert lake.doubled == []
    assert shown(lake).num_rows == bars(WEEK, 1.0).num_rows
    assert set(lake.table(ADDRESS).metadata.refs) == {"main"}
