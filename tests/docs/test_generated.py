"""Documents that follow from the contracts are current, and `finlake_cli.documents` notices when they are not."""

import shutil
from pathlib import Path

import pytest

from finlake_cli import documents as docs
from spark.contracts.lake import TABLES

REPOSITORY = Path(__file__).resolve().parents[2]
DICTIONARY = Path("docs/data-dictionary.md")
A_CONTRACT = Path("docs/contracts/gold.indicators.odcs.yaml")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A repository whose generated documents are all current."""
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    docs.write(tmp_path)
    return tmp_path


def test_generated_documents_of_the_repository_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    code = docs.main(["--check"])
    assert capsys.readouterr().out == ""
    assert code == 0


def test_there_is_one_contract_document_per_table(copy: Path) -> None:
    names = {path.name for path in (copy / "docs/contracts").iterdir()}
    assert names == {f"{address}.odcs.yaml" for address in TABLES}


def test_writing_again_changes_nothing(copy: Path) -> None:
    assert docs.write(copy) == ()


def test_an_edited_a_missing_and_a_left_over_document_are_noticed_and_mended(copy: Path) -> None:
    left_over = Path("docs/contracts/gold.no_more.odcs.yaml")
    (copy / DICTIONARY).write_text("edited")
    (copy / A_CONTRACT).unlink()
    (copy / left_over).write_text("apiVersion: v3.1.0")
    wrong = {DICTIONARY, A_CONTRACT, left_over}
    assert set(docs.stale(copy)) == wrong
    assert set(docs.write(copy)) == wrong
    assert docs.stale(copy) == ()
    assert not (copy / left_over).exists()


def test_a_new_version_of_the_project_makes_the_contract_documents_stale(copy: Path) -> None:
    project = copy / "pyproject.toml"
    project.write_text(project.read_text().replace('\nversion = "', '\nversion = "9.', 1))
    assert len(docs.stale(copy)) == len(TABLES)


def test_check_names_what_to_run_and_fails(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(docs, "CHECKOUT", copy)
    (copy / DICTIONARY).write_text("edited")
    assert docs.main(["--check"]) == 1
    assert capsys.readouterr().out == f"{DICTIONARY} is not current; run python -m finlake_cli.documents\n"
    assert (copy / DICTIONARY).read_text() == "edited"
