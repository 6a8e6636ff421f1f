"""The verdict over a run of checks. Dagster ends such a run well even when checks failed, so a shell has to ask."""

from collections.abc import Iterable

import dagster as dg


def failed_checks(result: dg.ExecuteInProcessResult) -> list[str]:
    """Checks of severity error that failed in a run, as `layer.table check: description`; empty means exit code 0."""
    return _failed(result.get_asset_check_evaluations())


def failed_checks_of_run(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """The same for a run that another process carried out."""
    records = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    events = (record.dagster_event for record in records)
    return _failed(event.asset_check_evaluation_data for event in events if event is not None)


def _failed(evaluations: Iterable[dg.AssetCheckEvaluation]) -> list[str]:
    return sorted(
        f"{'.'.join(evaluation.asset_key.path)} {evaluation.check_name}: {evaluation.description or 'failed'}"
        for evaluation in evaluations
        if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR
    )
