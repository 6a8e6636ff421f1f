"""What speaks for a ticker's bars, and which of two downloads is believed where they disagree: each is a vote.

A bar in dispute is settled by trading (the known one was not finished), by what jumps without it, or by the number of
downloads that say the same, also of those that were not used.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

import numpy as np
import polars as pl

from spark.contracts import price_limits as limits
from spark.contracts.bronze import BAR_COLUMNS
from spark.transforms.silver.adjustments import (
    PRICES,
    Explanation,
    Segment,
    allowed,
    explain,
    factor_intervals,
    usual_gap,
)
from spark.transforms.silver.price_jumps import RETURN_TOLERANCE, is_smoother, leaps_around, quiet_leaps, untraded_leaps

Span = tuple[date, date]
Numbers = tuple[float, float, float, float, float]
Source = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Download:
    """A file of one ticker: its rows of bronze.stooq_prices on sessions, and what the ledger says of it.

    `span` are its first and last date, needed where the rows are cut to a part of them. `has_volume` is false where no
    row has one, so that none of them is complete.
    """

    ticker: str
    file_sha256: str
    fetched_ts: datetime
    source_name: str
    span: Span
    bars: pl.DataFrame
    has_volume: bool = True


@dataclass(frozen=True, kw_only=True)
class Known:
    """What speaks for a ticker before a download: one bar per session, and what is remembered about some of them.

    `disputed` are statements of the newest download that did not prevail, at the present price level: said again by a
    later download, they do. `unfinished` are sessions whose bar was the last one of the file that said it.

    `origins` is the file (name, hash) that said a session's bar first, `said_once` the sessions that no other used file
    has said since. `refused` are the newest downloads that were rejected, or of which a stretch was left aside: they are
    votes about that. `unproven` are sessions without a bar, because a leap at the edge of a file was said once only; what was
    said of them is among `disputed`.
    """

    bars: pl.DataFrame
    span: Span | None = None
    disputed: Mapping[date, Numbers] = field(default_factory=dict)
    unfinished: frozenset[date] = frozenset()
    origins: Mapping[date, Source] = field(default_factory=dict)
    said_once: frozenset[date] = frozenset()
    refused: tuple[Download, ...] = ()
    unproven: frozenset[date] = frozenset()


NOTHING = Known(bars=pl.DataFrame(schema={"session_date": pl.Date, **dict.fromkeys(BAR_COLUMNS, pl.Float64)}))


def believed_bars(known: Known, download: Download, common: pl.DataFrame, found: Explanation) -> frozenset[int]:
    """Positions of the bars in dispute for which the file is believed.

    The known bar was not finished, an earlier download said the same, enough refused downloads say the same, or one
    download alone has said the known bars and they jump without trading where the file's do not. Of bars that leap so in
    the file and not in what is known, votes convince nobody.
    """
    if not found.disputed or download.span[1] < (known.span or download.span)[1]:
        return frozenset()
    dates: list[date] = common["session_date"].to_list()
    votes = count_votes(known, download)
    before = _levelled(known, download, common, found)
    usual = usual_gap(before)
    taken: set[int] = set()
    for stretch in stretches(found.disputed):
        days = [dates[position] for position in stretch]
        if _leaps_falsely(before, download.bars, days):
            continue
        if known.said_once.issuperset(days) and is_smoother(download.bars, before, days, usual):
            taken.update(stretch)
            continue
        is_long = len(stretch) > limits.LONGEST_DISPUTED_STRETCH
        taken.update(
            position
            for position, day in zip(stretch, days, strict=True)
            if votes[day] >= (limits.VOTES if day in known.said_once else limits.VOTES_AGAINST_CONFIRMED)
            or _is_finished(known, common, found, position)
            or (not is_long and _is_said_again(known, common, found, position))
        )
    return frozenset(taken)


def _levelled(known: Known, download: Download, common: pl.DataFrame, found: Explanation) -> pl.DataFrame:
    """The known bars on the file's dates, prices moved to the file's level by the staircase."""
    bounds = [common["session_date"][segment.begin] for segment in found.segments[1:]]
    bars = within(known, download)
    steps = np.searchsorted(np.array(bounds, dtype="datetime64[D]"), bars["session_date"].to_numpy(), side="right")
    ratios = pl.Series(np.array([segment.ratio for segment in found.segments])[steps])
    return bars.with_columns(pl.col(name) * ratios for name in PRICES)


def count_votes(known: Known, download: Download) -> Counter[date]:
    """How many downloads say a session's bar as this one does: itself, and the refused ones that agree with it there."""
    votes = Counter(download.bars["session_date"].to_list())
    for refused in known.refused:
        common = common_sessions(replace(known, bars=refused.bars), download)
        found = None if common.is_empty() else explain(common, years_after=years_between(refused.span[1], download.span[1]))
        if found is not None:
            aside = set(found.disputed)
            votes.update(day for position, day in enumerate(common["session_date"].to_list()) if position not in aside)
    return votes


def stretches(positions: Iterable[int]) -> list[list[int]]:
    """Positions in order as stretches: a few bars between two of them agree by chance."""
    stretches: list[list[int]] = []
    for position in positions:
        if stretches and position - stretches[-1][-1] <= limits.STEP_SESSIONS:
            stretches[-1].append(position)
        else:
            stretches.append([position])
    return stretches


def _leaps_falsely(before: pl.DataFrame, stated: pl.DataFrame, days: Sequence[date]) -> bool:
    """Whether the file's bars leap without trading into the days, within them, or out of them, where the known ones do not."""
    return bool(leaps_around(stated, days)) and not leaps_around(before, days)


