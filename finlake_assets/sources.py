"""What a step still has to ask a vendor for, decided from what is already there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from finlake_resources.calendar import TradingCalendar
from finlake_resources.stooq import StooqFile
from spark.contracts.universe import Universe

# Enough common sessions for a restatement to show itself: sixty to compare and five newest ones.
OVERLAP_SESSIONS = 65


@dataclass(frozen=True)
class Download:
    """One ticker's prices wanted over HTTP, both dates inclusive."""

    ticker: str
    vendor_code: str
    start: date
    end: date


def missing_downloads(
    universe: Universe, reached: Mapping[str, date], end: date, history_start: date, calendar: TradingCalendar,
) -> list[Download]:
    """The tickers whose prices do not reach `end`, by vendor code.

    `reached` has the latest session known of a ticker. A download overlaps what is known, so that a rewritten history
    is noticed; a ticker that is not known at all is wanted from `history_start`.
    """
    wanted = []
    for vendor_code, ticker in sorted(universe.stooq_codes.items()):
        known = reached.get(ticker)
        if known is not None and known >= end:
            continue
        start = history_start if known is None else min(calendar.before(known, OVERLAP_SESSIONS), default=history_start)
        if start <= end:
            wanted.append(Download(ticker, vendor_code, start, end))
    return wanted


def reached_by(files: Iterable[StooqFile], ledger: Mapping[str, date]) -> dict[str, date]:
    """The latest session known of each ticker: by the ledger, or by a file that is about to be ingested."""
    reached = dict(ledger)
    for file in files:
        newest = newest_date(file)
        if newest is not None:
            reached[file.ticker] = max(newest, reached.get(file.ticker, newest))
    return reached


def newest_date(file: StooqFile) -> date | None:
    """Date in the last line of a file, which Stooq writes oldest first; None when there is none to be read."""
    last_line = file.content.rstrip().rsplit(b"\n", 1)[-1].decode("ascii", errors="replace")
    fields = last_line.split(",")
    position = 2 if file.source_kind == "bulk" else 0
    try:
        return date.fromisoformat(fields[position].strip())
    except (IndexError, ValueError):
        return None
