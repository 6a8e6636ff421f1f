"""What a step still has to ask a vendor for, decided from what is already there."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from finlake_clients.calendar import OutsideCalendarError, TradingCalendar
from finlake_clients.stooq.prices_file import StooqFile
from spark.contracts.report import Window
from spark.contracts.stooq_files import UnreadableFileError, open_file
from spark.contracts.universe import Universe

# Enough common sessions for a restatement to show itself: sixty to compare and five newest ones.
OVERLAP_SESSIONS = 65


@dataclass(frozen=True)
class WantedDownload:
    """One ticker's prices wanted over HTTP, both dates inclusive; without `start` from the vendor's first bar."""

    ticker: str
    vendor_code: str
    start: date | None
    end: date


@dataclass(frozen=True)
class KnownDates:
    """First and last session known of a ticker."""

    first: date
    last: date


def missing_downloads(
    universe: Universe,
    known: Mapping[str, KnownDates],
    window: Window,
    calendar: TradingCalendar,
    whole_history: Collection[str] = (),
) -> list[WantedDownload]:
    """The tickers whose known prices do not span the window, by vendor code.

    Those of `whole_history` are wanted from the vendor's first bar, whatever is known. Any other download depends on
    the window alone, so that a repeated run gets a file that is known already. It begins `OVERLAP_SESSIONS` before the
    window, so that a rewritten history is noticed.
    """
    overlapped = calendar.before(window.start, OVERLAP_SESSIONS)
    start = overlapped[0] if overlapped else window.start
    wanted = []
    for vendor_code, ticker in sorted(universe.stooq_codes.items()):
        span = known.get(ticker)
        if ticker in whole_history:
            wanted.append(WantedDownload(ticker, vendor_code, None, window.end))
        elif span is None or span.first > window.start or span.last < window.end:
            wanted.append(WantedDownload(ticker, vendor_code, start, window.end))
    return wanted


def known_with(
    files: Iterable[StooqFile],
    ledger: Mapping[str, KnownDates],
    closed: Mapping[datetime, date],
) -> dict[str, KnownDates]:
    """What is known of each ticker: by the ledger, or by a file that is about to be ingested.

    A dropped file is taken to hold a ticker's whole history: how far back it goes is the user's choice. Its bar of a
    session that had not closed yet, see `last_closed`, will not be kept and so does not count.
    """
    known = dict(ledger)
    for file in files:
        in_file = newest_date(file)
        if in_file is not None:
            newest, before = min(in_file, closed[file.fetched_ts]), known.get(file.ticker)
            known[file.ticker] = KnownDates(date.min, newest if before is None else max(newest, before.last))
    return known


def last_closed(files: Iterable[StooqFile], calendar: TradingCalendar) -> dict[datetime, date]:
    """The newest session that had closed when each file was obtained; `date.min` for a file older than the calendar."""
    return {file.fetched_ts: _closed_by(file.fetched_ts, calendar) for file in files}


def closed_days(calendar: TradingCalendar) -> tuple[date, ...]:
    """Weekdays without a session, as far as the calendar reaches."""
    return calendar.closures(calendar.first_date, calendar.last_session)


def _closed_by(obtained_ts: datetime, calendar: TradingCalendar) -> date:
    try:
        return calendar.last_closed(obtained_ts)
    except OutsideCalendarError:
        return date.min


def newest_date(file: StooqFile) -> date | None:
    """The newest date in a file, wherever it stands; None when bronze leaves the file out or no line has a date."""
    try:
        opened = open_file(file.content)
    except UnreadableFileError:
        return None
    return None if opened.contradicts_itself else opened.last_date()
