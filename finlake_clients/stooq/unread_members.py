"""What an archive holds that was not read, reported so that nobody waits for it."""

import zipfile
from collections.abc import Collection

from finlake_clients import bounded_zip
from finlake_clients.bounded_zip import shown
from finlake_clients.source_errors import NotDataError, SourceError, UnknownTickerError
from finlake_clients.stooq.file_names import PACKED_SUFFIXES, vendor_code_of
from spark.contracts.stooq_files import UnreadableFileError, open_file

_PEEKED_MEMBERS = 5
_PEEKED_BYTES = 64 * 1024
_SHOWN = 5


def passed_over(archive: zipfile.ZipFile, name: str, vendor_codes: Collection[str]) -> SourceError | None:
    """What may be prices of these codes (lower case) in a form that is not read; None where there is nothing."""
    found = []
    for info in archive.infolist():
        base_name = info.filename.replace("\\", "/").rsplit("/", 1)[-1].lower()
        stem, _, ending = base_name.rpartition(".")
        if base_name.startswith(".") or f".{ending}" in (".csv", ".txt"):
            continue
        is_packed = base_name.endswith((*PACKED_SUFFIXES, ".zip"))
        codes = {vendor_code_of(each) for each in (stem, f"{stem}.csv", f"{stem}.txt")}
        if is_packed or not codes.isdisjoint(vendor_codes):
            found.append(shown(info.filename))
    if not found:
        return None
    more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    return NotDataError(
        name,
        f"members that are no .csv or .txt were not read: {', '.join(found[:_SHOWN])}{more}",
        "Unpack them and drop the CSVs that are in them; nothing need be done if they hold no prices",
    )


def nothing_wanted(archive: zipfile.ZipFile, name: str) -> SourceError:
    """Why an archive has no member of the universe: another layout, or other tickers."""
    texts = [info for info in archive.infolist() if info.filename.lower().endswith((".txt", ".csv"))]
    for info in sorted(texts, key=lambda info: info.file_size, reverse=True)[:_PEEKED_MEMBERS]:
        codes = _codes_in(archive, info)
        if len(codes) > 1:
            some = ", ".join(shown(code) for code in sorted(codes)[:_SHOWN])
            return NotDataError(
                f"{name}!{shown(info.filename)}",
                f"it holds rows of several tickers ({some}), which is another layout",
                "Drop an archive with one member for each ticker, as d_us_txt.zip of Stooq is",
            )
    some = ", ".join(shown(info.filename) for info in archive.infolist()[:_SHOWN])
    return UnknownTickerError(
        name,
        f"it holds no ticker of the universe; its first members are {some or 'none'}",
        "Drop the archive of US daily prices, d_us_txt.zip, or a zip of <stooq code>_d.csv files",
    )


def _codes_in(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> set[str]:
    """Codes that the first rows of a member bear; none where it is not of the bulk form."""
    head, _, _ = bounded_zip.member_beginning(archive, info, _PEEKED_BYTES).rpartition(b"\n")
    try:
        opened = open_file(head)
    except UnreadableFileError:
        # It is asked only whether the member has rows of several tickers; bytes that are no file have none.
        return set()
    position = opened.layout.ticker
    return set() if position is None else {line.split(",")[position] for _, line in opened.lines if "," in line}
