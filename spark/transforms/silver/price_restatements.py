"""silver.price_restatements: how a download relates to what was known of the ticker before it.

Stooq's prices are adjusted for splits and dividends, so it multiplies history by a factor before each ex-date, late and
sometimes several at once. Between two downloads the ratio of the closes is therefore a staircase: constant up to each
ex-date. A staircase is a restatement; any other change means that the file is not what it claims to be.

Rounding: a printed price stands for an interval of one printed unit to each side (`vendor_rounding.resolution`; twice
the rounding error, because a vendor that rescales rounded prices rounds again). Two prices of a bar give the interval
of the factors that could lie between them, a bar's four prices the intersection of four, and a step of the staircase
the intersection of its bars. A step ends where that would become empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import polars as pl

from spark.contracts.bronze import BAR_COLUMNS
from spark.contracts.silver import ACCEPTED_VERDICTS, PRICE_RESTATEMENTS
from spark.transforms.polars_schema import conform, polars_schema
from spark.transforms.rolling import Floats
from spark.transforms.silver.prices_daily import is_possible
from spark.transforms.silver.vendor_rounding import resolution

MIN_SEGMENT_SESSIONS = 3
"""Common sessions that prove a step of the staircase.

A shorter step is believed only on a rising staircase towards 1, which dividends and splits make: NVIDIA's split of
2024-06-10 and its dividend of 2024-06-11 leave one session between them, and an ex-date on the last known session
leaves one after it. A lone changed bar in an unchanged series is no staircase.
"""

_PRICES = BAR_COLUMNS[:4]
_SPLIT_DISTANCE = 0.2
_SPLIT_TOLERANCE = 0.01
_VOLUME_TOLERANCE = 0.02
_SPLIT_DENOMINATORS = np.arange(1, 5)
_WITHDRAW = ("if the earlier download is the wrong one, delete its row from bronze.stooq_downloads and rebuild "
             "silver.price_restatements; otherwise download the whole history again")


_Span = tuple[date, date]


@dataclass(frozen=True, kw_only=True)
class _Segment:
    """Common sessions `[begin, end)` whose prices changed by one factor, which lies in `[lowest, highest]`."""

    begin: int
    end: int
    lowest: float
    highest: float
    ratio: float
    volume_ratio: float | None

    @property
    def is_unchanged(self) -> bool:
        """Whether the factor can be 1."""
        return self.lowest <= 1 <= self.highest


def judge(
    history: pl.DataFrame, download: pl.DataFrame, *, ticker: str, file_sha256: str, fetched_ts: datetime,
    span: _Span | None = None, known_span: _Span | None = None,
) -> pl.DataFrame:
    """Rows of silver.price_restatements for one download of `ticker`.

    `history` are the bars accepted before it, one per session, `download` the rows of the file; both need session_date
    and the five numbers of a bar. Incomplete and impossible rows are left out of the comparison. The verdict is

    - `first`: nothing was known;
    - `consistent`: every common bar is equal within the vendor's rounding;
    - `restated`: the ratio is a staircase; one row per step, with the step's own count of sessions;
    - `partial`: as restated, but the file lacks known sessions, so two price levels would be mixed; it changes nothing
      and waits for the whole history;
    - `rejected`: anything else, also a file without a possible bar or a common session; it changes nothing.

    `span` and `known_span` are first and last date of the file and of all accepted files, needed where the rows are cut
    to a part of them; by default they are those of the rows.

    `recompute_from_date` is the earliest session up to the last known one whose bar this download changes by a single
    bit or inserts, whatever the verdict; null when there is none. `kind` looks at the step over the boundary: `split`
    when it is further than 0.2 from 1 and within 1 % of n:m with m up to 4 while volume moves inversely, else
    `dividend`.
    """
    known = history.filter(is_possible()).select("session_date", *BAR_COLUMNS).sort("session_date")
    stated = download.filter(is_possible()).select("session_date", *BAR_COLUMNS).sort("session_date")
    if known_span is None and known.height:
        known_span = (known["session_date"][0], known["session_date"][-1])
    rows = _judge(ticker, known, stated, span, known_span)
    return conform(
        pl.DataFrame(rows, schema_overrides=polars_schema(PRICE_RESTATEMENTS), infer_schema_length=None).with_columns(
            ticker=pl.lit(ticker), file_sha256=pl.lit(file_sha256), fetched_ts=pl.lit(fetched_ts),
        ),
        PRICE_RESTATEMENTS,
    )


def judge_all(
    downloads: pl.DataFrame, verdicts_so_far: pl.DataFrame, sessions: Sequence[date] | None = None,
    ledger: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """All verdicts of one ticker, each download judged against the accepted ones before it.

    Downloads are taken in the order (fetched_ts, file_sha256). A verdict of `verdicts_so_far` is kept as long as every
    download before it has one; from the first new download on all are judged again, so a download that arrives late
    with an early time gives the same verdicts as one that arrived in time. A withdrawn download is forgotten by
    starting again from no verdicts.

    `downloads` are the ticker's bronze.stooq_prices rows: all of them, or those of the dates that the downloads to be
    judged span, together with `ledger`, the ticker's bronze.stooq_downloads rows, which tell what lies outside. Rows on
    dates outside `sessions`, when given, take no part. Raises `ValueError` for more than one ticker.
    """
    tickers = downloads["ticker"].unique().sort().to_list()
    if len(tickers) > 1:
        raise ValueError(f"downloads of {', '.join(tickers)}: give one ticker at a time")
    usable = downloads if sessions is None else downloads.filter(pl.col("session_date").is_in(list(sessions)))
    bars_by_file = {key[0]: rows for key, rows in usable.partition_by("file_sha256", as_dict=True).items()}
    rows_by_file = {key[0]: rows for key, rows in verdicts_so_far.partition_by("file_sha256", as_dict=True).items()}
    history = empty = downloads.head(0).select("session_date", *BAR_COLUMNS)
    known_span: _Span | None = None
    verdicts = [conform(verdicts_so_far.head(0), PRICE_RESTATEMENTS)]
    is_kept = True
    for fetched_ts, file_sha256, span in _files(downloads if ledger is None else ledger):
        bars = bars_by_file.get(file_sha256, empty).select("session_date", *BAR_COLUMNS)
        is_kept = is_kept and file_sha256 in rows_by_file
        verdict = conform(rows_by_file[file_sha256], PRICE_RESTATEMENTS) if is_kept else judge(
            history, bars, ticker=tickers[0], file_sha256=file_sha256, fetched_ts=fetched_ts, span=span,
            known_span=known_span)
        verdicts.append(verdict.sort("segment_number"))
        if verdict["verdict"][0] in ACCEPTED_VERDICTS:
            history = pl.concat([history, bars.filter(is_possible())]).unique(
                "session_date", keep="last", maintain_order=True)
            known_span = span if known_span is None else (min(known_span[0], span[0]), max(known_span[1], span[1]))
    return pl.concat(verdicts)


def _files(rows: pl.DataFrame) -> list[tuple[datetime, str, _Span]]:
    """(fetched_ts, file_sha256, first and last date) of each file with rows, in the order in which files are judged.

    `rows` are rows of bronze.stooq_prices or of bronze.stooq_downloads.
    """
    first, last = (("first_session_date", "last_session_date") if "first_session_date" in rows.columns
                   else ("session_date", "session_date"))
    files = rows.group_by("file_sha256").agg(
        pl.col("fetched_ts").min(), first=pl.col(first).min(), last=pl.col(last).max()).drop_nulls("first")
    return [(fetched_ts, file_sha256, (begin, end)) for fetched_ts, file_sha256, begin, end in
            files.sort("fetched_ts", "file_sha256").select("fetched_ts", "file_sha256", "first", "last").rows()]


def _judge(ticker: str, known: pl.DataFrame, stated: pl.DataFrame, span: _Span | None, known_span: _Span | None,
           ) -> list[dict[str, object]]:
    """The verdict as values of the contract's columns, without those that name the download."""
    if stated.is_empty():
        return [_row("rejected", f"{ticker}: the file has no complete, possible bar on a session; download it again")]
    if known_span is None:
        return [_row("first", f"first download of {ticker}: {stated.height} bars, {stated['session_date'][0]} to "
                              f"{stated['session_date'][-1]}")]
    common = known.join(stated, on="session_date", suffix="_new", maintain_order="left")
    if common.is_empty():
        return [_row("rejected", f"{ticker}: no session in common with the known prices, {known_span[0]} to "
                                 f"{known_span[1]}, so nothing can be compared; download from an earlier date")]
    dates = common["session_date"].to_list()
    lowest, highest = _factor_intervals(common)
    if (disagreeing := np.flatnonzero(lowest > highest)).size:
        return [_row("rejected", f"{ticker}: on {dates[disagreeing[0]]} and {disagreeing.size - 1} more sessions open, "
                                 f"high, low and close changed by different factors; {_WITHDRAW}",
                     compared_count=common.height)]
    changed_from = _first_change(known, stated, common, known_span[1])
    if bool(np.all((lowest <= 1) & (highest >= 1))):
        note = "" if changed_from is None else f"; bars from {changed_from} on are new or differ in volume or digits"
        return [_row("consistent", f"{common.height} common sessions agree within the vendor's rounding{note}",
                     ratio=_median(_close_ratios(common)), volume_ratio=_median(_volume_ratios(common)),
                     segment_start_date=dates[0], recompute_from_date=changed_from, compared_count=common.height)]
    segments = _segments(lowest, highest, common)
    if (unproven := _unproven(segments)) is not None:
        return [_row("rejected", f"{ticker}: closes are {unproven.ratio:.6g} times the known ones for only "
                                 f"{unproven.end - unproven.begin} session(s) from {dates[unproven.begin]} on, which "
                                 f"no split or dividend explains; {_WITHDRAW}", compared_count=common.height)]
    if (lacking := _lacking(known, stated, span, known_span)) is not None:
        return [_row("partial", f"{ticker}: the file restates prices (first factor {segments[0].ratio:.6g}) but lacks "
                                 f"{lacking}, which would stay on the old price level; download the whole history",
                     compared_count=common.height)]
    return [_restated_row(number, segments, dates, changed_from) for number in range(len(segments))]


