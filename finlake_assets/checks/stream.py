"""Is the stream healthy? Each health check as a check of Dagster's; one without an answer warns and names the silent service."""

import dagster as dg

from finlake_assets.speed.health_checks import HEALTH_CHECKS, HealthCheck, WatchedStream, run_checks, utc_now
from finlake_assets.speed.rules import HealthLimits, HealthResult, Hours
from finlake_clients.calendar import TradingCalendar
from finlake_resources.resources import (
    ChangeCaptureResource,
    ClickHouseResource,
    KafkaResource,
    MarketResource,
    StateFolderResource,
)

DETAIL_CHARACTERS = 4000


def build(limits: HealthLimits, calendar: TradingCalendar, *, hours: Hours) -> list[dg.AssetChecksDefinition]:
    """One for each health check; `hours` are those in which trades are expected."""
    return [_check(check, limits, calendar, hours) for check in HEALTH_CHECKS]


def _check(
    check: HealthCheck,
    limits: HealthLimits,
    calendar: TradingCalendar,
    hours: Hours,
) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=check.asset, name=check.name, description=check.about)
    def is_healthy(
        market: MarketResource,
        topics: KafkaResource,
        capture: ChangeCaptureResource,
        clickhouse: ClickHouseResource,
        state_folder: StateFolderResource,
    ) -> dg.AssetCheckResult:
        """Warns where a service cannot be asked: nothing is known to be wrong, and nothing to be right."""
        stream = WatchedStream(
            market=market,
            topics=topics,
            capture=capture,
            clickhouse=clickhouse,
            state_folder=state_folder,
            limits=limits,
            calendar=calendar,
            hours=hours,
            now=utc_now(),
        )
        ((_, result),) = run_checks([check], stream)
        return check_result(check, result)

    return is_healthy


def check_result(check: HealthCheck, result: HealthResult) -> dg.AssetCheckResult:
    """A result as Dagster shows it."""
    is_error = result.state == "unhealthy" and check.severity == "error"
    metadata: dict[str, dg.MetadataValue | str | int | float | bool] = dict(result.facts)
    if result.detail:
        metadata["trace"] = dg.MarkdownMetadataValue(f"```\n{result.detail[:DETAIL_CHARACTERS]}\n```")
    return dg.AssetCheckResult(
        passed=result.state == "healthy",
        metadata=metadata,
        description=result.text,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
    )
