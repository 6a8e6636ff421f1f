"""Do tables that count the same things agree? Compared by date, over a run's window or all that is published."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_assets.outages import tried_again_after_outages
from finlake_assets.partitions import dates_of
from finlake_assets.report_metadata import samples_table
from finlake_resources.resources import LakeResource
from spark.contracts import lake, silver
from spark.contracts.report import Window
from spark.contracts.sessions import LONGEST_CLOSURE_DAYS


@dataclass(frozen=True, kw_only=True)
class Count:
    """Rows of a table by a date column, or the sum of `measure` over them."""

    address: str
    by: str
    measure: str | None = None


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """`found`, the table that is judged, has on every one of its dates what `expected` says."""

    name: str
    found: Count
    expected: Count
    why: str


AGREEMENTS: tuple[Agreement, ...] = (
    *(
        Agreement(
            name="rows_equal_prices",
            found=Count(address=table.address, by="session_date"),
            expected=Count(address=silver.PRICES_DAILY.address, by="session_date"),
            why="one row per agreed bar, none lost and none invented",
        )
        for table in lake.TABLES.values()
        if table.rows_equal == silver.PRICES_DAILY.address
    ),
    Agreement(
        name="every_mention_counted",
        found=Count(address="gold.news_daily", by="session_date", measure="article_count"),
        expected=Count(address="silver.news_mentions", by="session_date"),
        why="an article counts in the session it was available for, and in no other",
    ),
    Agreement(
        name="kept_records_present",
        found=Count(address="bronze.gdelt_slots", by="day_date", measure="kept_count"),
        expected=Count(address="bronze.gdelt_gkg", by="day_date"),
        why="what the ledger says was kept is there",
    ),
)


@dataclass(frozen=True)
class Difference:
    """A date on which two tables disagree."""

    day: date
    found: int
    expected: int


def build() -> list[dg.AssetChecksDefinition]:
    """One check per agreement, on the table that is judged."""
    return [_check(agreement) for agreement in AGREEMENTS]


def differences(found: Mapping[date, int], expected: Mapping[date, int]) -> list[Difference]:
    """Dates on which the counts differ, oldest first, between the first and the last date that `found` has.

    Dates before and after are not there yet; whether they should be is a question of freshness.
    """
    if not found:
        return []
    first, last = min(found), max(found)
    days = sorted(day for day in found.keys() | expected.keys() if first <= day <= last)
    pairs = ((day, found.get(day, 0), expected.get(day, 0)) for day in days)
    return [Difference(day, here, there) for day, here, there in pairs if here != there]


def counted(jobs: LakeResource, count: Count, window: Window | None) -> dict[date, int]:
    """The count of the published rows by date, of the window or of all."""
    read = None if window is None else Window(start=window.start - timedelta(days=LONGEST_CLOSURE_DAYS), end=window.end)
    by_date = jobs.count_by_date(count.address, count.by, count.measure, read)
    return {day: rows for day, rows in by_date.items() if window is None or window.start <= day <= window.end}


def _check(agreement: Agreement) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(agreement.found.address),
        name=agreement.name,
        additional_deps=[asset_key(agreement.expected.address)],
        description=f"Agrees with {agreement.expected.address} on every date: {agreement.why}.",
    )
    @tried_again_after_outages()
    def agrees(context: dg.AssetCheckExecutionContext, jobs: LakeResource) -> dg.AssetCheckResult:
        """A date on which the counts differ names both."""
        is_dated = context.has_partition_key or context.has_partition_key_range
        kind = lake.table(agreement.found.address).window
        window = dates_of(context.partition_key_range, kind) if is_dated else None
        found = counted(jobs, agreement.found, window)
        wrong = differences(found, counted(jobs, agreement.expected, window))
        metadata: dict[str, dg.MetadataValue] = {
            "dates_compared": dg.IntMetadataValue(len(found)),
            "judged_rows": dg.IntMetadataValue(sum(found.values())),
            "dates_different": dg.IntMetadataValue(len(wrong)),
        }
        if wrong:
            metadata["first_differences"] = samples_table(
                [{"date": str(each.day), "found": str(each.found), "expected": str(each.expected)} for each in wrong]
            )
        named = f"; first on {wrong[0].day}: {wrong[0].found} instead of {wrong[0].expected}" if wrong else ""
        return dg.AssetCheckResult(
            passed=not wrong,
            metadata=metadata,
            description=f"{agreement.found.address} has no row here: nothing was compared"
            if not found
            else f"{len(wrong)} of {len(found)} dates differ from {agreement.expected.address}{named}",
        )

    return agrees
