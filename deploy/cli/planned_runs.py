"""Which Dagster runs cover a span of dates: one by calendar day, one by session, one by month."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

GDELT_START = date(2015, 2, 18)
BY_DAY = ("bronze/gdelt_gkg", "bronze/gdelt_slots", "silver/news_mentions")
BY_SESSION = (
    "bronze/stooq_prices", "bronze/stooq_downloads", "silver/price_restatements", "silver/prices_daily",
    "gold/news_daily", "gold/indicators", "gold/stock_analytics", "gold/ml_features", "gold/ml_labels",
)
BY_MONTH = ("gold/monthly_summary",)


class NothingToRunError(ValueError):
    """No run covers what was asked for; the message says which dates or tables would."""


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run to launch: a job over a range of partition keys, or without partitions; all its assets when `assets` is empty."""

    job: str
    first_key: date | None = None
    last_key: date | None = None
    assets: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The run in words."""
        return self.job if self.first_key is None else f"{self.job} {self.first_key} to {self.last_key}"


def planned_runs(first: date, last: date, sessions: Sequence[date], select: Collection[str] = ()) -> list[PlannedRun]:
    """Runs for the dates `first` to `last`; `sessions` are the exchange's sessions from a fortnight before `first`.

    News days begin after the session before `first`, because news of a week-end belongs to the next session. Raises
    `NothingToRunError` for an unknown table or a span without a session.
    """
    unknown = sorted(set(select) - {*BY_DAY, *BY_SESSION, *BY_MONTH})
    if unknown:
        raise NothingToRunError(f"no table {', '.join(unknown)}; there are {', '.join((*BY_DAY, *BY_SESSION, *BY_MONTH))}")
    within = [session for session in sessions if first <= session <= last]
    if not within:
        raise NothingToRunError(f"the exchange has no session from {first} to {last}; choose a span with one")
    before = max((session for session in sessions if session < first), default=first - timedelta(days=1))
    spans = (
        ("lake_by_day", BY_DAY, max(before, GDELT_START), last),
        ("lake_by_session", BY_SESSION, within[0], within[-1]),
        ("lake_by_month", BY_MONTH, within[0].replace(day=1), within[-1].replace(day=1)),
    )
    runs = []
    for job, assets, start, end in spans:
        chosen = tuple(asset for asset in assets if asset in select)
        if start <= end and (chosen or not select):
            runs.append(PlannedRun(job=job, first_key=start, last_key=end, assets=chosen))
    return runs