def _is_said_again(known: Known, common: pl.DataFrame, found: Explanation, position: int) -> bool:
    """Whether an earlier used download said what this one says."""
    day = common["session_date"][position]
    if day not in known.disputed:
        return False
    segment = next(each for each in found.segments if position < each.end)
    stated = common.select(f"{name}_new" for name in PRICES).to_numpy()[position : position + 1]
    lowest, highest = factor_intervals(np.array([known.disputed[day][:4]]), stated, limits.TOLERANCE_UNITS)
    return bool(max(lowest[0], segment.lowest) <= min(highest[0], segment.highest))


def _is_finished(known: Known, common: pl.DataFrame, found: Explanation, position: int) -> bool:
    """Whether the known bar was the last one of its file, and this is its end."""
    row = common.row(position, named=True)
    if row["session_date"] not in known.unfinished:
        return False
    segment = next(each for each in found.segments if position < each.end)
    return _finishes(
        np.array([row[name] for name in PRICES]),
        np.array([row[f"{name}_new"] for name in PRICES]),
        segment,
        row["volume_shares"],
        row["volume_shares_new"],
    )


def _finishes(known: np.ndarray, stated: np.ndarray, segment: Segment, volume: float, stated_volume: float) -> bool:
    """Whether the stated bar is the known one after more trading: same open, a range as wide or wider, more volume."""
    lowest, highest = factor_intervals(known[None, :1], stated[None, :1], limits.TOLERANCE_UNITS)
    same_open = max(lowest[0], segment.lowest) <= min(highest[0], segment.highest)
    level, slack = known * segment.ratio, 1e-5
    wider = stated[1] >= level[1] * (1 - slack) and stated[2] <= level[2] * (1 + slack)
    return bool(same_open and wider and stated_volume > volume * (segment.volume_ratio or 1.0))


def lacks_footing(
    known: Known,
    download: Download,
    common: pl.DataFrame,
    found: Explanation,
    believed: frozenset[int],
) -> bool:
    """Whether what stays in dispute speaks against the whole file.

    There is too much of it, a stretch of it leaps as no correction does, or it is the newest common bars, so that what
    follows has no footing.
    """
    open_ = [position for position in found.disputed if position not in believed]
    most = allowed(common.height)
    if len(stretches(open_)) > most or len(open_) > max(most, int(limits.SET_ASIDE_SHARE * common.height)):
        return True
    newest = common.height - 1
    if {newest - 1, newest} <= set(open_):
        return True
    dates: list[date] = common["session_date"].to_list()
    before = _levelled(known, download, common, found)
    if any(
        len(stretch) > limits.LONGEST_DISPUTED_STRETCH
        and _leaps_falsely(before, download.bars, [dates[position] for position in stretch])
        for stretch in stretches(open_)
    ):
        return True
    if newest not in open_:
        return False
    ratio = common["close_usd_new"][newest] / common["close_usd"][newest] / found.segments[-1].ratio
    return not 1 - limits.UNFINISHED_MOVE <= ratio <= 1 + limits.UNFINISHED_MOVE


def left_at_the_old_level(
    known: Known, download: Download, common: pl.DataFrame, ratio: float, proven: frozenset[date] = frozenset()
) -> list[date]:
    """Sessions after the common ones from the one on at which the file undoes its own split, `ratio`, without trading.

    Its bars before are restated, those are not yet; nor are they while a later file still leaps at a session for which
    there is a statement but no bar. Leaps at `proven` sessions stand.
    """
    stated = download.bars
    begin = int((stated["session_date"] <= common["session_date"][-1]).sum())
    opened, close = stated["open_usd"].to_numpy(), stated["close_usd"].to_numpy()
    days: list[date] = stated["session_date"].to_list()
    held_before = known.disputed.keys() - set(known.bars["session_date"]) - known.unproven
    undone = [
        position
        for position in quiet_leaps(stated, begin, stated.height, limits.QUIET_LEAP)
        if days[position] not in proven
        and (abs(np.log(opened[position] / close[position - 1] * ratio)) <= RETURN_TOLERANCE or days[position] in held_before)
    ]
    return days[undone[0] :] if undone else []


def other_level_from(
    known: Known, download: Download, common: pl.DataFrame, proven: frozenset[date] = frozenset()
) -> date | None:
    """The first session after the common ones at which the file leaps as no market does; None when it goes on.

    Another download that says the same speaks for a leap, unless it is too far for any vote. Leaps at `proven` sessions stand.
    """
    stated = download.bars
    begin = int((stated["session_date"] <= common["session_date"][-1]).sum())
    days: list[date] = stated["session_date"].to_list()
    quiet = quiet_leaps(stated, begin, stated.height, limits.QUIET_LEAP)
    near_the_end = max(begin, stated.height - limits.EDGE_SESSIONS)
    untraded = [position for position in untraded_leaps(stated) if position >= near_the_end]
    leaps = [position for position in sorted({*quiet, *untraded}) if days[position] not in proven]
    if not leaps:
        return None
    too_far = quiet_leaps(stated, begin, stated.height, limits.CONTINUATION_LEAP)
    votes = count_votes(known, download)
    return next((days[position] for position in leaps if position in too_far or votes[days[position]] < limits.VOTES), None)


def common_sessions(known: Known, download: Download) -> pl.DataFrame:
    """Sessions that both have, in order; the download's columns have the suffix `_new`."""
    return known.bars.join(download.bars, on="session_date", suffix="_new").sort("session_date")


def within(known: Known, download: Download) -> pl.DataFrame:
    """Known bars on the file's dates: what lies outside may not have been read."""
    return known.bars.filter(pl.col("session_date").is_between(*download.span))


def years_between(earlier: date, later: date) -> float:
    """Years from one date to a later one; 0 where it is not later."""
    return max(0, (later - earlier).days) / 365.25
