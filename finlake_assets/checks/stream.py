"""Is the stream healthy? Every question about it as a check; one that cannot be asked warns and says which service is silent."""

import dagster as dg

from finlake_assets.speed.health_checks import QUESTIONS, HealthCheck, WatchedStream, answers, utc_now
from finlake_assets.speed.rules import HealthLimits, Hours, Verdict
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
    """One check per question; `hours` are those in which trades are expected."""
    return [_check(question, limits, calendar, hours) for question in QUESTIONS]


def _check(
    question: HealthCheck,
    limits: HealthLimits,
    calendar: TradingCalendar,
    hours: Hours,
) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=question.asset, name=question.name, description=question.about)
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
        ((_, verdict),) = answers([question], stream)
        return result(question, verdict)

    return is_healthy


def result(question: HealthCheck, verdict: Verdict) -> dg.AssetCheckResult:
    """A verdict as Dagster shows it."""
    is_error = verdict.state == "unhealthy" and question.severity == "error"
    metadata: dict[str, dg.MetadataValue | str | int | float | bool] = dict(verdict.facts)
    if verdict.detail:
        metadata["trace"] = dg.MarkdownMetadataValue(f"```\n{verdict.detail[:DETAIL_CHARACTERS]}\n```")
    return dg.AssetCheckResult(
        passed=verdict.state == "healthy",
        metadata=metadata,
        description=verdict.text,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
    )
