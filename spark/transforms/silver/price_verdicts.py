"""The verdict on one download, from what is known of its ticker: a row for each step of its staircase of factors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
import polars as pl

from spark.contracts import price_limits as limits
from spark.contracts.bronze import BAR_COLUMNS
from spark.contracts.silver import PRICE_RESTATEMENTS
from spark.transforms.polars_schema import conform, polars_schema
from spark.transforms.silver.adjustments import (
    PRICES,
    Explanation,
    allowed,
    explain,
    factor_intervals,
    is_minority,
    is_small_share,
    kind_of,
)
from spark.transforms.silver.price_edges import edges_of_first, edges_of_later, takes_a_leap_away
from spark.transforms.silver.price_votes import (
    Download,
    Known,
    believed_bars,
    common_sessions,
    count_votes,
    lacks_footing,
    left_at_the_old_level,
    other_level_from,
    within,
    years_between,
)
from spark.transforms.silver.verdict_messages import command, objection_message, remedy, step_message, unproven_message


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person decided about a file: `accept`, `drop`, or `judge` (leave it to the rule again)."""

    decision: str
    decided_ts: datetime


def judge(known: Known, download: Download, decision: Decision | None = None) -> pl.DataFrame:
    """Rows of silver.price_restatements for one download.

    Incomplete and impossible rows are left out of the comparison. The verdict is

    - `first`: nothing was known; used as it is, but for leaps at its edges;
    - `consistent`: common bars are equal within the vendor's rounding;
    - `restated`: the ratio is a staircase of splits and dividends; one row per step;
    - `accepted`: a person decided that the file speaks as it is;
    - `partial`: as restated, but the file lacks known sessions, so two price levels would be mixed; it changes nothing
      and waits for the whole history;
    - `older`: the file was made before what is known; it changes nothing;
    - `rejected`: anything else, also a file without a possible bar or a common session; it changes nothing;
    - `dropped`: a person decided that it takes no part.

    Of an accepted download, `carried_dates` are sessions for which the value known before stands, times the step's
    ratio: its own bar is in dispute, or missing from a restated file. `corrected_dates` are those whose changed bar is
    believed though no adjustment explains it: the last known bar was not finished, enough other downloads said the same,
    or the known bars, said by one download alone, leap without trading where the file's do not.

    `unproven_dates` are sessions at an edge of the file that leap without the trading for it: nothing is used of them until
    another download says the same.

    `recompute_from_date` is the earliest session up to the last known one whose bar this download changes by a single
    bit or inserts; null when there is none.
    """
    rows = _decided(known, download, decision) or _judged(known, download)
    frame = pl.DataFrame(rows, schema_overrides=polars_schema(PRICE_RESTATEMENTS), infer_schema_length=None)
    return conform(
        frame.with_columns(
            ticker=pl.lit(download.ticker),
            file_sha256=pl.lit(download.file_sha256),
            fetched_ts=pl.lit(download.fetched_ts),
            source_name=pl.lit(download.source_name),
            rule_version=pl.lit(limits.RULE_VERSION),
            decided_ts=pl.lit(None if decision is None else decision.decided_ts, pl.Datetime("us", "UTC")),
        ),
        PRICE_RESTATEMENTS,
    )


def _decided(known: Known, download: Download, decision: Decision | None) -> list[dict[str, object]] | None:
    """The verdict that a person gave; None where the rule is to judge."""
    if decision is not None and decision.decision == "drop":
        return [
            _row(
                "dropped",
                f"{download.source_name} was dropped by a person; to leave it to the rule again: "
                f"{command('judge', download.source_name, download)}",
            )
        ]
    if decision is None or decision.decision != "accept" or download.bars.is_empty():
        return None
    if known.span is None:
        return [_row("first", f"first download of {download.ticker}; {download.source_name} was accepted as it is by a person")]
    common = common_sessions(known, download)
    ratio = None if common.is_empty() else float(np.median((common["close_usd_new"] / common["close_usd"]).to_numpy()))
    return [
        _row(
            "accepted",
            f"{download.source_name} was accepted as it is by a person",
            ratio=ratio,
            segment_start_date=common["session_date"].min() or download.span[0],
            recompute_from_date=_first_change(known, download, common, {}),
            compared_count=common.height,
        )
    ]


