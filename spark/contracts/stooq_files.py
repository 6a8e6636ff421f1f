"""What a file of Stooq's daily prices looks like: the one list by which the connector accepts and bronze reads.

Belongs here: headers and where their fields stand, dates, encodings, bounds, and the sentence for a file that is none.
Does not belong here: what a line means (spark/transforms/bronze) and what Stooq answers instead of a file
(finlake_clients/stooq).
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from typing import Literal

Form = Literal["csv", "bulk"]

MAX_FILE_BYTES = 16 * 1024 * 1024
"""A daily history of 250 years is 5 MB; a larger file is not looked into."""
MAX_LINES = 200_000
"""Lines of a file, the header and blank ones too: three times the sessions since 1789."""

_UTF8_BOM = b"\xef\xbb\xbf"
_UTF32_MARKS = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_AS_DOWNLOADED = "Drop the file as it was downloaded from Stooq: a spreadsheet changes dates and digits too"
_UNPACK = "Unpack it and drop the files that are in it"
_IN_BROWSER = "Download it again in a browser"
_SPREADSHEET_PARTS = (b"[Content_Types].xml", b"xl/workbook.xml", b"vnd.oasis.opendocument", b"vnd.sun.xml")
# First bytes of files that are no text, what they are, and what to do.
_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a zip archive", _UNPACK),
    (b"PK\x05\x06", "an empty zip archive", _IN_BROWSER),
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a rar archive", _UNPACK),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a spreadsheet", _AS_DOWNLOADED),
    (b"%PDF", "a PDF", _IN_BROWSER),
    (b"\x89PNG\r\n\x1a\n", "a picture", _IN_BROWSER),
    (b"\xff\xd8\xff", "a picture", _IN_BROWSER),
    (b"GIF8", "a picture", _IN_BROWSER),
)
# Stooq's oldest series begins in 1789; bronze has a folder for each month.
_YEAR = r"(?:1[789]|20)\d{2}"
_HEAD_BYTES = 1024
_SHOWN_CHARACTERS = 80
_SEARCHED_LINES = 20


@dataclass(frozen=True, kw_only=True)
class FileLayout:
    """A header and the positions of its fields (0-based); `volume`, `ticker` and `period` are None where there is no such one.

    `date_pattern` is what a date looks like, `date_format` how `strptime` reads it. Fields are separated by commas and
    never quoted, numbers have a point.
    """

    form: Form
    header: str
    date: int
    first_price: int
    volume: int | None
    ticker: int | None = None
    period: int | None = None
    date_pattern: str = rf"^{_YEAR}-\d{{2}}-\d{{2}}$"
    date_format: str = "%Y-%m-%d"
    date_words: str = "YYYY-MM-DD"

    @property
    def width(self) -> int:
        """Number of fields of a line."""
        return self.header.count(",") + 1


def _csv(header: str, *, volume: int | None) -> FileLayout:
    return FileLayout(form="csv", header=header, date=0, first_price=1, volume=volume)


LAYOUTS: tuple[FileLayout, ...] = (
    _csv("Date,Open,High,Low,Close,Volume", volume=5),
    _csv("Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen", volume=5),
    # Metals, currencies and some indices have no volume.
    _csv("Date,Open,High,Low,Close", volume=None),
    _csv("Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie", volume=None),
    FileLayout(
        form="bulk",
        header="<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>",
        date=2,
        first_price=4,
        volume=8,
        ticker=0,
        period=1,
        date_pattern=rf"^{_YEAR}\d{{4}}$",
        date_format="%Y%m%d",
        date_words="YYYYMMDD",
    ),
)
_BY_HEADER = {layout.header: layout for layout in LAYOUTS}


class UnreadableFileError(ValueError):
    """Bytes that are no file of daily prices: a short `code`, what is wrong, what to do."""

    def __init__(self, code: str, reason: str, next_step: str) -> None:
        super().__init__(f"{reason}; {next_step[:1].lower()}{next_step[1:]}")
        self.code = code
        self.reason = reason
        self.next_step = next_step


@dataclass(frozen=True, kw_only=True)
class OpenedFile:
    """A file whose header is known: its layout and the lines after it that are not blank, each with its number from 1."""

    layout: FileLayout
    lines: list[tuple[int, str]]

    @property
    def contradicts_itself(self) -> bool:
        """Whether whole lines of one date differ in their text: bronze leaves such a file out, unless the values agree."""
        dated = self._dated()
        return len({said for said, _ in dated}) < len(set(dated))

    def last_date(self) -> date | None:
        """The newest date of lines that have as many fields as the header, wherever it stands; None without one."""
        is_date = re.compile(self.layout.date_pattern).match
        # Both forms of a date sort as text.
        for newest in sorted({said for said, _ in self._dated()}, reverse=True):
            try:
                if is_date(newest):
                    return date.fromisoformat(newest)
            except ValueError:
                continue
        return None

    def bars_sha256(self) -> str:
        """The digest of dates, prices and volumes of the lines, whatever their form and order: equal where files agree."""
        layout = self.layout
        positions = [layout.date, *range(layout.first_price, layout.first_price + 4)]
        positions += [] if layout.volume is None else [layout.volume]
        said = set()
        for _, line in self.lines:
            fields = [field.strip() for field in line.split(",")]
            if len(fields) == layout.width:
                fields = [fields[layout.date].replace("-", ""), *(_number(fields[position]) for position in positions[1:])]
            said.add(",".join(fields))
        return hashlib.sha256("\n".join(sorted(said)).encode(errors="surrogatepass")).hexdigest()

    def _dated(self) -> list[tuple[str, str]]:
        """What stands in the position of the date, and the line, of lines that have as many fields as the header."""
        position, commas = self.layout.date, self.layout.width - 1
        return [(line.split(",", position + 1)[position].strip(), line) for _, line in self.lines if line.count(",") == commas]


def open_file(content: bytes) -> OpenedFile:
    """The layout and lines of a file.

    Line ends are CRLF, LF or CR; blank lines may stand anywhere, a UTF-8 mark at the beginning. Raises
    `UnreadableFileError` for bytes above the bounds, another encoding, no known header in the first line that is not
    blank, or a header without a line.
    """
    _require_within_bounds(content)
    text = _decoded(content)
    numbered = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if not _is_blank(line)]
    if not numbered:
        raise UnreadableFileError("empty_file", "it is empty", "Download it again in a browser")
    layout = _BY_HEADER.get(numbered[0][1])
    if layout is None:
        raise _header_fault(numbered)
    if len(numbered) == 1:
        raise UnreadableFileError(
            "no_row",
            "it has a header and no row",
            "Download it again; if it stays so, Stooq has no prices for this code and range",
        )
    return OpenedFile(layout=layout, lines=numbered[1:])


def too_large(byte_count: int) -> UnreadableFileError | None:
    """The fault of a file of that many bytes, for whoever can ask before reading; None within the bound."""
    if byte_count <= MAX_FILE_BYTES:
        return None
    return UnreadableFileError(
        "too_large",
        f"it has {byte_count:,} bytes, and no daily price history more than {MAX_FILE_BYTES:,}",
        "Download it again, one ticker and daily bars",
    )


def _is_blank(line: str) -> bool:
    return not line or line.isspace()


def _require_within_bounds(content: bytes) -> None:
    if (fault := too_large(len(content))) is not None:
        raise fault
    # An old Mac's line ends are carriage returns alone.
    line_count = max(content.count(b"\n"), content.count(b"\r"))
    if line_count > MAX_LINES:
        raise UnreadableFileError(
            "too_large",
            f"it has {line_count:,} lines, and no daily price history more than {MAX_LINES:,}",
            "Download it again, one ticker and daily bars",
        )


def _number(text: str) -> str:
    """A number as one text, however many digits it is written with; another text as it is."""
    try:
        return repr(float(text))
    except ValueError:
        return text


def _decoded(content: bytes) -> str:
    if (fault := _no_utf8_text(content)) is not None:
        raise fault
    return content.removeprefix(_UTF8_BOM).decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def _no_utf8_text(content: bytes) -> UnreadableFileError | None:
    """What the bytes are instead of text in UTF-8, by their beginning; None for what may be such text."""
    head = content[:_HEAD_BYTES]
    for beginning, what, next_step in _BEGINNINGS:
        if head.startswith(beginning):
            if beginning.startswith(b"PK") and any(part in content for part in _SPREADSHEET_PARTS):
                what, next_step = "a spreadsheet", _AS_DOWNLOADED
            return UnreadableFileError("not_text", f"it is {what} by its first bytes, and no text", next_step)
    if (encoding := _wide_encoding(head)) is not None:
        return UnreadableFileError("wrong_encoding", f"its encoding is {encoding} and not UTF-8", _AS_DOWNLOADED)
    if b"\x00" in head.rstrip(b"\x00"):
        return UnreadableFileError("not_text", "it holds NUL bytes, as no text does", _IN_BROWSER)
    if content.endswith(b"\x00"):
        return UnreadableFileError("not_text", "it ends in NUL bytes, so it was not written to its end", _IN_BROWSER)
    return None


def _wide_encoding(head: bytes) -> str | None:
    """UTF-32 or UTF-16, by its mark, or else by the NULs that stand beside each ASCII character."""
    if head.startswith(_UTF32_MARKS):
        return "UTF-32"
    if head.startswith(_UTF16_MARKS):
        return "UTF-16"
    for encoding, width in (("UTF-32", 4), ("UTF-16", 2)):
        whole = head[: len(head) // width * width]
        for position in (0, width - 1):
            characters = whole[position::width]
            if characters and 0 not in characters and whole.count(0) == len(whole) - len(characters):
                return encoding
    return None


def _header_fault(numbered: list[tuple[int, str]]) -> UnreadableFileError:
    """What the first line is instead of a known header."""
    first = numbered[0][1]
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if first.replace(separator, ",") in _BY_HEADER:
            return UnreadableFileError(
                "wrong_separator",
                f"its fields are separated by {name} and not by commas, as a spreadsheet saves them",
                _AS_DOWNLOADED,
            )
    if first.replace('"', "") in _BY_HEADER:
        return UnreadableFileError(
            "quoted_fields",
            "its fields stand in quotes, as another program saves them",
            "Drop the file as it was downloaded",
        )
    for number, line in numbered[1:_SEARCHED_LINES]:
        if line in _BY_HEADER:
            return UnreadableFileError(
                "unknown_header",
                f"the header stands in line {number} and something else before it",
                "Remove the lines before the header, or drop the file as it was downloaded",
            )
    return UnreadableFileError(
        "unknown_header",
        f"the first line is {first[:_SHOWN_CHARACTERS]!r} and none of Stooq's headers",
        "Download the file again in a browser; if Stooq's form has changed, its header belongs into "
        "spark/contracts/stooq_files.py",
    )
