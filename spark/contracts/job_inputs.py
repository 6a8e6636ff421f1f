"""What an asset gives a job besides window and provenance. The inputs name their job, so that a pair that does not fit
cannot be written, and a wrong name or type fails the type checker. Standard library only, so that every room can make them.

A job whose tables are all it needs has no class of its own: `TablesAlone`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from spark.contracts import bronze, gold, silver
from spark.contracts.connectors import Slot, SourceFile, SourceProblem, Topics
from spark.contracts.sessions import DueSession
from spark.contracts.table import JobInputs, Table
from spark.contracts.universe import Universe


@dataclass(frozen=True, kw_only=True)
class TablesAlone(JobInputs):
    """Nothing but the tables that the contract names."""


@dataclass(frozen=True, kw_only=True)
class StooqPricesInputs(JobInputs):
    """Files of prices, what could not be obtained, and by each file's `fetched_ts` the newest session closed by then.

    `closed_days` are weekdays without a session.
    """

    table: Table = field(default=bronze.STOOQ_PRICES, init=False)
    files: Sequence[SourceFile]
    problems: Sequence[SourceProblem]
    universe: Universe
    last_closed: Mapping[datetime, date]
    closed_days: Collection[date]


@dataclass(frozen=True, kw_only=True)
class GdeltGkgInputs(JobInputs):
    """Slots of news in the order of their labels, read once, and whose names are looked for."""

    table: Table = field(default=bronze.GDELT_GKG, init=False)
    slots: Iterable[Slot]
    universe: Universe


@dataclass(frozen=True, kw_only=True)
class ArchiveInputs(JobInputs):
    """Topics to read, and by partition the offset up to which; None: up to the last date of the window."""

    topics: Topics
    ends: Mapping[int, int] | None


@dataclass(frozen=True, kw_only=True)
class RebuildInputs(JobInputs):
    """Whether the window's days are rebuilt from all changes, not only brought up to date."""

    rebuild: bool = False


@dataclass(frozen=True, kw_only=True)
class PriceRestatementsInputs(JobInputs):
    """All sessions of the exchange that are known: a verdict does not depend on the window that gives it."""

    table: Table = field(default=silver.PRICE_RESTATEMENTS, init=False)
    sessions: Sequence[date]


@dataclass(frozen=True, kw_only=True)
class PricesDailyInputs(JobInputs):
    """The exchange's sessions of the window; bars of other dates are rejected."""

    table: Table = field(default=silver.PRICES_DAILY, init=False)
    sessions: Sequence[date]


@dataclass(frozen=True, kw_only=True)
class CompletenessInputs(JobInputs):
    """The window's sessions, who trades, and `since`, the day after the session before the window.

    Bars of closed days from `since` on belong to the window.
    """

    table: Table = field(default=silver.COMPLETENESS, init=False)
    universe: Universe
    sessions: Sequence[DueSession]
    since: date


@dataclass(frozen=True, kw_only=True)
class NewsMentionsInputs(JobInputs):
    """Whose names are looked for, and the closes (UTC) by session from the one before the window to the one after it."""

    table: Table = field(default=silver.NEWS_MENTIONS, init=False)
    universe: Universe
    closes: Sequence[tuple[date, datetime]]


@dataclass(frozen=True, kw_only=True)
class NewsDailyInputs(JobInputs):
    """Whose days are counted, and all sessions of the exchange: news decay over sessions before the window."""

    table: Table = field(default=gold.NEWS_DAILY, init=False)
    universe: Universe
    sessions: Sequence[date]