def _judged(known: Known, download: Download) -> list[dict[str, object]]:
    """The rule's verdict as values of the contract's columns, without those that name the download."""
    name, ticker, stated = download.source_name, download.ticker, download.bars
    if stated.is_empty() and not download.has_volume:
        return [
            _row(
                "rejected",
                f"{name}: its bars have no volume, and without it a split is not told from a dividend; drop a "
                f"file of {ticker} that has volumes, as Stooq's files of shares have",
            )
        ]
    if stated.is_empty():
        return [_row("rejected", f"{name}: no complete, possible bar of {ticker} on a session; download it again")]
    if known.span is None:
        waiting = edges_of_first(stated).waiting
        said = [f"first download of {ticker}: {stated.height} bars, {stated['session_date'][0]} to {stated['session_date'][-1]}"]
        said += [unproven_message(waiting, download)] if waiting else []
        return [_row("first", "; ".join(said), unproven_dates=",".join(map(str, waiting)) or None)]
    common = common_sessions(known, download)
    if common.is_empty():
        return [
            _row(
                "rejected",
                f"{name}: no session in common with the known prices of {ticker}, {known.span[0]} to "
                f"{known.span[1]}, so nothing can be compared; download from an earlier date",
            )
        ]
    found, believed = _explained(known, download, common, is_small_share)
    is_newer = download.span[1] > known.span[1] or (
        found is not None and takes_a_leap_away(known, common, found.segments[-1].ratio)
    )
    if not is_newer and (found is None or found.segments[0].ratio > 1) and (factor := _older_by(common)) is not None:
        return [
            _row(
                "older",
                f"{name} was made before what is known of {ticker}: its prices are {factor:.6g} times the "
                "known ones, without a later session; it is not used and nothing need be done",
                compared_count=common.height,
            )
        ]
    if found is None:
        found, believed = _explained(known, download, common, is_minority)
    if found is None:
        beside, usual = _beside_usual_factor(common)
        days = beside or common["session_date"].to_list()
        wrong = objection_message(common, ticker, beside, usual)
        return [
            _row(
                "rejected",
                f"{name}: {wrong}; {remedy(known, download, days)}",
                compared_count=common.height,
            )
        ]
    edges = edges_of_later(known, download, common, found)
    proven_bars = stated.filter(~pl.col("session_date").is_in(list(edges.waiting))) if edges.waiting else stated
    rest = replace(download, bars=proven_bars)
    held_back = left_at_the_old_level(known, rest, common, found.segments[-1].ratio, edges.proven)
    if not held_back and (leap := other_level_from(known, rest, common, edges.proven)) is not None:
        return [
            _row(
                "rejected",
                f"{name}: from {leap} on, after the sessions known of {ticker}, it goes on at another price "
                "level on a day of ordinary range and volume; "
                f"{remedy(known, download, common['session_date'])}",
                compared_count=common.height,
            )
        ]
    missing = [] if len(found.segments) == 1 and found.segments[0].is_unchanged else _missing(known, download)
    if missing is None or len(missing) > allowed(common.height):
        return [
            _row(
                "partial",
                f"{name}: it restates prices of {ticker} (first factor {found.segments[0].ratio:.6g}) but "
                f"holds {stated.height} bars from {download.span[0]} to {download.span[1]} of "
                f"{known.span[0]} to {known.span[1]}; the rest would stay on the old price level. "
                f"Download the whole history of {ticker} and drop it",
                compared_count=common.height,
            )
        ]
    return _accepted(known, download, common, found, believed, missing, held_back, edges.waiting)


def _explained(
    known: Known,
    download: Download,
    common: pl.DataFrame,
    is_enough: Callable[[Sequence[int], int], bool],
) -> tuple[Explanation | None, frozenset[int]]:
    """The staircase of a file that is used, and the bars beside it for which it is believed; None where too much is open."""

    def found_by(*, is_repeated: bool) -> Explanation | None:
        return explain(
            common,
            years_after=years_between((known.span or download.span)[1], download.span[1]),
            earliest=_earliest(known, download),
            is_repeated=is_repeated,
            is_enough=is_enough,
        )

    found = found_by(is_repeated=False)
    if found is None and not common.filter(pl.col("volume_shares") > 0, pl.col("volume_shares_new") > 0).height:
        votes = count_votes(known, download)
        if all(votes[day] >= limits.VOTES for day in common["session_date"]):
            found = found_by(is_repeated=True)
    if found is None:
        return None, frozenset()
    believed = believed_bars(known, download, common, found)
    return (None, frozenset()) if lacks_footing(known, download, common, found, believed) else (found, believed)


def _earliest(known: Known, download: Download) -> int:
    """How many common sessions are the first of all history: none where the file does not reach back so far."""
    if known.span is None or download.span[0] > known.span[0]:
        return 0
    days = download.bars["session_date"]
    return max(0, limits.EARLIEST_SESSIONS - int((days < known.bars["session_date"][0]).sum()))


