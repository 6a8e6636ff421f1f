"""From files in a folder to published bars: of files of one time the one that knows more sessions wins, whatever its name."""

import os
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finlake_clients.stooq.feed import StooqPrices
from spark.contracts.bronze import BAR_COLUMNS
from spark.contracts.connectors import SourceFile
from spark.contracts.silver import PRICE_RESTATEMENTS
from spark.jobs.bronze.stooq_prices import new_contents
from spark.transforms.bronze.stooq_prices import Parsed, parse
from spark.transforms.polars_schema import polars_schema
from spark.transforms.silver.price_restatements import judge_all
from spark.transforms.silver.prices_daily import choose, exceptions

SESSIONS = [day for day in (date(2024, 1, 1) + timedelta(days=n) for n in range(60)) if day.weekday() < 5]
COPIED = datetime(2024, 6, 1, tzinfo=UTC)
NONE_YET = pl.DataFrame(schema=polars_schema(PRICE_RESTATEMENTS))
NAMES = ["ko_us_d.csv", "ko_us_d (1).csv", "ko_us_d(2).csv", "KO.US_d.csv", "ko.us_d.csv"]
BARS = [(100.0 + n, 101.5 + n, 99.0 + n, 100.5 + n, 1_000_000.0 + n) for n in range(len(SESSIONS))]


def bars_of(length: int) -> dict[date, tuple[float, float, float, float, float]]:
    """The first bars; the last of them was not over when the file was made."""
    opened, _, _, _, volume = BARS[length - 1]
    return dict(zip(SESSIONS, BARS[:length], strict=False)) | {
        SESSIONS[length - 1]: (opened, opened + 0.25, opened - 0.25, opened, volume - 500_000)
    }


def csv(length: int, end: str) -> bytes:
    lines = ["Date,Open,High,Low,Close,Volume", *(f"{day},{','.join(map(str, bar))}" for day, bar in bars_of(length).items())]
    return "".join(f"{line}{end}" for line in lines).encode()


def parsed_of(file: SourceFile) -> Parsed:
    return parse(
        file.content,
        ticker=file.ticker,
        file_sha256=file.sha256,
        fetched_ts=file.fetched_ts,
        source_name=file.source_name,
        last_closed_date=SESSIONS[-1],
    )


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.data(), st.lists(st.integers(20, len(SESSIONS)), min_size=2, max_size=4, unique=True))
def test_neither_names_nor_the_order_of_copying_decide_between_files_of_one_time(
    data: st.DataObject,
    lengths: list[int],
) -> None:
    names = data.draw(st.permutations(NAMES))
    # Other line ends are another hash of the same bars.
    contents = [csv(length, data.draw(st.sampled_from(["\n", "\r\n", "\r"]))) for length in lengths]
    with tempfile.TemporaryDirectory() as folder:
        for name, content in zip(names, contents, strict=False):
            (Path(folder) / name).write_bytes(content)
            os.utime(Path(folder) / name, (COPIED.timestamp(), COPIED.timestamp()))
        batch = StooqPrices(drop_location=folder).dropped_files({"ko.us": "KO"})
    assert (len(batch.files), batch.problems) == (len(lengths), [])

    known = new_contents(data.draw(st.permutations(batch.files)), {}, parsed_of)
    rows = pl.DataFrame(pl.from_arrow(pa.concat_tables([parsed.rows for _, parsed in known])))
    ledger = pl.DataFrame(
        [
            {
                "ticker": file.ticker,
                "file_sha256": file.sha256,
                "fetched_ts": file.fetched_ts,
                "source_name": file.source_name,
                "first_session_date": SESSIONS[0],
                "last_session_date": parsed.rows["session_date"][-1].as_py(),
            }
            for file, parsed in known
        ]
    )
    verdicts = judge_all(rows, NONE_YET, SESSIONS, ledger)
    published, _ = choose(rows, verdicts, SESSIONS, exceptions(verdicts), ledger)

    shown = {day: bar for day, *bar in published.select("session_date", *BAR_COLUMNS).rows()}
    assert shown == {day: list(bar) for day, bar in bars_of(max(lengths)).items()}
