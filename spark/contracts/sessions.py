"""Sessions in calendar days and hours: how far a count of them reaches, and when the bars of one are due.

Does not belong here: which dates are sessions (finlake_clients/calendar.py).
"""

from dataclasses import dataclass
from datetime import date, datetime

LONGEST_CLOSURE_DAYS = 10
"""From one session to the next at most: the exchange was closed for a week in September 2001, week-ends around it."""


def calendar_days(sessions: int) -> int:
    """Calendar days among which a count of consecutive sessions lies, holidays and one long closure included.

    Five sessions are seven days; counting two days for each leaves room for holidays, and for a ticker that was suspended.
    """
    return 2 * sessions + LONGEST_CLOSURE_DAYS


@dataclass(frozen=True, kw_only=True)
class DueSession:
    """A session, when its bars are due from the vendor (UTC), and when those of the next session are."""

    session: date
    due_ts: datetime
    overdue_ts: datetime
