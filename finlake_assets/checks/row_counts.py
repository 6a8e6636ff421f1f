"""Has a day about as many rows as the same day of the weeks before it?

For tables whose rows nobody can count beforehand, news above all. What can be counted beforehand is judged exactly:
bars in silver.completeness, slots in bronze.gdelt_slots.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_assets.checks.across_tables import Count
from finlake_assets.outages import tried_again_after_outages
from finlake_assets.partitions import dates_of
from finlake_assets.report_metadata import samples_table
from finlake_resources.resources import LakeResource
from spark.contracts import lake
from spark.contracts.report import Window

NAME = "rows_as_usual"
TRAILING_WEEKS = 8
# Fewer weeks than this say nothing of what is usual; nor does a handful of rows.
LEAST_WEEKS, LEAST_USUAL_ROWS = 3, 20
# Holidays halve the news of a day; what is outside of these is a source or a parser that changed.
LEAST_SHARE, MOST_SHARE = 0.25, 4.0

# Has a row for each slot of each day that was built, also where there was none.
LEDGER = "bronze.gdelt_slots"
COUNTED = (Count(address="bronze.gdelt_gkg", by="day_date"), Count(address="silver.news_mentions", by="day_date"))


@dataclass(frozen=True)
class UnusualDay:
    """A date with far fewer, or far more, rows than the median of the same weekday in the weeks before."""

    day: date
    found: int
    usual: float


def build() -> list[dg.AssetChecksDefinition]:
    """One check for each counted table."""
    return [_check(count) for count in COUNTED]


def unusual(by_date: Mapping[date, int], days: Iterable[date]) -> tuple[list[UnusualDay], int]:
    """The unusual ones of `days`, oldest first, and how many of them could be judged.

    A date without rows counts as 0 rows; a date is judged when enough of the weeks before it have rows.
    """
    found, judged_count = [], 0
    for day in sorted(days):
        before = [
            by_date[earlier] for weeks in range(1, TRAILING_WEEKS + 1) if by_date.get(earlier := day - timedelta(weeks=weeks))
        ]
        if len(before) < LEAST_WEEKS or median(before) < LEAST_USUAL_ROWS:
            continue
        judged_count += 1
        rows, usual = by_date.get(day, 0), median(before)
        if not LEAST_SHARE * usual <= rows <= MOST_SHARE * usual:
            found.append(UnusualDay(day, rows, usual))
    return found, judged_count


def _check(count: Count) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(count.address),
        name=NAME,
        description=f"Between {LEAST_SHARE:g} and {MOST_SHARE:g} times the median of the same weekday in the {TRAILING_WEEKS} "
        "weeks before.",
    )
    @tried_again_after_outages()
    def rows_as_usual(context: dg.AssetCheckExecutionContext, jobs: LakeResource) -> dg.AssetCheckResult:
        """A warning: the world may have been unusual."""
        is_dated = context.has_partition_key or context.has_partition_key_range
        window = dates_of(context.partition_key_range, lake.table(count.address).window) if is_dated else None
        read = None if window is None else Window(start=window.start - timedelta(weeks=TRAILING_WEEKS), end=window.end)
        by_date = jobs.count_by_date(count.address, count.by, None, read)
        # Without a window the days that were built: of others nothing is known.
        return _result(*unusual(by_date, jobs.count_by_date(LEDGER, count.by) if window is None else window.days))

    return rows_as_usual


def _result(found: list[UnusualDay], judged_count: int) -> dg.AssetCheckResult:
    if found:
        worst = found[0]
        text = (
            f"{len(found)} of {judged_count} days are unusual; first {worst.day}: {worst.found} rows instead of about "
            f"{worst.usual:g}"
        )
    else:
        text = (
            f"{judged_count} days are as usual"
            if judged_count
            else (f"no day was judged: none has {LEAST_WEEKS} of the {TRAILING_WEEKS} weeks before it")
        )
    metadata: dict[str, dg.MetadataValue] = {
        "failing_rows": dg.IntMetadataValue(len(found)),
        "judged_days": dg.IntMetadataValue(judged_count),
    }
    if found:
        metadata["offending_rows"] = samples_table(
            [{"day": str(each.day), "found": str(each.found), "usual": f"{each.usual:g}"} for each in found]
        )
    return dg.AssetCheckResult(passed=not found, severity=dg.AssetCheckSeverity.WARN, description=text, metadata=metadata)
