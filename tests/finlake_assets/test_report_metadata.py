"""A job's report as people see it in Dagster: complete, readable and small."""

from datetime import date, timedelta

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_assets.report_metadata import BLOCKS, PLOT_COLUMNS, plot, report_metadata, table_report
from spark.contracts.report import CheckOutcome, JobReport, TableReport, Window

ADDRESS = "gold.indicators"


def days(count: int) -> list[str]:
    return [(date(2000, 1, 1) + timedelta(days=n)).isoformat() for n in range(count)]


def test_a_large_report_stays_below_twenty_kilobytes() -> None:
    report = JobReport(
        tables=(
            TableReport(
                address=ADDRESS, row_count=10, snapshot_id=1, row_count_by_date={day: n for n, day in enumerate(days(7000))}
            ),
        ),
        quarantined_count=10**6,
        notes=tuple("x" * 10_000 for _ in range(3)),
        quarantine_samples=tuple({f"column_{n}": "y" * 200 for n in range(5)} for _ in range(500)),
    )
    size = len(dg.serialize_value(dg.AssetMaterialization(ADDRESS, metadata=report_metadata(report, ADDRESS))))
    assert size < 20_000


def test_snapshots_can_be_travelled_to() -> None:
    report = JobReport(tables=(TableReport(address=ADDRESS, row_count=1, snapshot_id=77, previous_snapshot_id=76),))
    metadata = report_metadata(report, ADDRESS)
    assert metadata["iceberg/previous_snapshot_id"].value == "76"
    assert 'finlake sql --snapshot 77 "select * from gold.indicators' in str(metadata["time_travel"].value)
    assert "lake.gold.indicators VERSION AS OF 77" in str(metadata["time_travel"].value)


def test_window_inputs_and_recomputation_are_named() -> None:
    report = JobReport(
        tables=(TableReport(address=ADDRESS, row_count=1, window=Window(start=date(2018, 1, 2), end=date(2018, 1, 3))),),
        input_snapshots={"silver.prices_daily": 5},
        recompute_from={"AAPL": date(2014, 6, 9)},
        notes=("a note",),
    )
    metadata = report_metadata(report, ADDRESS)
    assert metadata["window"].value == "2018-01-02 to 2018-01-03"
    assert metadata["input_snapshots"].value == {"silver.prices_daily": "5"}
    assert metadata["recompute_from"].value == {"AAPL": "2014-06-09"}
    assert metadata["notes"].value == "- a note"


def test_several_commits_of_one_table_are_one_report() -> None:
    def commit(day: date, count: int, failing: int) -> TableReport:
        return TableReport(
            address=ADDRESS,
            row_count=count,
            row_count_by_date={day.isoformat(): count},
            snapshot_id=count,
            previous_snapshot_id=count - 1,
            window=Window(start=day, end=day),
            is_changed=failing > 0,
            checks=(CheckOutcome(name="c", severity="warn", failing_count=failing, why="w", samples=({"a": str(count)},)),),
        )

    merged = table_report(
        JobReport(
            tables=(
                commit(date(2018, 1, 2), 10, 1),
                TableReport(address="silver.quarantine", row_count=99),
                commit(date(2018, 1, 3), 20, 2),
            )
        ),
        ADDRESS,
    )
    assert (merged.row_count, merged.snapshot_id, merged.previous_snapshot_id) == (30, 20, 9)
    assert merged.row_count_by_date == {"2018-01-02": 10, "2018-01-03": 20}
    assert merged.window == Window(start=date(2018, 1, 2), end=date(2018, 1, 3))
    assert [(c.name, c.failing_count, len(c.samples)) for c in merged.checks] == [("c", 3, 2)]
    assert merged.is_changed


def test_a_table_the_job_did_not_write_is_an_error() -> None:
    with pytest.raises(KeyError, match="silver.prices_daily"):
        table_report(JobReport(tables=(TableReport(address=ADDRESS, row_count=0),)), "silver.prices_daily")


def test_the_plot_shows_a_hole() -> None:
    line = plot({day: 0 if 3 <= n < 6 else 8 for n, day in enumerate(days(9))}).splitlines()[1]
    assert line == BLOCKS[-1] * 3 + BLOCKS[0] * 3 + BLOCKS[-1] * 3


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=300))
def test_the_plot_is_one_line_of_bounded_width(counts: list[int]) -> None:
    line = plot(dict(zip(days(len(counts)), counts, strict=True))).splitlines()[1]
    assert len(line) == min(PLOT_COLUMNS, len(counts))
    assert set(line) <= set(BLOCKS)
