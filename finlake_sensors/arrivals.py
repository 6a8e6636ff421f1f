"""Dropped Stooq files: what is new or changed is ingested, judged and carried to gold in one run."""

from datetime import UTC, datetime

import dagster as dg

from finlake_assets.jobs import range_tags
from finlake_assets.partitions import Timeline
from finlake_clients.stooq.file_names import vendor_code_of
from finlake_resources.resources import LakeResource, UniverseResource
from finlake_resources.vendors import StooqResource
from finlake_sensors.plans import arrival_span, plan_arrivals
from spark.contracts.runs import BY_SESSION
from spark.contracts.universe import Universe

CAUSE = {"finlake/cause": "arrival"}
# Files that were dropped speak for themselves; the vendor is asked by the schedule after the close.
WITHOUT_VENDOR = {"ops": {"bronze__stooq_prices": {"config": {"asks_vendor": False}}}}


def build(timeline: Timeline, default_status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """The sensor over the drop location."""

    @dg.sensor(
        name="stooq_arrivals",
        job_name=BY_SESSION,
        minimum_interval_seconds=30,
        default_status=default_status,
        description="Requests one run for dropped files that are new or changed and no longer grow.",
    )
    def stooq_arrivals(
        context: dg.SensorEvaluationContext,
        jobs: LakeResource,
        stooq: StooqResource,
        universe: UniverseResource,
    ) -> dg.SensorResult:
        plan = plan_arrivals(stooq.list_drop(), context.cursor)
        if not plan.arrived:
            growing = ", ".join(plan.waiting)
            reason = f"waiting until these no longer grow: {growing}" if growing else "nothing new"
            return dg.SensorResult(skip_reason=reason, cursor=plan.cursor)
        tickers = universe.read()
        symbols = tickers_of(plan.arrived, tickers)
        span = arrival_span(
            symbols,
            jobs.last_known_session(symbols),
            timeline.newest_session(datetime.now(UTC)),
            timeline.history_start,
            timeline.calendar,
        )
        request = dg.RunRequest(
            run_key=f"arrival:{plan.key}",
            run_config=WITHOUT_VENDOR,
            tags={**CAUSE, **range_tags(span.start.isoformat(), span.end.isoformat())},
        )
        return dg.SensorResult(run_requests=[request], cursor=plan.cursor)

    return stooq_arrivals


def tickers_of(names: tuple[str, ...], universe: Universe) -> list[str]:
    """The universe's tickers that files of these names concern; an archive concerns all of them."""
    if any(name.lower().endswith(".zip") for name in names):
        return list(universe.symbols)
    codes = {vendor_code_of(name) for name in names}
    return [symbol for code, symbol in universe.stooq_codes.items() if code in codes]
