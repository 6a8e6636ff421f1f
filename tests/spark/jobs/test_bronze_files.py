"""Files of bronze: each content once, at the time that gives the most rows; bytes are let go once they are read."""

import hashlib
import itertools
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import cast

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finlake_clients.gdelt.feed import GdeltSlot, expected_slots
from finlake_clients.source_errors import AccessDeniedError, ChallengePageError, CorruptFileError, SourceError, TooLargeError
from finlake_clients.stooq.prices_file import StooqFile
from spark.contracts.connectors import SourceFile
from spark.contracts.job_inputs import GdeltGkgInputs
from spark.contracts.report import Provenance, TableReport, Window
from spark.contracts.universe import Universe
from spark.jobs.bronze import gdelt_gkg
from spark.jobs.bronze.stooq_prices import KnownContent, new_contents, rejections_of
from spark.lake.storage import Lake
from spark.transforms.bronze.stooq_prices import Parsed, parse
from spark.transforms.quarantine import rejections_table

HEADER = "Date,Open,High,Low,Close,Volume"
BARS = [f"2018-03-{day},1,2,1,2,{day}" for day in (26, 27, 28)]
MORNINGS = [datetime(2018, 3, day, 3, tzinfo=UTC) for day in (28, 29, 30)]
TOO_EARLY = datetime(2018, 3, 20, 3, tzinfo=UTC)
PROVENANCE = Provenance(run_id="r", partition="p", code_version="c")
WINDOW = Window(start=date(2018, 3, 26), end=date(2018, 3, 28))
CONTENTS = {
    "good": "\n".join((HEADER, *BARS[:2], "")),
    "unfinished": "\n".join((HEADER, *BARS, "")),
    "broken line": "\n".join((HEADER, *BARS[:2], "broken", "")),
    "contradicting": "\n".join((HEADER, *BARS[:2], BARS[0].replace("26,1", "26,1.5"), "")),
}


def file_of(content: str, fetched_ts: datetime = MORNINGS[0], name: str = "ko_us_d.csv") -> StooqFile:
    raw = CONTENTS[content].encode()
    return StooqFile("KO", raw, hashlib.sha256(raw).hexdigest(), "drop", name, fetched_ts)


def parsed_of(file: SourceFile) -> Parsed:
    """As a calendar would have it: the day before the morning has closed."""
    return parse(
        file.content,
        ticker=file.ticker,
        file_sha256=file.sha256,
        fetched_ts=file.fetched_ts,
        source_name=file.source_name,
        last_closed_date=file.fetched_ts.date() - timedelta(days=1),
    )


def ledger_of(pairs: Sequence[tuple[SourceFile, Parsed]]) -> dict[tuple[str, str], KnownContent]:
    return {
        (file.ticker, file.sha256): KnownContent(row_count=parsed.rows.num_rows, rejected_count=parsed.rejected_count)
        for file, parsed in pairs
    }


TIMES = st.sampled_from([TOO_EARLY, *MORNINGS])
FILES = st.builds(file_of, st.sampled_from(sorted(CONTENTS)), TIMES, st.sampled_from(["a.csv", "b.csv"]))


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(FILES, max_size=4), max_size=4))
def test_each_content_is_kept_once_with_all_rows_that_any_of_its_copies_gives(looks: list[list[StooqFile]]) -> None:
    ledger: dict[tuple[str, str], KnownContent] = {}
    for files in looks:
        written = new_contents(files, ledger, parsed_of)
        assert len(ledger_of(written)) == len(written)
        ledger |= ledger_of(written)
        assert new_contents(files, ledger, parsed_of) == []
    every = list(itertools.chain(*looks))
    for key, known in ledger.items():
        copies = [parsed_of(file).rows.num_rows for file in every if (file.ticker, file.sha256) == key]
        assert known.row_count == max(copies)
    assert set(ledger) == {(file.ticker, file.sha256) for file in every}


def test_a_good_content_keeps_the_time_of_its_first_copy() -> None:
    (first,) = new_contents([file_of("good")], {}, parsed_of)
    assert new_contents([file_of("good", MORNINGS[2])], ledger_of([first]), parsed_of) == []


