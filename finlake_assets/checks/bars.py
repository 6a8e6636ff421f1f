"""Is every bar there that should be, and none that should not? Judged from silver.completeness, as of now."""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime

import dagster as dg

from finlake_assets.asset_specs import asset_key
from finlake_assets.outages import tried_again_after_outages
from finlake_assets.partitions import dates_of
from finlake_assets.report_metadata import samples_table
from finlake_resources.resources import LakeResource
from spark.contracts import silver
from spark.contracts.report import BarGap, Window

COMPLETE, NOT_EMPTY = "bars_are_complete", "no_session_is_empty"
ADDRESS = silver.COMPLETENESS.address
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present."""
    return datetime.now(UTC)


def build(holes: Collection[date] = (), clock: Clock = utc_now) -> list[dg.AssetChecksDefinition]:
    """Both checks. They stop nothing, because what is there is good; an empty session counts as an error all the same.

    Sessions in `holes` are known to be empty, because the sources have no bar of them: no run can fill them.
    """
    return [_complete(clock), _not_empty(holes, clock)]


def _complete(clock: Clock) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(ADDRESS),
        name=COMPLETE,
        description="Every ticker has a bar on every session on which it traded and whose bars are due, and on no other day.",
    )
    @tried_again_after_outages()
    def bars_are_complete(context: dg.AssetCheckExecutionContext, jobs: LakeResource) -> dg.AssetCheckResult:
        """A bar that is not due yet is listed and raises no alarm."""
        return complete(jobs.bar_gaps(clock(), _window(context)))

    return bars_are_complete


def _not_empty(holes: Collection[date], clock: Clock) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(ADDRESS),
        name=NOT_EMPTY,
        description="No session is without any bar once its bars are due, but those that the sources are known to lack.",
    )
    @tried_again_after_outages()
    def no_session_is_empty(context: dg.AssetCheckExecutionContext, jobs: LakeResource) -> dg.AssetCheckResult:
        """The exchange traded: a session without a single bar is a fault of the source, or of a run."""
        return not_empty(*jobs.empty_sessions(clock(), _window(context)), holes)

    return no_session_is_empty


def complete(gaps: Sequence[BarGap]) -> dg.AssetCheckResult:
    """The verdict over gaps, worst first."""
    amiss = [gap for gap in gaps if gap.state != "not_due"]
    counts: dict[str, int] = {}
    for gap in gaps:
        counts[gap.state] = counts.get(gap.state, 0) + gap.count
    summary = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in counts.items())
    first = f"; first {amiss[0].ticker} on {amiss[0].first_date}: {amiss[0].message}" if amiss else ""
    metadata: dict[str, dg.MetadataValue] = {"failing_rows": dg.IntMetadataValue(sum(gap.count for gap in amiss))}
    if gaps:
        metadata["offending_rows"] = samples_table(
            [
                {
                    "ticker": gap.ticker,
                    "state": gap.state,
                    "reason": gap.reason,
                    "bars": str(gap.count),
                    "first": str(gap.first_date),
                    "last": str(gap.last_date),
                }
                for gap in gaps
            ]
        )
    return dg.AssetCheckResult(
        passed=not amiss,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=metadata,
        description=f"bars {summary}{first}" if summary else "every expected bar is there",
    )


def not_empty(found: Sequence[date], judged_count: int, holes: Collection[date]) -> dg.AssetCheckResult:
    """The verdict over the sessions found empty, of so many; those in `holes` are listed and raise no alarm."""
    empty, known = [day for day in found if day not in holes], [day for day in found if day in holes]
    named = ", ".join(map(str, empty[:5])) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
    if empty:
        text = (
            f"no ticker has a bar on {named}; drop newer files or look why the source gave nothing, then run "
            f"`finlake run --from {empty[0]} --to {empty[-1]}`"
        )
    else:
        text = (
            f"{judged_count - len(known)} sessions have bars"
            if judged_count
            else "no session was judged: none was built, or none is due"
        )
    text += f"; the sources are known to have none of {', '.join(map(str, known))}" if known else ""
    return dg.AssetCheckResult(
        passed=not empty,
        description=text,
        metadata={
            "failing_rows": len(empty),
            "judged_rows": judged_count,
            **({"offending_rows": samples_table([{"session_date": str(day)} for day in empty])} if empty else {}),
        },
    )


def _window(context: dg.AssetCheckExecutionContext) -> Window | None:
    is_dated = context.has_partition_key or context.has_partition_key_range
    return dates_of(context.partition_key_range, silver.COMPLETENESS.window) if is_dated else None
