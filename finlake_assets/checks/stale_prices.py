"""Do the newest published bars of a ticker still trade, or do they repeat one price?"""

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_assets.outages import tried_again_after_outages
from finlake_assets.partitions import dates_of
from finlake_assets.report_metadata import samples_table
from finlake_resources.resources import LakeResource
from spark.contracts import silver
from spark.contracts.report import Window

NAME = "no_stale_tail"
# How far back a tail is counted that reaches before the window of a run.
BEFORE = timedelta(days=80)


def build() -> list[dg.AssetChecksDefinition]:
    """The check on the prices; it stops nothing: a share may be suspended."""

    @dg.asset_check(
        asset=asset_key(silver.PRICES_DAILY.address),
        name=NAME,
        description="No ticker's newest bars repeat one price over three sessions or more without a share traded.",
    )
    @tried_again_after_outages()
    def no_stale_tail(context: dg.AssetCheckExecutionContext, jobs: LakeResource) -> dg.AssetCheckResult:
        """A tail names its ticker, its sessions and its file."""
        is_dated = context.has_partition_key or context.has_partition_key_range
        window = dates_of(context.partition_key_range, silver.PRICES_DAILY.window) if is_dated else None
        tails = jobs.stale_tails(None if window is None else Window(start=window.start - BEFORE, end=window.end))
        return dg.AssetCheckResult(
            passed=not tails,
            severity=dg.AssetCheckSeverity.WARN,
            description=said(tails),
            metadata={"tickers": len(tails), **({"tails": samples_table(tails)} if tails else {})},
        )

    return [no_stale_tail]


def said(tails: Sequence[dict[str, str]]) -> str:
    """The tickers, since when, in which file, and what to look at."""
    if not tails:
        return "every ticker's newest bars trade"
    listed = " | ".join(
        f"{each['ticker']}: {each['count']} bars of one price without volume, {each['first_session']} to "
        f"{each['last_session']}, in {each['source_name']}"
        for each in tails[:5]
    )
    more = f" | and {len(tails) - 5} more" if len(tails) > 5 else ""
    return (
        f"{listed}{more}; if the share trades, download it again and drop the file; if it is suspended or delisted, say so "
        "in the universe file"
    )