def _lacking(known: pl.DataFrame, stated: pl.DataFrame, span: _Span | None, known_span: _Span) -> str | None:
    """Which known sessions a download does not hold, in words; None when it holds all."""
    if span is not None and (span[0] > known_span[0] or span[1] < known_span[1]):
        return f"known sessions: it holds {span[0]} to {span[1]} of {known_span[0]} to {known_span[1]}"
    missing = known.join(stated, on="session_date", how="anti", maintain_order="left")["session_date"]
    return f"{missing.len()} known session(s), first {missing[0]}" if missing.len() else None


def _row(verdict: str, message: str, **values: object) -> dict[str, object]:
    """One verdict row; what is not given is null, or 0 for counts."""
    return {
        "segment_number": 0, "verdict": verdict, "kind": None, "ratio": None, "volume_ratio": None,
        "segment_start_date": None, "boundary_date": None, "recompute_from_date": None, "compared_count": 0,
        "message": message,
    } | values


def _restated_row(number: int, segments: list[_Segment], dates: list[date], changed_from: date | None,
                  ) -> dict[str, object]:
    """The row of step `number` of a restatement."""
    segment = segments[number]
    following = segments[number + 1] if number + 1 < len(segments) else None
    boundary = None if following is None else dates[following.begin]
    span = f"from {dates[segment.begin]} " + ("on" if boundary is None else f"until before {boundary}")
    what = "unchanged" if segment.is_unchanged else f"multiplied by {segment.ratio:.6g}"
    return _row(
        "restated", f"prices {span} {what}",
        segment_number=number, kind=_kind(segment, following), ratio=segment.ratio, volume_ratio=segment.volume_ratio,
        segment_start_date=dates[segment.begin], boundary_date=boundary, recompute_from_date=changed_from,
        compared_count=segment.end - segment.begin,
    )


