"""The drop location tells everything that lies in it, and reads a file whole or not at all."""

import os
from pathlib import Path

import pytest

from finlake_clients import source_errors as errors
from finlake_clients.stooq import drop_location
from finlake_clients.stooq.drop_location import DropEntry, DropLocation
from finlake_clients.stooq.feed import StooqPrices
from tests.finlake_clients.stooq.made_files import CODES, CSV, MTIME, dropped, zipped


def test_a_file_that_grows_while_it_is_read_is_left_for_the_next_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped(tmp_path, {"aapl_us_d.csv": CSV})
    source = StooqPrices(drop_location=str(tmp_path))
    listing = source.list_drop()
    # The writer goes on after the listing, and every line it has written so far is whole.
    (tmp_path / "aapl_us_d.csv").write_bytes(CSV * 2)
    monkeypatch.setattr(DropLocation, "entries", lambda _: listing)
    batch = source.dropped_files(CODES)
    assert batch.files == []
    assert [type(problem) for problem in batch.problems] == [errors.HalfWrittenFileError]
    (tmp_path / "aapl_us_d.csv").unlink()
    assert [type(problem) for problem in source.dropped_files(CODES).problems] == [errors.HalfWrittenFileError]


def test_the_listing_is_by_name_without_folders_and_hidden_files(tmp_path: Path) -> None:
    dropped(tmp_path, {"msft_us_d.csv": CSV, "aapl_us_d.csv": CSV * 2, ".DS_Store": b"x"})
    (tmp_path / "old").mkdir()
    assert StooqPrices(drop_location=str(tmp_path)).list_drop() == [
        DropEntry("aapl_us_d.csv", len(CSV * 2), MTIME),
        DropEntry("msft_us_d.csv", len(CSV), MTIME),
    ]


def test_a_drop_location_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(errors.SourceUnavailableError, match="FINLAKE_STOOQ_DROP"):
        StooqPrices(drop_location=str(tmp_path / "missing")).list_drop()


