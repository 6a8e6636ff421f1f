"""Several members of an archive for one ticker: the one that knows more, or none."""

from pathlib import Path

import pytest

from tests.finlake_clients.stooq.made_files import (
    BULK_HEADER,
    CSV,
    MEMBER,
    NASDAQ,
    NYSE,
    ROWS,
    bulk,
    dropped,
    row_counts,
    text,
    zipped,
)


@pytest.mark.parametrize("is_turned", [False, True])
def test_of_two_members_of_one_ticker_the_one_with_the_newest_session_is_taken(tmp_path: Path, is_turned: bool) -> None:
    members = [(NYSE, text(BULK_HEADER, *bulk("KO.US", ROWS[:4]))), (NASDAQ, text(BULK_HEADER, *bulk("KO.US", factor="1")))]
    batch = dropped(tmp_path, {"d_us_txt.zip": zipped(*(members[::-1] if is_turned else members))})
    assert [file.source_name for file in batch.files] == [f"d_us_txt.zip!{NASDAQ}"]
    (problem,) = batch.problems
    assert problem.thing == f"d_us_txt.zip!{NYSE}"
    assert f"it ends on 2024-03-07, before d_us_txt.zip!{NASDAQ}, which was taken for KO" in problem.reason


def test_two_members_that_differ_up_to_the_same_session_are_both_left_out(tmp_path: Path) -> None:
    other = text(BULK_HEADER, *bulk("KO.US", factor="1"))
    third = MEMBER.replace(b"KO", b"A")
    batch = dropped(tmp_path, {"d_us_txt.zip": zipped((NYSE, MEMBER), (NASDAQ, other), ("a.us.txt", third))})
    assert [file.ticker for file in batch.files] == ["A"]
    assert {problem.thing for problem in batch.problems} == {f"d_us_txt.zip!{NYSE}", f"d_us_txt.zip!{NASDAQ}"}
    assert all("differ and end on 2024-03-08" in problem.reason for problem in batch.problems)


@pytest.mark.parametrize("other", [MEMBER, CSV.replace(b".00,", b",").replace(b"\r\n", b"\n")])
def test_equal_bars_in_two_forms_are_one_file(tmp_path: Path, other: bytes) -> None:
    name = "ko.us.txt" if other is MEMBER else "b/ko_us_d.csv"
    batch = dropped(tmp_path, {"x.zip": zipped(("a/ko_us_d.csv", CSV), (name, other))})
    assert (row_counts(batch), batch.problems) == ({"x.zip!a/ko_us_d.csv": 5}, [])


def test_two_equal_members_are_one(tmp_path: Path) -> None:
    batch = dropped(tmp_path, {"d_us_txt.zip": zipped((NYSE, MEMBER), (NASDAQ, MEMBER))})
    assert batch.problems == []
    assert [file.source_name for file in batch.files] == [f"d_us_txt.zip!{NYSE}"]
