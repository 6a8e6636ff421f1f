"""Which sensors and schedules exist where. What is not listed for an environment is not registered there at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import dagster as dg

from finlake_assets.partitions import Timeline
from finlake_assets.speed.rules import HealthLimits, hours_of
from finlake_sensors import alerts, arrivals, failed_checks, restatements, schedules, stream
from finlake_settings.declaration import ENVIRONMENTS, EnvironmentName
from finlake_settings.processes import DagsterSettings
from spark.contracts.runs import BY_MONTH, BY_SESSION

if TYPE_CHECKING:
    from finlake_assets.jobs import AssetJob

SensorName = Literal[
    "stooq_arrivals",
    "price_restatements",
    "months_follow_sessions",
    "stream_ranges",
    "stream_health",
    "run_failures",
    "failed_checks",
]
ScheduleName = Literal["after_close", "news_of_the_day", "month_end", "daily_checks", "weekly_upkeep"]

_EVERY_SCHEDULE: tuple[ScheduleName, ...] = get_args(ScheduleName)

SENSORS: dict[EnvironmentName, tuple[SensorName, ...]] = dict.fromkeys(ENVIRONMENTS, get_args(SensorName))
SCHEDULES: dict[EnvironmentName, tuple[ScheduleName, ...]] = {
    "local": _EVERY_SCHEDULE,
    "staging": tuple(name for name in _EVERY_SCHEDULE if name != "after_close"),
    "production": _EVERY_SCHEDULE,
}
AUTOMATION = "automation"


@dataclass(frozen=True, kw_only=True)
class Unattended:
    """What may start runs without a person."""

    sensors: list[dg.SensorDefinition]
    schedules: list[dg.ScheduleDefinition]


def build(
    settings: DagsterSettings,
    timeline: Timeline,
    jobs: "Mapping[str, AssetJob]",
    limits: HealthLimits,
) -> Unattended:
    """The environment's sensors and schedules: running where work is unattended, else there to be switched on by hand.

    Without unattended work there is no automation sensor; the tables then have no automation condition either.
    """
    is_running = settings.unattended
    sensor_status = dg.DefaultSensorStatus.RUNNING if is_running else dg.DefaultSensorStatus.STOPPED
    schedule_status = dg.DefaultScheduleStatus.RUNNING if is_running else dg.DefaultScheduleStatus.STOPPED
    sensors: dict[SensorName, dg.SensorDefinition] = {
        "stooq_arrivals": arrivals.build(timeline, sensor_status),
        "price_restatements": restatements.build(timeline, sensor_status),
        "months_follow_sessions": restatements.build_months(jobs[BY_SESSION], jobs[BY_MONTH], sensor_status),
        "stream_ranges": stream.build(sensor_status),
        "stream_health": alerts.build_stream_health(
            limits,
            timeline.calendar,
            settings.environment,
            sensor_status,
            hours=hours_of(settings.sources, is_watched=is_running),
        ),
        "run_failures": alerts.build_run_failures(settings.environment, settings.dagster.url, sensor_status),
        "failed_checks": failed_checks.build(settings.environment, sensor_status),
    }
    timed: dict[ScheduleName, dg.ScheduleDefinition] = {
        "after_close": schedules.after_close(timeline, schedule_status),
        "news_of_the_day": schedules.news(timeline, schedule_status),
        "month_end": schedules.months(timeline, schedule_status),
        "daily_checks": schedules.checks(schedule_status),
        "weekly_upkeep": schedules.upkeep(schedule_status),
    }
    return Unattended(
        sensors=[sensors[name] for name in SENSORS[settings.environment]] + ([_automation()] if settings.unattended else []),
        schedules=[timed[name] for name in SCHEDULES[settings.environment]],
    )


def _automation() -> dg.AutomationConditionSensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        AUTOMATION,
        target=dg.AssetSelection.all(),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Lets tables follow their inputs; see finlake_assets/automation.py.",
    )
