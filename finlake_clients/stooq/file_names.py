"""What the name of a dropped file or of an archive's member says: Stooq's code, the kind of content, how it is packed."""

import re

from finlake_clients.bounded_zip import shown
from finlake_clients.source_errors import HalfWrittenFileError, NotDataError
from finlake_clients.stooq.prices_file import SourceKind

PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".tgz")
_PARTIAL_SUFFIXES = (".part", ".tmp", ".crdownload", ".partial")
_DATA_SUFFIXES = (".csv", ".txt", ".zip")
_CSV_NAME = re.compile(r"^(?P<code>.{1,200}?)_d(?: ?\(\d+\))?\.csv$")


def vendor_code_of(file_name: str) -> str | None:
    """Stooq's code in a file name (`nvda_us_d.csv` and `nvda.us.txt` are `nvda.us`); None if the form is another."""
    lowered = file_name.lower()
    if (match := _CSV_NAME.match(lowered)) is not None:
        return match["code"].replace("_", ".")
    return lowered.removesuffix(".txt").replace("_", ".") if lowered.endswith(".txt") else None


def kind_of(file_name: str) -> SourceKind:
    """What a file of prices is by its name: a member of the bulk archive, or a CSV that a browser saved."""
    return "bulk" if file_name.lower().endswith(".txt") else "drop"


def is_archive(file_name: str) -> bool:
    """Whether a file is a zip archive by its name."""
    return file_name.lower().endswith(".zip")


def require_read(file_name: str) -> None:
    """Raise HalfWrittenFileError for a name that a writer gives while it writes, NotDataError for an ending that is not read."""
    lowered, name = file_name.lower(), shown(file_name)
    if lowered.endswith(_PARTIAL_SUFFIXES):
        raise HalfWrittenFileError(name, "its name says that it is still being written", "Wait, or remove it")
    if not lowered.endswith(_DATA_SUFFIXES):
        raise NotDataError(
            name,
            f"its ending is none of {', '.join(_DATA_SUFFIXES)}, so it was not read",
            "Unpack it and drop what is in it"
            if lowered.endswith(PACKED_SUFFIXES)
            else "Drop the CSV as it was downloaded, named <stooq code>_d.csv, and move this file away",
        )
