"""How the answer of a query is shown or written: a table that fits the terminal, records, CSV, JSON or Parquet.

Rows come part by part and are written as they come, so that an answer larger than memory can be written to a file.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Console

# Wider cells are cut in a table; records and files have them whole.
CELL_CHARACTERS = 60
# So many rows are shown as records when their columns do not fit; of more the columns that fit.
MOST_RECORDS = 5


class AnswerFormat(StrEnum):
    """Forms of an answer. A table falls back to records or fewer columns where the terminal is too narrow."""

    TABLE = "table"
    RECORDS = "records"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


class OutputRefusedError(ValueError):
    """An answer cannot be written so; the message says what can be done."""


def format_for(wanted: AnswerFormat | None, output: Path | None) -> AnswerFormat:
    """The form that was asked for, or the one that a file's name says; a table where neither does.

    Raises `OutputRefusedError` for Parquet without a file, and for a file whose name says no form.
    """
    endings = {f".{each}": each for each in (AnswerFormat.CSV, AnswerFormat.JSON, AnswerFormat.PARQUET)}
    if wanted is None and output is not None and output.suffix.lower() not in endings:
        raise OutputRefusedError(
            f"the name {output.name} says no format; end it with {', '.join(endings)}, or add --format table"
        )
    chosen = wanted or (endings[output.suffix.lower()] if output else AnswerFormat.TABLE)
    if chosen is AnswerFormat.PARQUET and output is None:
        raise OutputRefusedError("Parquet is no text; name a file for it with --output FILE")
    return chosen


def text_of(value: object) -> str:
    """A value for people."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S" + (".%f" if value.microsecond else "") + ("Z" if value.tzinfo else ""))
    if isinstance(value, list | tuple | dict):
        return json.dumps(plain(value), ensure_ascii=False)
    return str(value)


def plain(value: object) -> object:
    """A value as JSON has it: times in ISO 8601, numbers that JSON lacks as their names, bytes in hexadecimal."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], console: "Console") -> None:
    """Rows as a table; as records, or with fewer columns and a note, where the terminal is too narrow for it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = [[_cut(text_of(value)) for value in row] for row in rows]
    shown = fitting(columns, cells, console.width)
    if len(shown) < len(columns) and len(rows) <= MOST_RECORDS:
        show_records(columns, rows, console)
        return
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for position in shown:
        is_number = any(isinstance(row[position], int | float) and not isinstance(row[position], bool) for row in rows)
        view.add_column(Text(columns[position]), justify="right" if is_number else "left", no_wrap=True)
    for row in cells:
        view.add_row(*(Text(row[position]) for position in shown))
    console.print(view)
    if len(shown) < len(columns):
        left = ", ".join(name for position, name in enumerate(columns) if position not in shown)
        say(
            console,
            f"{len(shown)} of {len(columns)} columns fit into {console.width} characters; left out: {left}. Name the "
            "columns you want, or add --format records",
        )


def fitting(columns: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> list[int]:
    """Positions of the columns that fit beside each other: from the first on, as many as can, at least one."""
    shown: list[int] = []
    # Cells are padded by one blank on each side.
    left = width + 2
    for position, name in enumerate(columns):
        left -= max([len(name), *(len(row[position]) for row in cells)]) + 2
        if left < 0 and shown:
            break
        shown.append(position)
    return shown


def show_records(columns: Sequence[str], rows: Iterable[Sequence[object]], console: "Console") -> None:
    """Each row as lines of a name and its value, which is never broken: it can be copied."""
    from rich.text import Text

    width = max(map(len, columns), default=0)
    for number, row in enumerate(rows, 1):
        console.rule(f"row {number}", align="left", style="dim")
        for name, value in zip(columns, row, strict=True):
            console.print(Text.assemble((f"{name:{width}}  ", "dim"), text_of(value)), soft_wrap=True)


def say(console: "Console", text: str) -> None:
    """A note below an answer."""
    console.print(text, style="dim", highlight=False, markup=False)


def write_csv(parts: Iterable["pa.Table"], schema: "pa.Schema", sink: IO[bytes]) -> int:
    """Rows as CSV with a heading, lists and structures as JSON within; returns how many."""
    import pyarrow as pa
    from pyarrow import csv

    flat = pa.schema([pa.field(field.name, pa.string() if _is_nested(field.type) else field.type) for field in schema])
    count = 0
    with csv.CSVWriter(sink, flat) as writer:
        for part in parts:
            columns = [
                pa.array([None if value is None else json.dumps(plain(value)) for value in column.to_pylist()], pa.string())
                if _is_nested(column.type)
                else column
                for column in part.columns
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=flat))
            count += part.num_rows
    return count


def write_json(parts: Iterable["pa.Table"], _: "pa.Schema", sink: IO[bytes]) -> int:
    """Rows as one JSON array with an object to a line; returns how many."""
    count = 0
    sink.write(b"[")
    for part in parts:
        for batch in part.to_batches(max_chunksize=1000):
            for row in batch.to_pylist():
                sink.write(b",\n" if count else b"\n")
                sink.write(json.dumps(plain(row), ensure_ascii=False).encode())
                count += 1
    sink.write(b"\n]\n")
    return count


def write_parquet(parts: Iterable["pa.Table"], schema: "pa.Schema", sink: IO[bytes]) -> int:
    """Rows as one Parquet file; returns how many."""
    from pyarrow import parquet

    count = 0
    with parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for part in parts:
            writer.write_table(part)
            count += part.num_rows
    return count


Writer = Callable[[Iterable["pa.Table"], "pa.Schema", IO[bytes]], int]
WRITERS: dict[AnswerFormat, Writer] = {
    AnswerFormat.CSV: write_csv,
    AnswerFormat.JSON: write_json,
    AnswerFormat.PARQUET: write_parquet,
}


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name when it is whole, and not at all when writing it fails.

    Raises `OutputRefusedError` when the folder does not exist or cannot be written, or the name is a folder's.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    if path.is_dir():
        raise OutputRefusedError(f"{path} is a folder; name a file with --output")
    try:
        stream = partial.open("xb")
    except OSError as problem:
        raise OutputRefusedError(f"{path} cannot be written ({problem.strerror}); name another file with --output") from problem
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _is_nested(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_nested(kind))


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= CELL_CHARACTERS else f"{line[: CELL_CHARACTERS - 1]}…"
