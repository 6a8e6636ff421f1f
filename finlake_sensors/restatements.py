"""A restatement requests its own backfill: from the first session it changes to the newest, in one run."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from finlake_assets.jobs import DOWNLOAD_CHAIN, RESTATED_CHAIN, range_tags
from finlake_assets.partitions import Timeline
from finlake_resources.resources import LakeResource
from finlake_sensors.plans import PartitionRange, Skip, plan_months, plan_restatements
from spark.contracts.runs import BY_SESSION

if TYPE_CHECKING:
    from finlake_assets.jobs import AssetJob

CAUSE = {"finlake/cause": "restatement"}
IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
ANALYTICS = dg.AssetKey(["gold", "stock_analytics"])


def build(timeline: Timeline, default_status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """The sensor over the restatements that prices do not show yet."""

    @dg.sensor(
        name="price_restatements",
        job_name=BY_SESSION,
        minimum_interval_seconds=60,
        default_status=default_status,
        description="Requests the recomputation that an accepted restatement makes necessary.",
    )
    def price_restatements(context: dg.SensorEvaluationContext, jobs: LakeResource) -> dg.SensorResult:
        running = context.instance.get_runs(dg.RunsFilter(job_name=BY_SESSION, statuses=IN_FLIGHT), limit=1)
        pending = jobs.pending_restatements()
        plan = plan_restatements(
            pending,
            context.cursor,
            newest=timeline.newest_session(datetime.now(UTC)),
            history_start=timeline.history_start,
            is_running=bool(running),
            calendar=timeline.calendar,
        )
        if isinstance(plan.decision, Skip):
            return dg.SensorResult(skip_reason=plan.decision.reason, cursor=plan.cursor)
        config = {"ops": {"bronze__stooq_prices": {"config": {"whole_history": list(plan.whole_history)}}}}
        request = dg.RunRequest(
            run_key=f"restatement:{plan.key}",
            run_config=config if plan.whole_history else {},
            asset_selection=[*(DOWNLOAD_CHAIN if plan.whole_history else ()), *RESTATED_CHAIN],
            tags={**CAUSE, **range_tags(plan.decision.start.isoformat(), plan.decision.end.isoformat())},
        )
        return dg.SensorResult(run_requests=[request], cursor=plan.cursor)

    return price_restatements


def build_months(
    by_session: "AssetJob",
    by_month: "AssetJob",
    default_status: dg.DefaultSensorStatus,
) -> dg.SensorDefinition:
    """The sensor that lets finished months follow a run over their sessions."""

    @dg.run_status_sensor(
        name="months_follow_sessions",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[by_session],
        request_job=by_month,
        minimum_interval_seconds=60,
        default_status=default_status,
        description="Requests the months whose daily analytics a run has just written.",
    )
    def months_follow_sessions(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
        run = context.dagster_run
        if run.asset_selection and ANALYTICS not in run.asset_selection:
            return dg.SkipReason(f"run {run.run_id} wrote no daily analytics")
        span = span_of(run)
        months = plan_months(span, datetime.now(UTC)) if span else Skip(reason=f"run {run.run_id} has no partitions")
        if isinstance(months, Skip):
            return dg.SkipReason(months.reason)
        return dg.RunRequest(
            run_key=f"months:{run.run_id}",
            tags={"finlake/cause": "sessions", **range_tags(months.start.isoformat(), months.end.isoformat())},
        )

    return months_follow_sessions


def span_of(run: dg.DagsterRun) -> PartitionRange | None:
    """The sessions of a run, one or a range; None for a run without partitions."""
    only = run.tags.get("dagster/partition")
    start = run.tags.get("dagster/asset_partition_range_start", only)
    end = run.tags.get("dagster/asset_partition_range_end", only)
    if start is None or end is None:
        return None
    return PartitionRange(start=datetime.fromisoformat(start).date(), end=datetime.fromisoformat(end).date())
