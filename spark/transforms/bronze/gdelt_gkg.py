"""One GDELT GKG 2.1 slot file, from bytes to rows: all 27 fields of the records that name a company of the universe.

The file has tabs, no header and no quoting, so nothing but tab and newline separates anything: lines and fields are cut
as bytes and only then decoded, quotes mean nothing, and no white space is stripped (the last field of old records is
empty, and stripping would lose it). Source: the GDELT Project, https://www.gdeltproject.org/.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

import pyarrow as pa

from spark.contracts.bronze import GDELT_GKG, GKG_FIELD_NAMES
from spark.schemas import arrow_schema
from spark.transforms.quarantine import MAX_REJECTED_ROWS, RAW_TEXT_LIMIT, Rejection, rejections_table
from spark.transforms.silver.company_names import Article, Matcher, page_title

FIELD_COUNT = len(GKG_FIELD_NAMES)
GENERATED_DOMAIN = "finlake.example"
MAX_SLOT_LINES = 100_000
"""A slot has 1,000 records, in busy years 5,000."""
MAX_RECORD_BYTES = 4 * 1024 * 1024
"""The longest records that were reported have some hundred kilobytes."""

_RECORD_ID, _DATE = GKG_FIELD_NAMES.index("gkg_record_id"), GKG_FIELD_NAMES.index("gkg_date")
_SOURCE, _DOCUMENT = GKG_FIELD_NAMES.index("source_common_name"), GKG_FIELD_NAMES.index("document_identifier")
_ORGANIZATIONS, _NAMES = GKG_FIELD_NAMES.index("organizations_v1"), GKG_FIELD_NAMES.index("all_names")
_EXTRAS = GKG_FIELD_NAMES.index("extras_xml")
_LONGEST_CHARACTER_BYTES = 4
_FIELD_END = b"\t"
_REASONS = ("too_large", "malformed_line", "label_mismatch", "duplicate_record")


@dataclass(frozen=True, kw_only=True)
class ParsedSlot:
    """What a slot file held: `row_count` = rows + `other_count` + `rejected_count`.

    `rows` are bronze.gdelt_gkg, `rejected` silver.quarantine, both in contract order; `other_count` counts records that
    name no company of the universe; `invalid_byte_count` counts undecodable bytes in the whole file. `rejected_count` counts
    every rejected line, also those that `rejected` only counts.
    """

    rows: pa.Table
    rejected: pa.Table
    rejected_count: int
    row_count: int
    other_count: int
    invalid_byte_count: int


def parse(
    content: bytes, *, slot_ts: datetime, day_date: date, file_md5: str, matcher: Matcher, is_generated: bool = False
) -> ParsedSlot:
    """Read one unzipped slot file. Never raises on content.

    A line is rejected when it is longer than `MAX_RECORD_BYTES` or has another number of fields than 27, when its record id
    or date is not the slot's, and when its record id already stands in the kept rows; of a file with more than
    `MAX_SLOT_LINES` all are. `is_generated` marks every row as made by the sample sources; rows from hosts under
    `finlake.example` are marked in any case. `slot_ts` must be aware.
    """
    slot_ts = slot_ts.astimezone(UTC)
    label = slot_ts.strftime("%Y%m%d%H%M%S").encode()
    file_invalid_bytes = invalid_byte_count(content)
    line_count = content.count(b"\n") + (not content.endswith(b"\n") and bool(content))
    if line_count > MAX_SLOT_LINES:
        message = f"the file has {line_count:,} lines, and no slot more than {MAX_SLOT_LINES:,}; load it again"
        whole = _rejection(content, "file", label.decode(), day_date, "too_large", message)
        return ParsedSlot(
            rows=arrow_schema(GDELT_GKG).empty_table(),
            rejected=rejections_table([whole]),
            rejected_count=line_count,
            row_count=line_count,
            other_count=0,
            invalid_byte_count=file_invalid_bytes,
        )
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    kept: list[list[str]] = []
    line_numbers: list[int] = []
    invalid_bytes: list[int] = []
    rejected = _BoundedRejections(label.decode(), day_date)
    seen: set[bytes] = set()
    for line_number, raw in enumerate(lines, start=1):
        # A line of tabs alone is not cut into as many fields.
        fields = raw.rstrip(b"\r").split(_FIELD_END, FIELD_COUNT)
        fault = _fault(fields, raw, label, seen)
        if fault is not None:
            rejected.add(raw, line_number, *fault)
            continue
        article = Article(
            organizations_v1=_text(fields[_ORGANIZATIONS]),
            all_names=_text(fields[_NAMES]),
            title=page_title(_text(fields[_EXTRAS])),
            day_date=day_date,
        )
        if matcher.candidates(article):
            seen.add(fields[_RECORD_ID])
            kept.append([_text(field) for field in fields])
            line_numbers.append(line_number)
            invalid_bytes.append(invalid_byte_count(raw) if file_invalid_bytes else 0)
    schema = arrow_schema(GDELT_GKG)
    columns = [
        *(zip(*kept, strict=True) if kept else [()] * FIELD_COUNT),
        [slot_ts] * len(kept),
        [day_date] * len(kept),
        line_numbers,
        invalid_bytes,
        [file_md5] * len(kept),
        [is_generated or _is_generated(row[_SOURCE], row[_DOCUMENT]) for row in kept],
    ]
    return ParsedSlot(
        rows=pa.table([pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema),
        rejected=rejections_table(rejected.rows()),
        rejected_count=rejected.count,
        row_count=len(lines),
        other_count=len(lines) - len(kept) - rejected.count,
        invalid_byte_count=file_invalid_bytes,
    )


def invalid_byte_count(content: bytes) -> int:
    """Bytes that are not part of a UTF-8 character; additive over lines and fields, since no character crosses them."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return len(content) - len(content.decode(errors="ignore").encode())
    return 0


