"""Runs that archive the stream, launched through Dagster: one is killed, the last one has to succeed."""

import os
import re
import signal
from collections.abc import Callable
from datetime import UTC, datetime

import psutil
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from deploy.cli.dagster_client import ENDED, DagsterClient
from finlake_assets.jobs import STREAM_ARCHIVE

BEGUN_WITHIN_S, ENDED_WITHIN_S = 180.0, 600.0
_STATE = """
query State($run: ID!) {
  runOrError(runId: $run) { ... on Run { status } }
  logsForRun(runId: $run) { ... on EventConnection { events { ... on MessageEvent { message } } } }
}
"""


class ArchiveRunError(Exception):
    """A run that archives could not be begun, killed or brought to its end."""


class ArchiveRuns:
    """Runs of the job that archives, through the webserver at `url`."""

    def __init__(self, url: str) -> None:
        self._client = DagsterClient(url)
        self._first_date = datetime.now(UTC).date()

    def kill_one(self) -> tuple[str, int]:
        """Begin a run and kill its process as soon as there is one; returns the ids of both."""
        run_id = self._launch()
        process_id = self._until(lambda: self._process_of(run_id), BEGUN_WITHIN_S, f"run {run_id} has not begun")
        children = psutil.Process(process_id).children(recursive=True)
        os.kill(process_id, signal.SIGKILL)
        for child in children:
            # One that its parent's death has ended is no matter.
            if child.is_running():
                os.kill(child.pid, signal.SIGKILL)
        return run_id, process_id

    def has_ended(self, run_id: str) -> bool:
        """Whether Dagster knows that a run is over."""
        return self._state(run_id)[0] in ENDED

    def archive_all(self) -> None:
        """Archive all that is in Kafka, in one run that has to succeed. Raises `ArchiveRunError`."""
        run_id = self._launch()
        for progress in self._client.follow(run_id):
            if progress.is_ended and progress.status != "SUCCESS":
                raise ArchiveRunError(f"the run {run_id} that archives ended with {progress.status}: {progress.errors[:1]}")

    def _launch(self) -> str:
        return self._client.launch(
            STREAM_ARCHIVE, first_key=self._first_date.isoformat(), last_key=datetime.now(UTC).date().isoformat())


    def _process_of(self, run_id: str) -> int | None:
        status, messages = self._state(run_id)
        if status in ENDED:
            raise ArchiveRunError(f"run {run_id} ended with {status} before it could be killed")
        found = [int(pid) for message in messages for pid in re.findall(r"process for run \(pid: (\d+)\)", message)]
        return found[0] if found else None

    def _state(self, run_id: str) -> tuple[str, list[str]]:
        answer = self._client.query(_STATE, {"run": run_id})
        run, logs = answer["runOrError"], answer["logsForRun"]
        assert isinstance(run, dict)
        assert isinstance(logs, dict)
        return run.get("status", ""), [event.get("message", "") for event in logs.get("events", [])]

    def _until(self, look: Callable[[], int | None], within_s: float, otherwise: str) -> int:
        waiting = Retrying(retry=retry_if_result(lambda found: found is None), wait=wait_fixed(0.2),
                           stop=stop_after_delay(within_s))
        try:
            found: int | None = waiting(look)
        except RetryError as error:
            raise ArchiveRunError(f"{otherwise} after {within_s:g} s; is the daemon alive? See `finlake status`") from error
        assert found is not None
        return found
