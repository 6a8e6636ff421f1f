"""Dagster runs that a stopped stack left behind: without their process they would hold pool slots for ever."""

from deploy.local.layout import Layout


def fail_abandoned_runs(layout: Layout) -> list[str]:
    """Close the runs whose worker process has ended with the last stack; returns their ids.

    To be called while no process of the stack runs Dagster. Only runs that Dagster's code server had launched are
    meant: a run that a user's own process executes is that process's business. Makes Dagster's tables when they are
    not there yet.
    """
    from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
    from dagster._core.storage.tags import GRPC_INFO_TAG

    unfinished = RunsFilter(statuses=[DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING])
    closed: list[str] = []
    with DagsterInstance.from_config(str(layout.dagster)) as instance:
        for run in instance.get_runs(filters=unfinished):
            if GRPC_INFO_TAG not in run.tags:
                continue
            if run.status == DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, message="The worker of this run ended with the stack.")
            else:
                instance.report_run_failed(
                    run, message="The worker of this run ended when the stack stopped; launch the run again."
                )
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            closed.append(run.run_id)
    return closed