def _accepted(
    known: Known,
    download: Download,
    common: pl.DataFrame,
    found: Explanation,
    believed: frozenset[int],
    missing: list[date],
    held_back: list[date],
    waiting: Sequence[date],
) -> list[dict[str, object]]:
    """One row per step of a staircase; one row for unchanged prices."""
    dates: list[date] = common["session_date"].to_list()
    bounds = [dates[segment.begin] for segment in found.segments[1:]]
    corrected = {dates[position] for position in believed | _agreed(common, found)}
    left_aside = {dates[position] for position in found.disputed} - corrected | set(missing) | set(held_back)
    factors = {
        day: next((segment for segment, bound in zip(found.segments, bounds, strict=False) if day < bound), found.segments[-1])
        for day in left_aside | corrected
    }
    changed_from = _first_change(
        known, download, common, {day: (factors[day].ratio, factors[day].volume_ratio) for day in left_aside}
    )
    is_consistent = len(found.segments) == 1 and found.segments[0].is_unchanged
    rows = []
    for number, segment in enumerate(found.segments):
        following = found.segments[number + 1] if number + 1 < len(found.segments) else None
        own = {day for day, other in factors.items() if other is segment}
        aside, taken = sorted(own & left_aside), sorted(own & corrected)
        said = step_message(
            segment,
            following,
            dates,
            is_consistent=is_consistent,
            changed_from=changed_from,
            aside=[day for day in aside if day not in held_back],
            taken=taken,
        )
        if following is None and held_back:
            said.append(
                f"from {held_back[0]} on the file's bars are still at the level before a split, so they are not used: "
                f"download the whole history of {download.ticker} again later"
            )
        if following is None and waiting:
            said.append(unproven_message(waiting, download))
        rows.append(
            _row(
                "consistent" if is_consistent else "restated",
                "; ".join(said),
                segment_number=number,
                kind=kind_of(segment, following),
                ratio=segment.ratio,
                volume_ratio=segment.volume_ratio,
                segment_start_date=dates[segment.begin],
                boundary_date=None if following is None else dates[following.begin],
                recompute_from_date=changed_from,
                compared_count=segment.end - segment.begin,
                carried_dates=",".join(map(str, aside)) or None,
                corrected_dates=",".join(map(str, taken)) or None,
                unproven_dates=None if following is not None else ",".join(map(str, waiting)) or None,
            )
        )
    return rows


def _agreed(common: pl.DataFrame, found: Explanation) -> frozenset[int]:
    """Positions in dispute where both say the same, beside a dividend's factor: no third value is put between them."""
    known, stated = common.select(PRICES).to_numpy(), common.select(f"{name}_new" for name in PRICES).to_numpy()
    return frozenset(
        position
        for position in found.disputed
        if np.array_equal(known[position], stated[position])
        and abs(next(each.ratio for each in found.segments if position < each.end) - 1) <= limits.LARGE_STEP
    )


def _older_by(common: pl.DataFrame) -> float | None:
    """The first factor of a file that the known prices restate; None when they do not."""
    swapped = common.rename({name: f"{name}_new" for name in BAR_COLUMNS} | {f"{name}_new": name for name in BAR_COLUMNS})
    found = explain(swapped, years_after=0.0)
    return None if found is None or found.segments[0].is_unchanged else 1 / found.segments[0].ratio


def _beside_usual_factor(common: pl.DataFrame) -> tuple[list[date], float]:
    """Common sessions whose prices do not have the file's usual factor, and the factor."""
    known, stated = common.select(PRICES).to_numpy(), common.select(f"{name}_new" for name in PRICES).to_numpy()
    lowest, highest = factor_intervals(known, stated, limits.TOLERANCE_UNITS)
    usual = float(np.median(stated[:, 3] / known[:, 3]))
    return common.filter((lowest > usual) | (highest < usual))["session_date"].to_list(), usual


def _missing(known: Known, download: Download) -> list[date] | None:
    """Known sessions within the file's dates that it lacks; None when its dates do not span the known ones."""
    if known.span is not None and (download.span[0] > known.span[0] or download.span[1] < known.span[1]):
        return None
    missing: list[date] = within(known, download).join(download.bars, on="session_date", how="anti")["session_date"].to_list()
    return missing


def _row(verdict: str, message: str, **values: object) -> dict[str, object]:
    """One verdict row; what is not given is null, or 0 for counts."""
    return {
        "segment_number": 0,
        "verdict": verdict,
        "kind": None,
        "ratio": None,
        "volume_ratio": None,
        "segment_start_date": None,
        "boundary_date": None,
        "recompute_from_date": None,
        "compared_count": 0,
        "carried_dates": None,
        "corrected_dates": None,
        "unproven_dates": None,
        "message": message,
    } | values


def _first_change(
    known: Known, download: Download, common: pl.DataFrame, aside: Mapping[date, tuple[float, float | None]]
) -> date | None:
    """Earliest session up to the last known one whose bar the download changes or inserts; None when there is none.

    A bar in dispute counts as changed: it is flagged. `aside` are the sessions for which the known value stands, with the
    factors that move it.
    """
    changed = common.filter(pl.any_horizontal(pl.col(name) != pl.col(f"{name}_new") for name in BAR_COLUMNS))["session_date"]
    inserted = download.bars.join(known.bars, on="session_date", how="anti")["session_date"]
    # The last known session itself has no bar where a leap on it waited for this download.
    earlier = [day for day in inserted if known.span is not None and day <= known.span[1]]
    moved = [day for day, (ratio, _) in aside.items() if ratio != 1]
    return min([*changed, *earlier, *moved], default=None)
