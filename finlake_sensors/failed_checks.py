"""Checks that fail and let their run end well, which no failed run tells of: alerted when they turn bad and when they pass again.

Warnings are for people who look; what is asked about the stream is alerted by stream_health, which asks again each minute.
"""

from collections.abc import Collection, Iterator

import dagster as dg

from finlake_assets.asset_specs import WAS_ASKED
from finlake_assets.speed.health_checks import HEALTH_CHECKS, utc_now
from finlake_resources.resources import AlertWebhookResource
from finlake_sensors.alert_plans import plan_alerts, remembered
from finlake_sensors.alerts import Condition, send_news

LOOKED_BACK = 50
"""Executions of a check among which its newest verdict is looked for."""


def build(installation: str, default_status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """The sensor over all checks of this code location; `installation` names this installation in messages."""

    @dg.sensor(
        name="failed_checks",
        minimum_interval_seconds=60,
        default_status=default_status,
        description="Tells the webhook of each check whose newest verdict is an error, once, and once that it is well again.",
    )
    def failed_checks(context: dg.SensorEvaluationContext, alerts: AlertWebhookResource) -> dg.SensorResult:
        if context.repository_def is None:
            raise TypeError("failed_checks looks at the checks of its code location; a context without repository_def has none")
        given = list(conditions(context.instance, lake_checks(context.repository_def)))
        plan = plan_alerts(given, remembered(context.cursor), None)
        bad = [f"{each.name}: {each.text}" for each in given if each.is_bad]
        return dg.SensorResult(
            skip_reason="; ".join(bad) or f"no error among {len(given)} checks",
            cursor=send_news(context, alerts, plan, installation, utc_now()),
        )

    return failed_checks


def lake_checks(repository: dg.RepositoryDefinition) -> list[dg.AssetCheckKey]:
    """All checks but those about the stream."""
    of_stream = {dg.AssetCheckKey(check.asset, check.name) for check in HEALTH_CHECKS}
    return sorted(repository.asset_graph.asset_check_keys - of_stream)


def conditions(instance: dg.DagsterInstance, keys: Collection[dg.AssetCheckKey]) -> Iterator[Condition]:
    """The newest verdict of each check that has one."""
    for key, record in instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys)).items():
        verdict = _verdict(record.event) or _earlier_verdict(instance, key)
        if verdict is not None:
            yield Condition(
                name=f"{key.asset_key.to_user_string()} {key.name}",
                text=verdict.description or "see its page in Dagster",
                is_bad=not verdict.passed and verdict.severity == dg.AssetCheckSeverity.ERROR,
            )


def _earlier_verdict(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
    """The newest verdict before an execution that is under way, was left out, or asked nobody."""
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=LOOKED_BACK)
    return next((verdict for record in records if (verdict := _verdict(record.event)) is not None), None)


def _verdict(event: dg.EventLogEntry | None) -> dg.AssetCheckEvaluation | None:
    evaluation = None if event is None else event.asset_check_evaluation
    if evaluation is None or evaluation.metadata.get(WAS_ASKED) == dg.BoolMetadataValue(False):
        return None
    return evaluation
