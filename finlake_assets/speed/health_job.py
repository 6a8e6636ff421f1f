"""The job a person launches to see how the stream is: every check run, every asset reported, in one step."""

import dagster as dg

from finlake_assets.speed.health_checks import HEALTH_CHECKS, HealthCheck, WatchedStream, run_checks, utc_now
from finlake_assets.speed.reports import events, look
from finlake_assets.speed.rules import HealthLimits, HealthResult, Hours
from finlake_clients.calendar import TradingCalendar
from finlake_resources.resources import (
    ChangeCaptureResource,
    ClickHouseResource,
    KafkaResource,
    MarketResource,
    StateFolderResource,
)

NAME = "stream_health"
ANSWERS_SCHEMA = dg.TableSchema(
    columns=[
        dg.TableColumn("asset", "string", "What was asked about"),
        dg.TableColumn("question", "string", "Name of the check"),
        dg.TableColumn("state", "string", "healthy, unhealthy or unknown"),
        dg.TableColumn("text", "string", "Why"),
    ]
)


def build(limits: HealthLimits, calendar: TradingCalendar, *, hours: Hours) -> dg.JobDefinition:
    """The job; it ends well whatever it finds, since it was asked to look and did."""

    @dg.op(name="look_at_stream", out=dg.Out(dg.Nothing))
    def look_at_stream(
        context: dg.OpExecutionContext,
        market: MarketResource,
        topics: KafkaResource,
        capture: ChangeCaptureResource,
        clickhouse: ClickHouseResource,
        state_folder: StateFolderResource,
    ) -> None:
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
        given = run_checks(HEALTH_CHECKS, stream)
        reports, silent = look(stream)
        for event in events(reports, context.instance):
            context.log_event(event)
        for reason in silent:
            context.log.warning(reason)
        context.add_output_metadata(
            {
                "answers": dg.TableMetadataValue([_record(*each) for each in given], ANSWERS_SCHEMA),
                "unhealthy": sum(result.state == "unhealthy" for _, result in given),
                "unknown": sum(result.state == "unknown" for _, result in given),
            }
        )

    @dg.job(name=NAME, description="Looks at every part of the stream and reports its assets. Writes no row anywhere.")
    def stream_health() -> None:
        look_at_stream()

    return stream_health


def _record(check: HealthCheck, result: HealthResult) -> dg.TableRecord:
    return dg.TableRecord(
        {"asset": check.asset.to_user_string(), "question": check.name, "state": result.state, "text": result.text}
    )
