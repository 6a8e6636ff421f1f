"""What one look hands over has a bound, and what cannot be used takes no room in it."""

from pathlib import Path

import pytest

from finlake_clients import source_errors as errors
from finlake_clients.stooq import archive, byte_budget, dropped_files
from tests.finlake_clients.stooq.made_files import CSV, MEMBER, dropped, zipped


def test_what_one_look_hands_over_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_budget, "MAX_BATCH_BYTES", len(CSV) + len(MEMBER))
    batch = dropped(tmp_path, {"a_us_d.csv": CSV, "d.zip": zipped(("ko.us.txt", MEMBER)), "ko_us_d.csv": CSV})
    assert [file.source_name for file in batch.files] == ["a_us_d.csv", "d.zip!ko.us.txt"]
    assert [(problem.thing, type(problem)) for problem in batch.problems] == [("ko_us_d.csv", errors.TooLargeError)]
    assert "Move away files that are ingested" in str(batch.problems[0])


@pytest.mark.parametrize("member", [b"\0" * (len(CSV) + 1), b"no prices\n" * 4], ids=["beyond its bounds", "no prices"])
def test_what_cannot_be_used_takes_no_room_from_good_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: bytes
) -> None:
    for module in (archive, dropped_files):
        monkeypatch.setattr(module, "MAX_FILE_BYTES", len(CSV))
    monkeypatch.setattr(byte_budget, "MAX_BATCH_BYTES", 2 * len(CSV))
    # Names are read in order: the bad archive and the bad file come first.
    batch = dropped(
        tmp_path,
        {
            "a.zip": zipped(*(("ko.us.txt", member) for _ in range(3))),
            "aa_us_d.csv": b"x" * (len(CSV) - 1) + b"\n",
            "a_us_d.csv": CSV,
            "ko_us_d.csv": CSV,
        },
    )
    assert [file.source_name for file in batch.files] == ["a_us_d.csv", "ko_us_d.csv"]


def test_members_of_one_archive_have_a_bound_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_budget, "MAX_BATCH_BYTES", 100)
    batch = dropped(tmp_path, {"a.zip": zipped(*(("ko.us.txt", b"no prices\n" * 4) for _ in range(4)))})
    assert [type(problem) for problem in batch.problems] == [errors.NotDataError] * 2 + [errors.TooLargeError] * 2
    assert "one member for each ticker" in str(batch.problems[-1])
