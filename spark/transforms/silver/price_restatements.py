"""silver.price_restatements: how a download relates to what was known of the ticker before it.

Stooq's prices are adjusted for splits and dividends, so it multiplies history by a factor before each ex-date, late and
sometimes several at once. Between two downloads the ratio of the closes is therefore a staircase: constant up to each
ex-date (`adjustments`). A staircase of splits and dividends is a restatement; single bars beside it are in dispute and
the value that was known stands for them; anything else means that the file is not what it claims to be, or that the one
before it was not. Which of them is told by the next downloads: they are votes, also those that were not used.

A verdict follows from the downloads and the decisions of people alone: all bars of a file on sessions of the exchange,
in the order (fetched_ts, last_session_date, file_sha256), whatever window a run has and whatever arrived first.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
import polars as pl

from spark.contracts import price_limits as limits
from spark.contracts.bronze import BAR_COLUMNS
from spark.contracts.silver import ACCEPTED_VERDICTS, PRICE_RESTATEMENTS
from spark.transforms.polars_schema import conform, polars_schema
from spark.transforms.silver.adjustments import (
    PRICES,
    Explanation,
    Segment,
    allowed,
    explain,
    factor_intervals,
    is_minority,
    is_small_share,
    kind_of,
)
from spark.transforms.silver.price_votes import (
    NOTHING,
    Download,
    Known,
    Span,
    believed_bars,
    common_sessions,
    count_votes,
    lacks_footing,
    left_at_the_old_level,
    other_level_from,
    stretches,
    within,
    years_between,
)
from spark.transforms.silver.prices_daily import carried, is_possible


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person decided about a file: `accept`, `drop`, or `judge` (leave it to the rule again)."""

    decision: str
    decided_ts: datetime


