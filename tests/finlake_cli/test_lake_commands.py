"""`finlake sql` writes a whole answer into a file, or nothing."""

from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from finlake_cli import lake_commands, query
from finlake_cli.lake_commands import SHOWN_ROWS
from finlake_cli.main import app
from finlake_cli.query import Query

ROWS = 3 * SHOWN_ROWS


class Frame:
    """Rows of one number."""

    def __init__(self, numbers: range = range(ROWS)) -> None:
        self.numbers = numbers

    def offset(self, count: int) -> "Frame":
        return Frame(self.numbers[count:])

    def limit(self, count: int) -> "Frame":
        return Frame(self.numbers[:count])

    def count(self) -> int:
        return len(self.numbers)


@pytest.fixture(autouse=True)
def _answers(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = pa.schema([("number", pa.int64())])
    monkeypatch.setattr(lake_commands, "lake_jobs", lambda _: None)
    monkeypatch.setattr(Query, "of", lambda *_: Query(frame=Frame(), engine="an engine"))  # type: ignore[arg-type]
    monkeypatch.setattr(query, "answer_schema", lambda _: schema)
    monkeypatch.setattr(query, "answer_parts", lambda frame: [pa.table({"number": list(frame.numbers)}, schema)])


@pytest.mark.parametrize(("more", "count"), [((), ROWS), (("--limit", "7"), 7), (("--offset", "40"), ROWS - 40)])
@pytest.mark.parametrize("form", ["table", "records"])
def test_a_file_for_people_has_all_rows_that_were_asked_for(tmp_path: Path, form: str, more: tuple[str, ...], count: int) -> None:
    target = tmp_path / "answer.txt"
    result = CliRunner().invoke(
        app, ["sql", "select 1", "--output", str(target), "--format", form, *more], catch_exceptions=False
    )
    assert (result.exit_code, list(tmp_path.iterdir())) == (0, [target])
    shown = [line for line in target.read_text().splitlines() if line.split()[-1:] and line.split()[-1].isdigit()]
    assert len(shown) == count


def test_a_screen_has_the_first_rows_and_says_how_to_see_the_others() -> None:
    result = CliRunner().invoke(app, ["sql", "select 1"], catch_exceptions=False)
    assert f"rows 1 to {SHOWN_ROWS} of {ROWS}; the next: --offset {SHOWN_ROWS}" in " ".join(result.output.split())


@pytest.mark.parametrize("name", ["answer.txt", "answer"])
def test_a_file_whose_name_says_no_format_is_refused(tmp_path: Path, name: str) -> None:
    result = CliRunner().invoke(app, ["sql", "select 1", "--output", str(tmp_path / name)])
    assert result.exit_code == 1
    assert f"the name {name} says no format" in str(result.exception)
    assert list(tmp_path.iterdir()) == []
