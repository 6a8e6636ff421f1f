"""`finlake sql` writes an answer into a file of any name, whole or not at all."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.cli import lake_commands
from deploy.cli.main import app
from deploy.cli.query import Query


class Answer:
    """A query whose answer is one line."""

    def show(self, _: object, __: int, ___: int, console: Any) -> None:
        console.print("a table")


@pytest.mark.parametrize("name", ["answer.txt", "answer"])
def test_a_file_whose_name_says_no_format_holds_a_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setattr(lake_commands, "lake_jobs", lambda _: None)
    monkeypatch.setattr(Query, "of", lambda *_: Answer())
    result = CliRunner().invoke(app, ["sql", "select 1", "--output", str(tmp_path / name)], catch_exceptions=False)
    assert result.exit_code == 0
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [(name, "a table\n")]