def judge(known: Known, download: Download, decision: Decision | None = None) -> pl.DataFrame:
    """Rows of silver.price_restatements for one download.

    Incomplete and impossible rows are left out of the comparison. The verdict is

    - `first`: nothing was known;
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


def judge_all(
    downloads: pl.DataFrame,
    verdicts_so_far: pl.DataFrame,
    sessions: Sequence[date] | None = None,
    ledger: pl.DataFrame | None = None,
    decisions: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """All verdicts of one ticker, each download judged against the accepted ones before it.

    Downloads are taken in the order (fetched_ts, last_session_date, file_sha256): of downloads of one time the one that
    knows more sessions is the newer. Verdicts of `verdicts_so_far` are kept as far as they are those of the first
    downloads, given by the present rule and under the present decisions; from the first other download on all are judged
    (again). So a download that arrives late with an early time, a download that was withdrawn and a decision give the
    verdicts that they would have given from the beginning.

    `downloads` are the ticker's bronze.stooq_prices rows: all of them, or those of the dates that the downloads to be
    judged span, together with `ledger`, the ticker's bronze.stooq_downloads rows, which tell what lies outside. Rows on
    dates outside `sessions`, when given, take no part. `decisions` are the ticker's silver.price_decisions rows. Raises
    `ValueError` for more than one ticker.
    """
    tickers = downloads["ticker"].unique().sort().to_list()
    if len(tickers) > 1:
        raise ValueError(f"downloads of {', '.join(tickers)}: give one ticker at a time")
    usable = downloads if sessions is None else downloads.filter(pl.col("session_date").is_in(list(sessions)))
    possible = usable.filter(is_possible()).select("file_sha256", "session_date", *BAR_COLUMNS).sort("session_date")
    bars_by_file = {key[0]: rows.drop("file_sha256") for key, rows in possible.partition_by("file_sha256", as_dict=True).items()}
    with_volume = set(usable.filter(pl.col("volume_shares").is_not_null())["file_sha256"])
    with_rows = set(usable["file_sha256"])
    in_order = conform(verdicts_so_far, PRICE_RESTATEMENTS).sort("segment_number")
    rows_by_file = {key[0]: rows for key, rows in in_order.partition_by("file_sha256", as_dict=True).items()}
    named = files_of(downloads if ledger is None else ledger)
    by_file = standing_decisions(decisions)
    kept_count = kept(named, verdicts_so_far, by_file)
    known, verdicts = NOTHING, [conform(verdicts_so_far.head(0), PRICE_RESTATEMENTS)]
    for number, (fetched_ts, file_sha256, source_name, span) in enumerate(named):
        download = Download(
            ticker=tickers[0] if tickers else "",
            file_sha256=file_sha256,
            fetched_ts=fetched_ts,
            source_name=source_name,
            span=span,
            bars=bars_by_file.get(file_sha256, NOTHING.bars),
            has_volume=file_sha256 in with_volume or file_sha256 not in with_rows,
        )
        if number < kept_count:
            verdict = rows_by_file[file_sha256]
        else:
            verdict = judge(known, download, by_file.get(file_sha256)).sort("segment_number")
        verdicts.append(verdict)
        known = learnt(known, download, verdict)
    return pl.concat(verdicts)


File = tuple[datetime, str, str, Span]


def files_of(rows: pl.DataFrame) -> list[File]:
    """(fetched_ts, file_sha256, name, first and last date) of each file with rows, in the order in which files are judged.

    `rows` are one ticker's rows of bronze.stooq_prices or of bronze.stooq_downloads.
    """
    first, last = (
        ("first_session_date", "last_session_date") if "first_session_date" in rows.columns else ("session_date", "session_date")
    )
    name = "source_name" if "source_name" in rows.columns else "file_sha256"
    files = (
        rows.group_by("file_sha256")
        .agg(
            pl.col("fetched_ts").min(),
            name=pl.col(name).first(),
            first=pl.col(first).min(),
            last=pl.col(last).max(),
        )
        .drop_nulls("first")
        .sort("fetched_ts", "last", "file_sha256")
    )
    return [
        (fetched_ts, file_sha256, name, (begin, end))
        for fetched_ts, file_sha256, name, begin, end in files.select("fetched_ts", "file_sha256", "name", "first", "last").rows()
    ]


def standing_decisions(decisions: pl.DataFrame | None) -> dict[str, Decision]:
    """The last decision about each file of a ticker, by its hash."""
    if decisions is None:
        return {}
    newest = decisions.sort("decided_ts", "decision").select("file_sha256", "decision", "decided_ts").rows()
    return {file_sha256: Decision(decision=decision, decided_ts=decided_ts) for file_sha256, decision, decided_ts in newest}


def kept(files: Sequence[File], verdicts: pl.DataFrame, decisions: Mapping[str, Decision]) -> int:
    """How many files, from the first on, have the verdict that the present rule and decisions give them."""
    ends = {file_sha256: span[1] for _, file_sha256, _, span in files}
    judged = (
        verdicts.filter(pl.col("segment_number") == 0).select("fetched_ts", "file_sha256", "rule_version", "decided_ts").rows()
    )
    # A file that is no more stands before all others of its time: their verdicts may have followed from it.
    judged.sort(key=lambda row: (row[0], ends.get(row[1], date.min), row[1]))
    count = 0
    for (fetched_ts, file_sha256, _, _), verdict in zip(files, judged, strict=False):
        decision = decisions.get(file_sha256)
        if verdict != (fetched_ts, file_sha256, limits.RULE_VERSION, decision.decided_ts if decision else None):
            break
        count += 1
    return count


def learnt(known: Known, download: Download, verdict: pl.DataFrame) -> Known:
    """What is known once the download has its verdict."""
    if verdict["verdict"][0] == "rejected" and known.span is not None:
        return replace(known, refused=_with(known.refused, download))
    if verdict["verdict"][0] not in ACCEPTED_VERDICTS:
        return known
    span = download.span if known.span is None else (min(known.span[0], download.span[0]), max(known.span[1], download.span[1]))
    if known.bars.is_empty() and download.bars.is_empty():
        # Of a history of many files only those of the dates that are read matter.
        return replace(known, span=span)
    steps = verdict.select(
        "segment_start_date", "boundary_date", "ratio", "volume_ratio", "carried_dates", "corrected_dates"
    ).rows(named=True)
    left_aside = {day for step in steps for day in _dates(step["carried_dates"])}
    corrected = {day for step in steps for day in _dates(step["corrected_dates"])}
    spoken = download.bars.filter(~pl.col("session_date").is_in(list(left_aside))) if left_aside else download.bars
    standing = known.bars.join(spoken, on="session_date", how="anti")
    carried_rows = standing.clear()
    if left_aside:
        by_date = {row[0]: row[1:] for row in standing.filter(pl.col("session_date").is_in(list(left_aside))).rows()}
        moved = [(day, *carried(by_date[day], *_factors(steps, day))) for day in sorted(left_aside & by_date.keys())]
        carried_rows = pl.DataFrame(moved, schema=known.bars.schema, orient="row")
        standing = standing.join(carried_rows, on="session_date", how="anti")
    bars = pl.concat([standing, carried_rows, spoken]).sort("session_date")
    said = set(spoken["session_date"])
    is_newest = known.span is None or download.span[1] >= known.span[1]
    disputed = {
        day: carried(numbers, *_factors(steps, day))
        for day, numbers in known.disputed.items()
        if day not in corrected and (day in left_aside or day not in said)
    }
    if is_newest and left_aside:
        stated = download.bars.filter(pl.col("session_date").is_in(list(left_aside)))
        disputed |= {row[0]: row[1:] for row in stated.rows()}
    is_decided = verdict["verdict"][0] == "accepted"
    first_said = said if is_decided else (said - known.origins.keys()) | (corrected & said)
    return replace(
        known,
        bars=bars,
        span=span,
        disputed=disputed,
        origins={**known.origins, **dict.fromkeys(first_said, (download.source_name, download.file_sha256))},
        # What a person decided for counts as confirmed, and what was refused before it is settled.
        said_once=(known.said_once - said) | (frozenset() if is_decided else first_said),
        refused=() if is_decided else _with(known.refused, download) if _has_stretch(left_aside, known) else known.refused,
        unfinished=frozenset((known.unfinished - said) | ({download.span[1]} & said)),
    )


def _with(refused: tuple[Download, ...], download: Download) -> tuple[Download, ...]:
    return (*refused, download)[-limits.VOTES_AGAINST_CONFIRMED :]


def _has_stretch(left_aside: set[date], known: Known) -> bool:
    """Whether known sessions in dispute follow one another for longer than single corrections do."""
    if not left_aside:
        return False
    positions = np.flatnonzero(known.bars["session_date"].is_in(list(left_aside)).to_numpy()).tolist()
    return any(len(stretch) > limits.LONGEST_DISPUTED_STRETCH for stretch in stretches(positions))


def _dates(listed: str | None) -> list[date]:
    """The dates of a comma-separated list."""
    return [date.fromisoformat(day) for day in listed.split(",")] if listed else []


def _factors(steps: Sequence[Mapping[str, object]], day: date) -> tuple[float, float | None]:
    """The factors of price and volume that a verdict's steps give a session."""
    ratio, volume_ratio = 1.0, 1.0
    for step in steps:
        if step["boundary_date"] is None or day < step["boundary_date"]:  # type: ignore[operator]
            return step["ratio"] if step["ratio"] is not None else 1.0, step["volume_ratio"]  # type: ignore[return-value]
    return ratio, volume_ratio