def _factor_intervals(common: pl.DataFrame) -> tuple[Floats, Floats]:
    """Lowest and highest factor that all four prices of each bar allow; lowest > highest when they disagree."""
    lowest, highest = np.zeros(common.height), np.full(common.height, np.inf)
    for name in _PRICES:
        old, new = common[name].to_numpy(), common[f"{name}_new"].to_numpy()
        old_unit, new_unit = resolution(old), resolution(new)
        # The hair's breadth keeps bounds that meet exactly from missing each other in floating point.
        lowest = np.maximum(lowest, (new - new_unit) / (old + old_unit) * (1 - 1e-12))
        highest = np.minimum(highest, (new + new_unit) / (old - old_unit) * (1 + 1e-12))
    return lowest, highest


def _segments(lowest: Floats, highest: Floats, common: pl.DataFrame) -> list[_Segment]:
    """Longest runs of common sessions, from the first on, that one factor explains."""
    runs: list[tuple[int, float, float]] = []
    for position, (lower, upper) in enumerate(zip(lowest.tolist(), highest.tolist(), strict=True)):
        if runs:
            begin, run_lower, run_upper = runs[-1]
            if max(run_lower, lower) <= min(run_upper, upper):
                runs[-1] = (begin, max(run_lower, lower), min(run_upper, upper))
                continue
        runs.append((position, lower, upper))
    close_ratios, volume_ratios = _close_ratios(common), _volume_ratios(common)
    ends = [begin for begin, _, _ in runs[1:]] + [common.height]
    return [
        _Segment(begin=begin, end=end, lowest=lower, highest=upper, ratio=float(np.median(close_ratios[begin:end])),
                 volume_ratio=_median(volume_ratios[begin:end]))
        for (begin, lower, upper), end in zip(runs, ends, strict=True)
    ]


