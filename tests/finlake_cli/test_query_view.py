"""Answers of queries: readable in a narrow terminal, whole and equal in files, and never half a file."""

import csv
import io
import json
import math
import weakref
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from rich.console import Console

from finlake_cli.query_view import (
    MOST_RECORDS,
    WRITERS,
    AnswerFormat,
    OutputRefusedError,
    fitting,
    format_for,
    show_records,
    show_table,
    text_of,
    whole_file,
)
from spark.contracts.gold import MONTHLY_SUMMARY

NARROW = 80


def shown(columns: Sequence[str], rows: Sequence[Sequence[object]], width: int = NARROW) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    show_table(columns, rows, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def monthly_row(month: int) -> list[object]:
    values = {"string": "AAPL", "date": date(2018, month, 1), "double": 12345.678901234, "long": 1234567, "boolean": True}
    return [values.get(column.type, "x") for column in MONTHLY_SUMMARY.columns]


def test_what_the_demo_suggests_is_readable_in_a_narrow_terminal() -> None:
    names = list(MONTHLY_SUMMARY.column_names)
    lines = shown(names, [monthly_row(1 + n % 12) for n in range(50)])
    assert max(map(len, lines)) <= NARROW
    heading = lines[0].split() or lines[1].split()
    assert len(heading) >= 4
    # Every column that is shown has its whole name, and the note names every other one.
    assert heading == names[: len(heading)]
    note = " ".join(lines)
    assert [name for name in names[len(heading) :] if name not in note] == []
    assert f"{len(heading)} of {len(names)} columns fit" in note
    assert sum("AAPL" in line for line in lines) == 50


def test_a_few_wide_rows_become_records_with_every_value() -> None:
    names = list(MONTHLY_SUMMARY.column_names)
    lines = shown(names, [monthly_row(1), monthly_row(2)])
    assert max(map(len, lines)) <= NARROW
    assert sum(line.startswith(names[0]) for line in lines) == 2
    assert [name for name in names if not any(line.split()[:1] == [name] for line in lines)] == []


def test_what_fits_is_one_table_without_a_note() -> None:
    lines = shown(["ticker", "close_usd"], [["AAPL", 1.5]] * (MOST_RECORDS + 1))
    assert not [line for line in lines if "columns fit" in line]
    assert sum("AAPL" in line for line in lines) == MOST_RECORDS + 1


def test_markup_in_data_is_shown_as_it_is() -> None:
    assert any("[red]x[/red]" in line for line in shown(["a"], [["[red]x[/red]"]]))


@given(
    st.lists(
        st.lists(st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=30), min_size=5, max_size=5),
        min_size=1,
        max_size=4,
    ),
    st.integers(20, 200),
)
def test_the_columns_that_are_shown_fit_and_one_more_would_not(cells: list[list[str]], width: int) -> None:
    columns = [f"column_{n}" for n in range(5)]
    positions = fitting(columns, cells, width)
    widths = [max(len(columns[p]), *(len(row[p]) for row in cells)) for p in range(5)]
    taken = sum(widths[p] + 2 for p in positions) - 2
    assert positions == list(range(len(positions)))
    assert taken <= width or len(positions) == 1
    if len(positions) < 5:
        assert taken + widths[len(positions)] + 2 > width


def test_records_keep_long_values_whole() -> None:
    console, digests = Console(file=io.StringIO(), width=NARROW), " ".join(["ab" * 32] * 3)
    show_records(["title", "file_sha256"], [["word " * 60, digests]], console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("word") == 60
    # In one line, so that it can be copied.
    assert f"file_sha256  {digests}\n" in console.file.getvalue()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.1 + 0.2, "0.3"),
        (date(2018, 3, 27), "2018-03-27"),
        (["a", "b"], '["a", "b"]'),
        (True, "True"),
        (datetime(2018, 3, 27, 20, 0, tzinfo=UTC), "2018-03-27 20:00:00Z"),
    ],
)
def test_values_for_people(value: object, text: str) -> None:
    assert text_of(value) == text


SCHEMA = pa.schema(
    [
        ("ticker", pa.string()),
        ("session_date", pa.date32()),
        ("seen_ts", pa.timestamp("us", tz="UTC")),
        ("close_usd", pa.float64()),
        ("themes", pa.list_(pa.string())),
    ]
)
ROWS: list[dict[str, Any]] = [
    {
        "ticker": 'A, "quoted"\nline',
        "session_date": date(2018, 3, 27),
        "seen_ts": datetime(2018, 3, 27, 20, 0, 0, 7, tzinfo=UTC),
        "close_usd": 0.1 + 0.2,
        "themes": ["ECON", "TAX"],
    },
    {"ticker": None, "session_date": None, "seen_ts": None, "close_usd": math.nan, "themes": None},
]