def _text(field: bytes) -> str:
    return field.decode(errors="replace")


class _BoundedRejections:
    """Rejected lines of one slot: the first of each reason as they are, the others counted."""

    def __init__(self, label: str, day_date: date) -> None:
        self._label = label
        self._day_date = day_date
        self._shown: list[Rejection] = []
        self._shown_of: dict[str, int] = {}
        self._beyond: dict[str, tuple[int, int, int, Rejection]] = {}
        self.count = 0

    def add(self, raw: bytes, line_number: int, reason: str, message: str) -> None:
        self.count += 1
        shown = self._shown_of.get(reason, 0)
        if shown < MAX_REJECTED_ROWS // len(_REASONS) - 1:
            self._shown_of[reason] = shown + 1
            self._shown.append(_rejection(raw, f"line {line_number}", self._label, self._day_date, reason, message))
        elif reason not in self._beyond:
            example = _rejection(raw, f"line {line_number}", self._label, self._day_date, reason, message)
            self._beyond[reason] = (1, line_number, line_number, example)
        else:
            count, first, _, example = self._beyond[reason]
            self._beyond[reason] = (count + 1, first, line_number, example)

    def rows(self) -> list[Rejection]:
        """At most `MAX_REJECTED_ROWS` rejections; a reason with one line beyond the bound needs no counting."""
        counted = [
            example
            if count == 1
            else replace(
                example,
                reference=f"lines {first} to {last}",
                message=f"{count:,} more lines from line {first} to line {last}, such as: {example.message}",
            )
            for count, first, last, example in self._beyond.values()
        ]
        return [*self._shown, *counted]


def _fault(fields: list[bytes], raw: bytes, label: bytes, seen: set[bytes]) -> tuple[str, str] | None:
    """Reason and message when the fields are no record of this slot."""
    if len(raw) > MAX_RECORD_BYTES:
        return "too_large", f"the line has {len(raw):,} bytes, and no record more than {MAX_RECORD_BYTES:,}; load the slot again"
    if len(fields) != FIELD_COUNT:
        return "malformed_line", (
            f"the line has {raw.count(_FIELD_END) + 1} fields and a GKG 2.1 record {FIELD_COUNT}; load the slot again, "
            "a truncated download is the usual cause"
        )
    if fields[_DATE] != label or not fields[_RECORD_ID].startswith(label + b"-"):
        return "label_mismatch", (
            f"the record says {_text(fields[_RECORD_ID])[:40]!r} of {_text(fields[_DATE])[:20]!r} in the file of slot "
            f"{label.decode()}; it would be known at the wrong time, so load the slot again"
        )
    if fields[_RECORD_ID] in seen:
        return "duplicate_record", (
            f"record {_text(fields[_RECORD_ID])[:40]} already stands in this file; the first one was kept"
        )
    return None


def _rejection(raw: bytes, reference: str, label: str, day_date: date, reason: str, message: str) -> Rejection:
    return Rejection(
        source_table=GDELT_GKG.address,
        source_name=f"{label}.gkg.csv",
        reference=reference,
        reason=reason,
        message=message,
        raw_text=_text(raw[: RAW_TEXT_LIMIT * _LONGEST_CHARACTER_BYTES]),
        ticker=None,
        day_date=day_date,
    )


def _is_generated(source_common_name: str, document_identifier: str) -> bool:
    """Whether the publisher or the host of the address is finlake's own sample domain."""
    try:
        host = urlsplit(document_identifier).hostname or ""
    except ValueError:  # an address no URL parser accepts, such as one with an open bracket, is nobody's sample
        host = ""
    return any(re.search(rf"(?:^|\.){re.escape(GENERATED_DOMAIN)}$", name) for name in (source_common_name, host))
