"""What an archive holds and is not read is told."""

from pathlib import Path

from tests.finlake_clients.stooq.made_files import CSV, dropped, zipped


def test_members_in_a_form_that_is_not_read_are_told_beside_one_that_is(tmp_path: Path) -> None:
    members = [(name, b"x") for name in ("ko_us_d.csv.gz", "ko_us_d.xlsx", "ko.us.xls", "readme.html", "__MACOSX/._a_us_d.csv")]
    batch = dropped(tmp_path, {"x.zip": zipped(("a_us_d.csv", CSV), *members)})
    assert [file.ticker for file in batch.files] == ["A"]
    (problem,) = batch.problems
    assert problem.reason == "members that are no .csv or .txt were not read: ko_us_d.csv.gz, ko_us_d.xlsx, ko.us.xls"
