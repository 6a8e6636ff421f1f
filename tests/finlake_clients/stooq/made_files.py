"""Files as people drop them, made for tests: CSVs, members of the bulk archive, archives, and a look at them."""

import io
import os
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

from finlake_clients.stooq.feed import StooqPrices
from finlake_clients.stooq.prices_file import StooqBatch
from spark.transforms.bronze.stooq_prices import parse

CODES = {"a.us": "A", "ko.us": "KO", "aapl.us": "AAPL", "msft.us": "MSFT", "ibm.us": "IBM", "brk-b.us": "BRK-B"}
MTIME = datetime(2024, 3, 20, 12, tzinfo=UTC)
DAYS = ["2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07", "2024-03-08"]
HEADER = "Date,Open,High,Low,Close,Volume"
BULK_HEADER = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"
ROWS = [f"{day},{100 + n}.00,{101 + n}.50,{99 + n}.00,{100 + n}.50,{1000000 + n}" for n, day in enumerate(DAYS)]
NYSE, NASDAQ = "data/daily/us/nyse stocks/2/ko.us.txt", "data/daily/us/nasdaq stocks/1/ko.us.txt"


def text(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


def bulk(code: str, rows: list[str] = ROWS, factor: str = "") -> list[str]:
    return [f"{code},D,{row[:10].replace('-', '')},000000,{factor}{row[11:]},0" for row in rows]


CSV = text(HEADER, *ROWS)
MEMBER = text(BULK_HEADER, *bulk("KO.US"))


def zipped(
    *members: tuple[str, bytes],
    written: tuple[int, int, int, int, int, int] = (2024, 3, 30, 0, 0, 0),
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, written), content, method)
    return buffer.getvalue()


def dropped(folder: Path, files: dict[str, bytes], mtime: datetime = MTIME) -> StooqBatch:
    for name, content in files.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, (mtime.timestamp(), mtime.timestamp()))
    return StooqPrices(drop_location=str(folder)).dropped_files(CODES)


def row_counts(batch: StooqBatch) -> dict[str, int]:
    """Rows that bronze makes of each file."""
    return {
        file.source_name: parse(
            file.content,
            ticker=file.ticker,
            file_sha256=file.sha256,
            fetched_ts=file.fetched_ts,
            source_name=file.source_name,
            last_closed_date=date(2024, 3, 19),
        ).rows.num_rows
        for file in batch.files
    }