def test_a_bar_that_was_not_final_is_final_in_a_later_copy() -> None:
    (first,) = new_contents([file_of("unfinished")], {}, parsed_of)
    (later,) = new_contents([file_of("unfinished", MORNINGS[1])], ledger_of([first]), parsed_of)
    assert (first[1].rows.num_rows, later[1].rows.num_rows, later[0].fetched_ts) == (2, 3, MORNINGS[1])


def test_a_file_that_seemed_older_than_its_rows_is_read_once_its_time_is_mended() -> None:
    (refused,) = new_contents([file_of("good", TOO_EARLY)], {}, parsed_of)
    assert refused[1].rejected["reason"].to_pylist() == ["older_than_its_rows"]
    (mended,) = new_contents([file_of("good", MORNINGS[0])], ledger_of([refused]), parsed_of)
    assert mended[1].rows.num_rows == 2


def test_two_problems_of_one_thing_and_kind_are_one_row() -> None:
    problems: list[SourceError] = [
        CorruptFileError("a.zip!ko.us.txt", "first", "Again"),
        CorruptFileError("a.zip!ko.us.txt", "second", "Again"),
        TooLargeError("a.zip!ko.us.txt", "large", "Again"),
        ChallengePageError("https://stooq.com", "a page", "Drop"),
    ]
    rows = rejections_table(rejections_of(problems, WINDOW)).to_pylist()
    assert [(row["source_name"], row["reason"]) for row in rows] == [
        ("a.zip!ko.us.txt", "corrupt_file"),
        ("a.zip!ko.us.txt", "too_large"),
        ("https://stooq.com", "challenge_page"),
    ]
    assert {row["reference"] for row in rows} == {"window to 2018-03-28"}


@dataclass
class WrittenLake:
    """Takes rows and remembers them by table."""

    written: dict[str, pa.Table]

    def replace_rows(self, address: str, rows: pa.Table, **_: object) -> TableReport:
        self.written[address] = rows
        return TableReport(address=address, row_count=rows.num_rows)


def test_a_slots_bytes_are_let_go_once_it_is_read() -> None:
    alive: list[weakref.ref[GdeltSlot]] = []

    def slots() -> Iterator[GdeltSlot]:
        for label in expected_slots(date(2018, 3, 14))[:6]:
            slot = GdeltSlot(label, "loaded", "0" * 32, 1, b"no record\n" * 150, "", 1)
            alive.append(weakref.ref(slot))
            yield slot
            del slot
            # The loops over them hold one or two.
            assert sum(each() is not None for each in alive) <= 2

    lake = WrittenLake({})
    report = gdelt_gkg.run(cast("Lake", lake), WINDOW, PROVENANCE, GdeltGkgInputs(slots=slots(), universe=Universe(tickers=())))
    assert len(alive) == 6
    ledger = lake.written["bronze.gdelt_slots"].to_pylist()
    assert {(row["row_count"], row["quarantined_count"]) for row in ledger} == {(150, 150)}
    assert report.quarantined_count == 6 * 25


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_order_of_a_listing_decides_nothing(order: tuple[int, ...]) -> None:
    files = [file_of("unfinished", fetched_ts, f"{number}.csv") for number, fetched_ts in enumerate(MORNINGS)]
    ((chosen, parsed),) = new_contents([files[index] for index in order], {}, parsed_of)
    assert (chosen.fetched_ts, parsed.rows.num_rows) == (MORNINGS[1], 3)


def test_a_source_that_fails_keeps_no_slot_out_that_it_gave() -> None:
    labels = expected_slots(date(2018, 3, 14))[:3]

    def slots() -> Iterator[GdeltSlot]:
        for label in labels:
            yield GdeltSlot(label, "empty", "0" * 32, 1, b"", "", 1)
        raise AccessDeniedError("https://data.gdeltproject.org", "HTTP 403", "Check the proxy")

    lake = WrittenLake({})
    with pytest.raises(AccessDeniedError):
        gdelt_gkg.run(cast("Lake", lake), WINDOW, PROVENANCE, GdeltGkgInputs(slots=slots(), universe=Universe(tickers=())))
    assert lake.written["bronze.gdelt_slots"]["slot_ts"].to_pylist() == labels
