"""What the connector hands over: the bytes of one ticker's prices with their origin, and what was not usable and why."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from finlake_clients.source_errors import SourceError

SourceKind = Literal["drop", "bulk", "http"]
FetchedTsKind = Literal["response", "file", "member", "reading"]
Obtained = tuple[datetime, FetchedTsKind]
"""When bytes were obtained (UTC), and how that is known."""


@dataclass(frozen=True)
class StooqFile:
    """The bytes of one ticker's prices and where they came from.

    `content` is exactly what was received, in a form of `spark/contracts/stooq_files.py`: for kind `bulk` that of the
    bulk archive, else a CSV. `fetched_ts` (UTC) is when it was obtained, and `fetched_ts_kind` how that is known: the
    time of the response, of the file, of the member of an archive, or, where a file says to be of the future, of the
    reading.
    """

    ticker: str
    content: bytes = field(repr=False)
    sha256: str
    source_kind: SourceKind
    source_name: str
    fetched_ts: datetime
    fetched_ts_kind: FetchedTsKind = "file"


def prices_file(ticker: str, content: bytes, kind: SourceKind, name: str, obtained: Obtained) -> StooqFile:
    """The file of a content, with its hash."""
    return StooqFile(ticker, content, hashlib.sha256(content).hexdigest(), kind, name, *obtained)


@dataclass(frozen=True)
class StooqBatch:
    """What was usable, and what was not and why; the caller quarantines the problems and goes on."""

    files: list[StooqFile]
    problems: list[SourceError]
