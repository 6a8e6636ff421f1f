"""Runs that archive the stream, launched through Dagster: one is killed, the last one has to succeed."""

import os
import re
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Literal

import psutil
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_fixed,
)

from deploy.local.config_files import MOST_RUNS_AT_ONCE
from finlake_clients.dagster_graphql import ENDED, DagsterClient, DagsterRequestError
from spark.contracts.runs import STREAM_ARCHIVE

ACCEPTED_WITHIN_S, BEGUN_WITHIN_S, LONGEST_LIFE_S = 120.0, 180.0, 20.0
ENDED_WITHIN_S = 600.0
"""A step that lost an engine is tried again, up to twelve times with pauses, and each of the engines may die again meanwhile."""
KILL_ATTEMPTS = 4
_STATE = """
query State($run: ID!) {
  runOrError(runId: $run) { ... on Run { status } }
  logsForRun(runId: $run) { ... on EventConnection { events { ... on MessageEvent { message } } } }
}
"""


class ArchiveRunError(Exception):
    """A run that archives could not be begun, killed or brought to its end."""


class ArchiveRuns:
    """Runs of the job that archives, through the webserver; `seed` decides at which age one is killed."""

    def __init__(self, client: DagsterClient, seed: int) -> None:
        self._client = client
        self._chosen = Random(seed)
        self._first_date = datetime.now(UTC).date()
        self._begun: list[str] = []

    def kill_one(self) -> tuple[str, int]:
        """Begin a run and kill its process at a random moment of its life; returns the ids of both.

        Another one is begun when it was over too soon. Raises `ArchiveRunError`.
        """
        again = Retrying(retry=retry_if_exception_type(ArchiveRunError), stop=stop_after_attempt(KILL_ATTEMPTS), reraise=True)
        return again(self._begin_and_kill)

    def begin_one(self) -> str:
        """Begin a run and return its id at a random moment of its life, while it goes on. Raises `ArchiveRunError`."""
        run_id, _ = self._begin()
        return run_id

    def _begin(self) -> tuple[str, int]:
        """Begin a run as soon as Dagster has room for it beside those that were begun before."""
        self._until(self._has_room, ENDED_WITHIN_S, f"of the runs {', '.join(self._begun)} none has ended")
        run_id = self._launch()
        self._begun.append(run_id)
        process_id = self._until(lambda: self._process_of(run_id), BEGUN_WITHIN_S, f"run {run_id} has not begun")
        time.sleep(self._chosen.uniform(0, LONGEST_LIFE_S))
        return run_id, process_id

    def _has_room(self) -> Literal[True] | None:
        self._begun = [run_id for run_id in self._begun if not self.has_ended(run_id)]
        return True if len(self._begun) < MOST_RUNS_AT_ONCE else None

    def _begin_and_kill(self) -> tuple[str, int]:
        run_id, process_id = self._begin()
        try:
            children = psutil.Process(process_id).children(recursive=True)
            os.kill(process_id, signal.SIGKILL)
        except (psutil.NoSuchProcess, ProcessLookupError) as error:
            raise ArchiveRunError(f"the process {process_id} of run {run_id} was over before it could be killed") from error
        for child in children:
            # One that its parent's death has ended is no matter.
            if child.is_running():
                os.kill(child.pid, signal.SIGKILL)
        return run_id, process_id

    def has_ended(self, run_id: str) -> bool:
        """Whether Dagster knows that a run is over; not while it cannot say."""
        try:
            return self._state(run_id)[0] in ENDED
        except DagsterRequestError:
            return False

    def archive_all(self) -> None:
        """Archive all that is in Kafka, in one run that has to succeed. Raises `ArchiveRunError`."""
        run_id = self._launch()
        try:
            *_, progress = self._client.follow(run_id)
        except DagsterRequestError as error:
            raise ArchiveRunError(f"the run {run_id} that archives could not be followed: {error}") from error
        if progress.status != "SUCCESS":
            raise ArchiveRunError(f"the run {run_id} that archives ended with {progress.status}: {progress.errors[:1]}")

    def _launch(self) -> str:
        """Ask for a run, again while Dagster notices only by asking that Postgres has closed its connections."""
        asking = Retrying(
            retry=retry_if_exception_type(DagsterRequestError),
            wait=wait_fixed(2),
            stop=stop_after_delay(ACCEPTED_WITHIN_S),
            reraise=True,
        )
        return asking(
            self._client.launch,
            STREAM_ARCHIVE,
            first_key=self._first_date.isoformat(),
            last_key=datetime.now(UTC).date().isoformat(),
        )

    def _process_of(self, run_id: str) -> int | None:
        try:
            status, messages = self._state(run_id)
        except DagsterRequestError:
            return None
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
        waiting = Retrying(
            retry=retry_if_result(lambda found: found is None), wait=wait_fixed(0.2), stop=stop_after_delay(within_s)
        )
        try:
            found: int | None = waiting(look)
        except RetryError as error:
            raise ArchiveRunError(f"{otherwise} after {within_s:g} s; is the daemon alive? See `finlake status`") from error
        assert found is not None
        return found
