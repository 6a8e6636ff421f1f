"""What is known of a ticker after a download has its verdict: its bars, whose they are, and what is still in dispute."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl

from spark.contracts import price_limits as limits
from spark.contracts.silver import ACCEPTED_VERDICTS
from spark.transforms.silver.price_votes import Download, Known, stretches
from spark.transforms.silver.prices_daily import carried


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
        "segment_start_date", "boundary_date", "ratio", "volume_ratio", "carried_dates", "corrected_dates", "unproven_dates"
    ).rows(named=True)
    left_aside = {day for step in steps for day in _dates(step["carried_dates"])}
    corrected = {day for step in steps for day in _dates(step["corrected_dates"])}
    unproven = {day for step in steps for day in _dates(step["unproven_dates"])}
    silent = left_aside | unproven
    spoken = download.bars.filter(~pl.col("session_date").is_in(list(silent))) if silent else download.bars
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
    remembered = unproven | (left_aside if is_newest else set())
    if remembered:
        stated = download.bars.filter(pl.col("session_date").is_in(list(remembered)))
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
        unproven=frozenset((known.unproven - said) | unproven),
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
