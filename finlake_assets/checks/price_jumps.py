"""Do published prices leap and come back as no market does? Asked before anything is computed from them."""

from datetime import timedelta

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_assets.outages import tried_again_after_outages
from finlake_assets.partitions import dates_of
from finlake_assets.report_metadata import samples_table
from finlake_resources.resources import LakeResource
from spark.contracts import silver
from spark.contracts.report import Window

NAME = "no_unexplained_jump"
# A stretch begins or ends in the window: forty sessions around it, and those that say what is usual, are read.
AROUND = timedelta(days=80)


def build() -> list[dg.AssetChecksDefinition]:
    """The check on the prices; blocking: a fault of a file must not become an indicator."""

    @dg.asset_check(
        asset=asset_key(silver.PRICES_DAILY.address),
        name=NAME,
        blocking=True,
        description="No stretch of bars leaps by x1.8 or more and comes back on days of ordinary range and volume.",
    )
    @tried_again_after_outages()
    def no_unexplained_jump(context: dg.AssetCheckExecutionContext, jobs: LakeResource) -> dg.AssetCheckResult:
        """A stretch names its file and the command that leaves it out."""
        is_dated = context.has_partition_key or context.has_partition_key_range
        window = dates_of(context.partition_key_range, silver.PRICES_DAILY.window) if is_dated else None
        around = None if window is None else Window(start=window.start - AROUND, end=window.end + AROUND)
        jumps = jobs.price_jumps(around)
        return dg.AssetCheckResult(
            passed=not jumps,
            description=said(jumps),
            metadata={"stretches": len(jumps), **({"jumps": samples_table(list(jumps))} if jumps else {})},
        )

    return [no_unexplained_jump]


def said(jumps: list[dict[str, str]]) -> str:
    """The stretches, and what can be done about the file."""
    if not jumps:
        return "no stretch of bars leaps and comes back without the trading that such a move needs"
    return " | ".join(
        f"{each['ticker']}: x{each['factor']} from {each['first_session']} to {each['last_session']}, on days of ordinary "
        f"range and volume, in {each['source_name']}; if that is no market, leave the file out: finlake prices drop "
        f'{each["file_sha256"][:12]} --ticker {each["ticker"]} --reason "why"'
        for each in jumps[:5]
    )