def test_a_file_url_is_a_drop_location(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    dropped(folder, {"aapl_us_d.csv": CSV})
    source = StooqPrices(drop_location=folder.as_uri())
    assert [file.ticker for file in source.dropped_files(CODES).files] == ["AAPL"]


def test_a_folder_is_told_and_not_looked_into(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ko_us_d.csv").write_bytes(CSV)
    (tmp_path / ".hidden").mkdir()
    batch = dropped(tmp_path, {"a_us_d.csv": CSV})
    assert [file.ticker for file in batch.files] == ["A"]
    assert [str(problem) for problem in batch.problems] == [
        "data: it is a folder, and folders are not looked into. Drop the zip itself or the files that are in the folder; "
        "move away what is not meant to be read."
    ]


def test_names_and_kinds_of_entries_keep_no_file_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ko_us_d.csv")
    for name in (b"\xff\xfe_us_d.csv", b"ko_us_d\x1b[31m.csv", b"x" * 250 + b".csv"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(CSV)
    batch = dropped(tmp_path, {"a_us_d.csv": CSV})
    assert [file.ticker for file in batch.files] == ["A"]
    assert sorted(problem.reason for problem in batch.problems) == [
        *["it is named after no ticker of the universe"] * 2,
        "it is no regular file",
        "its name is not UTF-8",
    ]
    assert r"\xff\xfe_us_d.csv" in {problem.thing for problem in batch.problems}
    assert all(str(problem).isprintable() for problem in batch.problems)
    assert [entry.name for entry in StooqPrices(drop_location=str(tmp_path)).list_drop()][0] == "a_us_d.csv"


SECRET = b"a-token-that-nobody-dropped\n"
NOT_FOLLOWED = "it is a link, and links are not followed. Copy the file itself into the drop location, and remove the link."


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder beside the drop location, with a secret and with files of prices."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "token").write_bytes(SECRET)
    dropped(folder, {"ko_us_d.csv": CSV, "ko.zip": zipped(("ko_us_d.csv", CSV))})
    return folder


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", ["ko_us_d.csv", "ko.zip", "ko.txt"])
@pytest.mark.parametrize(
    "target",
    [
        "../elsewhere/token",
        "../elsewhere/ko_us_d.csv",
        "../elsewhere/ko.zip",
        "../elsewhere",
        "a_us_d.csv",
        "/dev/zero",
        "gone.csv",
        "ko_us_d.csv",
    ],
)
def test_a_link_is_refused_wherever_it_leads_and_nothing_of_its_target_is_told(
    drop: Path, elsewhere: Path, name: str, target: str
) -> None:
    (drop / name).symlink_to(target)
    batch = dropped(drop, {"a_us_d.csv": CSV})
    assert [file.ticker for file in batch.files] == ["A"]
    assert [str(problem) for problem in batch.problems] == [f"{name}: {NOT_FOLLOWED}"]
    assert [entry.name for entry in StooqPrices(drop_location=str(drop)).list_drop()] == ["a_us_d.csv"]


def test_links_with_any_name_are_told_and_hidden_ones_are_not_looked_at(drop: Path, elsewhere: Path) -> None:
    for name in (b"\xff.csv", "é.csv".encode(), b"x\x1b[31m.csv", b".ko_us_d.csv"):
        os.symlink(os.fsencode(elsewhere / "token"), os.fsencode(drop) + b"/" + name)
    problems = dropped(drop, {}).problems
    assert sorted(problem.thing for problem in problems) == [r"\xff.csv", "x?[31m.csv", "é.csv"]
    assert {str(problem).removeprefix(f"{problem.thing}: ") for problem in problems} == {NOT_FOLLOWED}


def test_the_drop_location_itself_may_be_a_link(tmp_path: Path, drop: Path) -> None:
    dropped(drop, {"a_us_d.csv": CSV})
    (tmp_path / "link").symlink_to(drop)
    batch = dropped(tmp_path / "link", {})
    assert ([file.ticker for file in batch.files], batch.problems) == (["A"], [])


@pytest.mark.parametrize("name", ["ko_us_d.csv", "ko.zip"])
@pytest.mark.parametrize("takes_its_place", ["link", "folder", "pipe"])
def test_what_takes_the_place_of_a_file_after_the_listing_is_not_read(
    drop: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, name: str, takes_its_place: str
) -> None:
    dropped(drop, {name: (elsewhere / name).read_bytes(), "a_us_d.csv": CSV})
    entries = DropLocation.entries

    def listed(location: DropLocation) -> list[DropEntry]:
        found = entries(location)
        (drop / name).unlink()
        if takes_its_place == "link":
            # To a file of the same size and time, which no look at the target tells from the one that was listed.
            (drop / name).symlink_to(elsewhere / name)
        elif takes_its_place == "folder":
            (drop / name).mkdir()
        else:
            os.mkfifo(drop / name)
        return found

    monkeypatch.setattr(DropLocation, "entries", listed)
    batch = dropped(drop, {})
    assert [file.ticker for file in batch.files] == ["A"]
    said = "it is a link, and links are not followed" if takes_its_place == "link" else "it is no regular file"
    assert [(problem.thing, problem.reason) for problem in batch.problems] == [(name, said)]


@pytest.mark.parametrize("mtime_ns", [-1, 0, -(2**62), 2**62, 2**63 - 1])
def test_no_time_of_a_file_keeps_the_others_out(tmp_path: Path, mtime_ns: int) -> None:
    (tmp_path / "ko_us_d.csv").write_bytes(CSV)
    os.utime(tmp_path / "ko_us_d.csv", ns=(mtime_ns, mtime_ns))
    batch = dropped(tmp_path, {"a_us_d.csv": CSV})
    assert [(file.ticker, file.fetched_ts) for file in batch.files if file.ticker == "A"] == [("A", MTIME)]
    assert len(batch.files) + len(batch.problems) == 2


def test_a_drop_location_with_too_many_files_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drop_location, "MAX_DROPPED_FILES", 3)
    dropped(tmp_path, {f"{number}.csv": CSV for number in range(3)})
    with pytest.raises(errors.TooLargeError, match="more than 3 files"):
        dropped(tmp_path, {"3.csv": CSV})


def test_a_key_file_of_the_object_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    there, missing = tmp_path / "access", tmp_path / "secret"
    there.write_text("key")
    place = DropLocation(location="s3://bucket/drop", s3_access_key_file=str(there), s3_secret_key_file=str(missing))
    with pytest.raises(errors.SourceUnavailableError, match="FINLAKE_S3_SECRET_KEY_FILE") as raised:
        place.entries()
    assert raised.value.thing == str(missing)
