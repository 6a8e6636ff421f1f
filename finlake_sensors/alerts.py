"""Alerts: the stream looked at once a minute, and runs that failed. Thin shells over alert_plans.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from finlake_assets.speed.health_checks import HEALTH_CHECKS, HealthCheck, WatchedStream, run_checks, utc_now
from finlake_assets.speed.reports import events, look
from finlake_assets.speed.rules import HealthLimits, HealthResult, Hours
from finlake_clients.alert_webhook import AlertNotSentError
from finlake_clients.calendar import TradingCalendar
from finlake_resources.resources import (
    AlertWebhookResource,
    ChangeCaptureResource,
    ClickHouseResource,
    KafkaResource,
    MarketResource,
    StateFolderResource,
)
from finlake_sensors.alert_plans import AlertPlan, alert_message, plan_alerts, remembered, run_message

REPORTED_EVERY = timedelta(minutes=15)
"""Each report is an event of every asset; alerts are looked for more often."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A result as a condition to be alerted. What cannot be asked counts as bad: this sensor runs where the stream should."""

    name: str
    is_bad: bool
    text: str


def build_stream_health(
    limits: HealthLimits,
    calendar: TradingCalendar,
    installation: str,
    default_status: dg.DefaultSensorStatus,
    *,
    hours: Hours,
) -> dg.SensorDefinition:
    """The sensor over the stream; `installation` names this installation in messages."""

    @dg.sensor(
        name="stream_health",
        minimum_interval_seconds=60,
        default_status=default_status,
        description="Looks at the stream: tells the webhook what turned bad or well again, and reports the stream's assets.",
    )
    def stream_health(
        context: dg.SensorEvaluationContext,
        market: MarketResource,
        topics: KafkaResource,
        capture: ChangeCaptureResource,
        clickhouse: ClickHouseResource,
        state_folder: StateFolderResource,
        alerts: AlertWebhookResource,
    ) -> dg.SensorResult:
        now, memory = utc_now(), remembered(context.cursor)
        stream = WatchedStream(
            market=market,
            topics=topics,
            capture=capture,
            clickhouse=clickhouse,
            state_folder=state_folder,
            limits=limits,
            calendar=calendar,
            hours=hours,
            now=now,
        )
        given = run_checks(HEALTH_CHECKS, stream)
        is_due = memory.reported_ts is None or now - memory.reported_ts >= REPORTED_EVERY
        # A service that is silent would be waited for once more by every report.
        is_reported = is_due and all(result.state != "unknown" for _, result in given)
        plan = plan_alerts(conditions(given), memory, now if is_reported else memory.reported_ts)
        reported = events(look(stream)[0], context.instance) if is_reported else []
        return dg.SensorResult(
            skip_reason=summary(given), asset_events=reported, cursor=send_news(context, alerts, plan, installation, now)
        )

    return stream_health


def build_run_failures(
    installation: str,
    dagster_url: str,
    default_status: dg.DefaultSensorStatus,
) -> dg.SensorDefinition:
    """The sensor over failed runs of this code location."""

    @dg.run_failure_sensor(
        name="run_failures",
        minimum_interval_seconds=60,
        default_status=default_status,
        description="Tells the webhook of every run that failed, once.",
    )
    def run_failures(context: dg.RunFailureSensorContext, alerts: AlertWebhookResource) -> None:
        run = context.dagster_run
        steps = [event.step_key for event in context.get_step_failure_events() if event.step_key]
        message = run_message(
            job=run.job_name,
            run_id=run.run_id,
            partitions=partitions_of(run.tags),
            failed_steps=steps,
            installation=installation,
            url=dagster_url,
        )
        if alerts.is_configured:
            alerts.send(message)
        else:
            context.log.warning(f"no webhook is configured; untold: {message['text']}")

    return run_failures


def conditions(given: Sequence[tuple[HealthCheck, HealthResult]]) -> list[Condition]:
    """The results that are alerted when they are bad."""
    return [
        Condition(name=f"{check.asset.to_user_string()} {check.name}", is_bad=result.state != "healthy", text=result.text)
        for check, result in given
    ]


def summary(given: Sequence[tuple[HealthCheck, HealthResult]]) -> str:
    """One line about a look."""
    bad = [f"{check.asset.to_user_string()} {check.name}: {result.text}" for check, result in given if result.state != "healthy"]
    return "; ".join(bad) if bad else f"all {len(given)} checks are healthy"


def send_news(
    context: dg.SensorEvaluationContext,
    alerts: AlertWebhookResource,
    plan: AlertPlan,
    installation: str,
    now: datetime,
) -> str:
    """Send the news, if any, and give the cursor to keep: news that could not be sent are news again at the next look."""
    if not plan.is_news:
        return plan.cursor
    message = alert_message(plan, installation, now)
    if not alerts.is_configured:
        context.log.warning(f"no webhook is configured; untold: {message['text']}")
        return plan.cursor
    try:
        alerts.send(message)
    except AlertNotSentError as error:
        context.log.error(f"{error}; it is tried again at the next look. Untold: {message['text']}")
        return plan.unsent_cursor
    return plan.cursor


def partitions_of(tags: Mapping[str, str]) -> str:
    """The partitions of a run in words; empty for a run without."""
    if only := tags.get("dagster/partition"):
        return only
    start, end = tags.get("dagster/asset_partition_range_start"), tags.get("dagster/asset_partition_range_end")
    return f"{start} to {end}" if start and end else ""