def parts(repeated: int = 1) -> Iterator[pa.Table]:
    for _ in range(repeated):
        yield pa.Table.from_pylist(ROWS, SCHEMA)


def written(form: AnswerFormat, repeated: int = 1) -> bytes:
    sink = io.BytesIO()
    assert WRITERS[form](parts(repeated), SCHEMA, sink) == 2 * repeated
    return sink.getvalue()


def test_csv_has_every_value_and_a_heading() -> None:
    first, second = csv.DictReader(io.StringIO(written(AnswerFormat.CSV).decode(), newline=""))
    assert first["ticker"] == ROWS[0]["ticker"]
    assert float(first["close_usd"]) == ROWS[0]["close_usd"]
    assert (first["session_date"], first["seen_ts"]) == ("2018-03-27", "2018-03-27 20:00:00.000007Z")
    assert json.loads(first["themes"]) == ["ECON", "TAX"]
    assert second["ticker"] == ""


def test_json_is_one_document_with_times_in_iso_8601() -> None:
    first, second = json.loads(written(AnswerFormat.JSON))
    assert first == {**ROWS[0], "session_date": "2018-03-27", "seen_ts": "2018-03-27T20:00:00.000007Z"}
    assert second["close_usd"] == "nan"


def test_parquet_comes_back_bit_for_bit() -> None:
    table = parquet.read_table(io.BytesIO(written(AnswerFormat.PARQUET, 3)))
    assert table.schema.equals(SCHEMA)
    assert table.slice(0, 1).to_pylist() == ROWS[:1]
    assert table.num_rows == 6


@pytest.mark.parametrize("form", WRITERS)
def test_an_answer_without_rows_is_a_whole_file(form: AnswerFormat) -> None:
    sink = io.BytesIO()
    assert WRITERS[form](iter(()), SCHEMA, sink) == 0
    if form is AnswerFormat.JSON:
        assert json.loads(sink.getvalue()) == []
    elif form is AnswerFormat.CSV:
        assert next(csv.reader(io.StringIO(sink.getvalue().decode()))) == SCHEMA.names
    else:
        assert parquet.read_table(io.BytesIO(sink.getvalue())).num_rows == 0


@pytest.mark.parametrize("form", WRITERS)
def test_rows_are_written_as_they_come_and_parts_do_not_pile_up(form: AnswerFormat) -> None:
    given: list[weakref.ref[pa.Table]] = []
    held: list[int] = []

    def watched() -> Iterator[pa.Table]:
        for _ in range(20):
            held.append(sum(each() is not None for each in given))
            part = pa.Table.from_pylist(ROWS, SCHEMA)
            given.append(weakref.ref(part))
            yield part
            del part

    assert WRITERS[form](watched(), SCHEMA, io.BytesIO()) == 40
    assert max(held) <= 1


def test_a_file_appears_when_it_is_whole_and_not_before(tmp_path: Path) -> None:
    target = tmp_path / "answer.csv"
    target.write_text("before")
    with whole_file(target) as sink:
        sink.write(b"after")
        assert target.read_text() == "before"
    assert target.read_text() == "after"
    assert list(tmp_path.iterdir()) == [target]


def test_what_fails_half_way_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "answer.csv"
    target.write_text("before")

    def broken() -> None:
        with whole_file(target) as sink:
            sink.write(b"half")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        broken()
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", [".", "no/such/folder.csv"])
def test_a_place_that_cannot_be_written_is_refused_with_the_next_step(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputRefusedError, match="--output"), whole_file(tmp_path / name):
        pass


def test_the_form_follows_from_what_was_asked_then_from_the_files_name() -> None:
    assert format_for(None, None) is AnswerFormat.TABLE
    assert format_for(None, Path("a.PARQUET")) is AnswerFormat.PARQUET
    assert format_for(AnswerFormat.CSV, Path("a.json")) is AnswerFormat.CSV
    assert format_for(AnswerFormat.TABLE, Path("a.txt")) is AnswerFormat.TABLE
    for name in ("a.txt", "a"):
        with pytest.raises(OutputRefusedError, match="says no format; end it with .csv, .json, .parquet"):
            format_for(None, Path(name))
    with pytest.raises(OutputRefusedError, match="--output FILE"):
        format_for(AnswerFormat.PARQUET, None)
