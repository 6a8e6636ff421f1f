"""A verdict in words, for people: what was found, where a file does not fit, and the command that helps."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date

import polars as pl

from spark.contracts import price_limits as limits
from spark.transforms.silver.adjustments import Segment
from spark.transforms.silver.price_votes import Download, Known


def step_message(
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


def unproven_message(waiting: Sequence[date], download: Download) -> str:
    """Which bars wait at an edge of the file, why, and what ends it."""
    return (
        f"on {_listed(waiting)}, at the edge of the file, the price leaps by × {limits.CONTINUATION_LEAP:g} or more without the "
        "trading for it, so nothing is published of these sessions until another download says the same, or something else; "
        f"to use them now: {command('accept', download.source_name, download)}"
    )


def _listed(days: Sequence[date]) -> str:
    return ", ".join(str(day) for day in days[:5]) + (f" and {len(days) - 5} more" if len(days) > 5 else "")


_WITHOUT_PROOF = (
    f"(a dividend or spin-off of more than {1 - limits.LOWEST_DIVIDEND_FACTOR:.0%} that scales no volume looks like a fault: "
    "if the company announced one, use the file; a split of a ticker without volumes is believed when the next download "
    "says the same)"
)


def objection_message(common: pl.DataFrame, ticker: str, beside: Sequence[date], usual: float) -> str:
    """What speaks against a file, in words: the sessions `beside` its usual factor, and the first one of them."""
    if not beside:
        return f"prices of {ticker} are {usual:.6g} times the known ones, which no split or dividend explains {_WITHOUT_PROOF}"
    known, stated = (common.filter(session_date=beside[0])[name][0] for name in ("close_usd", "close_usd_new"))
    return (
        f"on {beside[0]} and {len(beside) - 1} more of {common.height} common sessions prices of "
        f"{ticker} changed in a way that no split or dividend explains (close {known:.6g} became "
        f"{stated:.6g}, elsewhere times {usual:.6g})"
    )


def remedy(known: Known, download: Download, days: Iterable[date]) -> str:
    """What a person can do about a rejected file, as commands; `days` are those about which it disagrees."""
    origins = Counter(known.origins[day] for day in days if day in known.origins)
    # The first of equals, by name and hash: the verdict is the same whatever arrived first.
    name, sha256 = min(origins, key=lambda origin: (-origins[origin], origin), default=("", ""))
    if not sha256:
        return f"download the whole history of {download.ticker} again and drop it"
    return (
        f"a good later download is taken by itself: download the whole history of {download.ticker} again and drop it. "
        f"To use this file as it is: {command('accept', download.source_name, download)}. If the earlier prices are "
        f"the wrong ones ({name}): "
        f'finlake prices drop {sha256[:12]} --ticker {download.ticker} --reason "why"'
    )


def command(verb: str, name: str, download: Download) -> str:
    """The command by which a person decides about a file."""
    return f'finlake prices {verb} {download.file_sha256[:12]} --ticker {download.ticker} --reason "why"'