def _close_ratios(common: pl.DataFrame) -> Floats:
    """New / known close of each common session."""
    ratios: Floats = (common["close_usd_new"] / common["close_usd"]).to_numpy()
    return ratios


def _volume_ratios(common: pl.DataFrame) -> Floats:
    """New / known volume of each common session; NaN unless both are positive."""
    old, new = common["volume_shares"].to_numpy(), common["volume_shares_new"].to_numpy()
    ratios = np.full(common.height, np.nan)
    np.divide(new, old, out=ratios, where=(old > 0) & (new > 0))
    return ratios


def _median(values: Floats) -> float | None:
    """Median of the defined values; None when there is none."""
    defined = values[~np.isnan(values)]
    return float(np.median(defined)) if defined.size else None


def _unproven(segments: list[_Segment]) -> _Segment | None:
    """The first step too short to be believed, see `MIN_SEGMENT_SESSIONS`; None when all are proven."""
    for number, segment in enumerate(segments):
        if segment.end - segment.begin >= MIN_SEGMENT_SESSIONS:
            continue
        rises = number > 0 and segments[number - 1].ratio < segment.ratio
        goes_on = segment.ratio < segments[number + 1].ratio if number + 1 < len(segments) else segment.lowest <= 1
        if not (rises and goes_on):
            return segment
    return None


def _kind(segment: _Segment, following: _Segment | None) -> str | None:
    """What the vendor applied at the segment's end, by the step over it; None where nothing was applied."""
    if following is None and segment.is_unchanged:
        return None
    ratio_after, volume_after = (1.0, 1.0) if following is None else (following.ratio, following.volume_ratio)
    step = segment.ratio / ratio_after
    if abs(step - 1) <= _SPLIT_DISTANCE or segment.volume_ratio is None or volume_after is None:
        return "dividend"
    multiples = max(step, 1 / step) * _SPLIT_DENOMINATORS
    is_whole = bool(np.any(np.abs(multiples / np.rint(multiples) - 1) <= _SPLIT_TOLERANCE))
    is_inverse = abs(segment.volume_ratio / volume_after * step - 1) <= _VOLUME_TOLERANCE
    return "split" if is_whole and is_inverse else "dividend"


def _first_change(known: pl.DataFrame, stated: pl.DataFrame, common: pl.DataFrame, last_known: date) -> date | None:
    """Earliest session up to the last known one whose bar `stated` changes or inserts; None when there is none."""
    changed = common.filter(pl.any_horizontal(pl.col(name) != pl.col(f"{name}_new") for name in BAR_COLUMNS))
    inserted = stated.join(known, on="session_date", how="anti").filter(pl.col("session_date") < last_known)
    earliest: date | None = pl.concat([changed["session_date"], inserted["session_date"]]).min()  # type: ignore[assignment]
    return earliest
