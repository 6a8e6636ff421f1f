"""The page about dropped files names the headers and bounds that are in force."""

from pathlib import Path

from finlake_clients import bounded_zip
from finlake_clients.stooq import byte_budget, drop_location, dropped_files
from spark.contracts import stooq_files
from spark.transforms import quarantine

PAGE = (Path(__file__).resolve().parents[2] / "docs/dropped-files.md").read_text()


def test_every_header_that_is_read_stands_on_the_page() -> None:
    (block,) = PAGE.split("```\n")[1::2]
    assert sorted(block.splitlines()) == sorted(layout.header for layout in stooq_files.LAYOUTS)


def test_the_bounds_on_the_page_are_those_in_force() -> None:
    bounds = PAGE.split("| bound | |")[1]
    told = [cell for line in bounds.splitlines() if line.startswith("| ") for cell in [line.split("|")[2].strip()]]
    assert told == [
        f"{stooq_files.MAX_FILE_BYTES:,}",
        f"{stooq_files.MAX_LINES:,}",
        f"{bounded_zip.MAX_MEMBERS:,}; {bounded_zip.MAX_RATIO}",
        f"{dropped_files.MAX_ARCHIVE_BYTES:,}",
        f"{byte_budget.MAX_BATCH_BYTES:,}",
        f"{drop_location.MAX_DROPPED_FILES:,}",
    ]
    assert f"beyond {quarantine.MAX_REJECTED_ROWS} for a file" in PAGE