def _decided(known: Known, download: Download, decision: Decision | None) -> list[dict[str, object]] | None:
    """The verdict that a person gave; None where the rule is to judge."""
    if decision is not None and decision.decision == "drop":
        return [
            _row(
                "dropped",
                f"{download.source_name} was dropped by a person; to leave it to the rule again: "
                f"{_command('judge', download.source_name, download)}",
            )
        ]
    if decision is None or decision.decision != "accept" or known.span is None or download.bars.is_empty():
        return None
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
        return [
            _row(
                "first",
                f"first download of {ticker}: {stated.height} bars, {stated['session_date'][0]} to {stated['session_date'][-1]}",
            )
        ]
    common = common_sessions(known, download)
    if common.is_empty():
        return [
            _row(
                "rejected",
                f"{name}: no session in common with the known prices of {ticker}, {known.span[0]} to "
                f"{known.span[1]}, so nothing can be compared; download from an earlier date",
            )
        ]
    is_newer = download.span[1] > known.span[1]
    found, believed = _explained(known, download, common, is_small_share)
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
        days = _beside(common)[0] or common["session_date"].to_list()
        return [
            _row("rejected", f"{name}: {_wrong(common, ticker)}; {_remedy(known, download, days)}", compared_count=common.height)
        ]
    held_back = left_at_the_old_level(known, download, common, found.segments[-1].ratio)
    if not held_back and (leap := other_level_from(known, download, common)) is not None:
        return [
            _row(
                "rejected",
                f"{name}: from {leap} on, after the sessions known of {ticker}, it goes on at another price "
                "level on a day of ordinary range and volume; "
                f"{_remedy(known, download, common['session_date'])}",
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
    return _accepted(known, download, common, found, believed, missing, held_back)


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
        said = _said(
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


def _said(
    segment: Segment,
    following: Segment | None,
    dates: list[date],
    *,
    is_consistent: bool,
    changed_from: date | None,
    aside: list[date],
    taken: list[date],
) -> list[str]:
    """The verdict of one step in words."""
    if is_consistent:
        said = [f"{segment.end - segment.begin} common sessions agree within the vendor's rounding"]
        said += [f"bars from {changed_from} on are new or differ in volume or digits"] if changed_from else []
    else:
        until = "on" if following is None else f"until before {dates[following.begin]}"
        what = "unchanged" if segment.is_unchanged else f"multiplied by {segment.ratio:.6g}"
        said = [f"prices from {dates[segment.begin]} {until} {what}"]
    if aside:
        said.append(f"on {_listed(aside)} the value known before stands until a later download says the same")
    if taken:
        said.append(f"on {_listed(taken)} the bar was corrected")
    return said


def _listed(days: Sequence[date]) -> str:
    return ", ".join(str(day) for day in days[:5]) + (f" and {len(days) - 5} more" if len(days) > 5 else "")


def _older_by(common: pl.DataFrame) -> float | None:
    """The first factor of a file that the known prices restate; None when they do not."""
    swapped = common.rename({name: f"{name}_new" for name in BAR_COLUMNS} | {f"{name}_new": name for name in BAR_COLUMNS})
    found = explain(swapped, years_after=0.0)
    return None if found is None or found.segments[0].is_unchanged else 1 / found.segments[0].ratio


def _missing(known: Known, download: Download) -> list[date] | None:
    """Known sessions within the file's dates that it lacks; None when its dates do not span the known ones."""
    if known.span is not None and (download.span[0] > known.span[0] or download.span[1] < known.span[1]):
        return None
    missing: list[date] = within(known, download).join(download.bars, on="session_date", how="anti")["session_date"].to_list()
    return missing


def _beside(common: pl.DataFrame) -> tuple[list[date], float]:
    """Common sessions whose prices do not have the file's usual factor, and the factor."""
    known, stated = common.select(PRICES).to_numpy(), common.select(f"{name}_new" for name in PRICES).to_numpy()
    lowest, highest = factor_intervals(known, stated, limits.TOLERANCE_UNITS)
    usual = float(np.median(stated[:, 3] / known[:, 3]))
    return common.filter((lowest > usual) | (highest < usual))["session_date"].to_list(), usual


_WITHOUT_PROOF = (
    f"(a dividend or spin-off of more than {1 - limits.LOWEST_DIVIDEND_FACTOR:.0%} that scales no volume looks like a fault: "
    "if the company announced one, use the file; a split of a ticker without volumes is believed when the next download "
    "says the same)"
)


def _wrong(common: pl.DataFrame, ticker: str) -> str:
    """What speaks against a file, in words: how many bars fit its usual factor, and where the first one does not."""
    beside, usual = _beside(common)
    if not beside:
        return f"prices of {ticker} are {usual:.6g} times the known ones, which no split or dividend explains {_WITHOUT_PROOF}"
    known, stated = (common.filter(session_date=beside[0])[name][0] for name in ("close_usd", "close_usd_new"))
    return (
        f"on {beside[0]} and {len(beside) - 1} more of {common.height} common sessions prices of "
        f"{ticker} changed in a way that no split or dividend explains (close {known:.6g} became "
        f"{stated:.6g}, elsewhere times {usual:.6g})"
    )


def _remedy(known: Known, download: Download, days: Iterable[date]) -> str:
    """What a person can do about a rejected file, as commands; `days` are those about which it disagrees."""
    origins = Counter(known.origins[day] for day in days if day in known.origins)
    # The first of equals, by name and hash: the verdict is the same whatever arrived first.
    name, sha256 = min(origins, key=lambda origin: (-origins[origin], origin), default=("", ""))
    if not sha256:
        return f"download the whole history of {download.ticker} again and drop it"
    return (
        f"a good later download is taken by itself: download the whole history of {download.ticker} again and drop it. "
        f"To use this file as it is: {_command('accept', download.source_name, download)}. If the earlier prices are "
        f"the wrong ones ({name}): "
        f'finlake prices drop {sha256[:12]} --ticker {download.ticker} --reason "why"'
    )


def _command(verb: str, name: str, download: Download) -> str:
    return f'finlake prices {verb} {download.file_sha256[:12]} --ticker {download.ticker} --reason "why"'


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
    earlier = [day for day in inserted if known.span is not None and day < known.span[1]]
    moved = [day for day, (ratio, _) in aside.items() if ratio != 1]
    return min([*changed, *earlier, *moved], default=None)
