"""Runs asked for and followed through the Dagster webserver's GraphQL, as its own pages do."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_delay, wait_fixed

from finlake_clients.dagster_login import USER
from finlake_clients.secret_files import secret_of

CODE_SERVER_BACK_WITHIN_S = 90
# How Dagster says in a message that its code server does not answer.
CODE_SERVER_AWAY = "DagsterUserCodeUnreachableError"
LOCATION, REPOSITORY = "lake", "__repository__"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
# How Dagster begins the message of a run that only sums up what its steps have said.
_STEPS_FAILED = "Execution of run for"
# Names the checks alone; what they found is in their evaluations.
_CHECKS_FAILED = "DagsterAssetCheckFailedError"
_INTERRUPTED = "it was interrupted, as `finlake down` does; `finlake up` starts the stack again"
# How Dagster ends a run whose process is gone.
_MARKED_FAILED = "marked as failed from outside the execution context"
_PROCESS_ENDED = (
    "its process ended without a word: somebody killed it, or the machine had no memory left (`finlake doctor` says how much "
    "there is, the machine's log whom it ended)"
)
ENDED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
_SHOWN_CHARACTERS = 200

_LAUNCH = """
mutation Launch($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
  ... on LaunchRunSuccess { run { runId } }
  ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } }
  ... on PipelineNotFoundError { message }
  ... on InvalidSubsetError { message } } }
"""
_STOP = """
mutation Stop($run: String!) { terminateRun(runId: $run) { __typename
  ... on TerminateRunFailure { message }
  ... on RunNotFoundError { message }
  ... on UnauthorizedError { message }
  ... on PythonError { message } } }
"""
_LOGS = """
query Logs($run: ID!, $after: String) {
  logsForRun(runId: $run, afterCursor: $after) { ... on EventConnection { cursor hasMore events { __typename
    ... on MessageEvent { stepKey timestamp message }
    ... on MaterializationEvent { assetKey { path } partition
      metadataEntries { label ... on IntMetadataEntry { intValue } ... on TextMetadataEntry { text } } }
    ... on AssetCheckEvaluationEvent { evaluation { checkName assetKey { path } success severity description
      metadataEntries { label ... on IntMetadataEntry { intValue } ... on TableMetadataEntry { table { records } } } } }
    ... on ExecutionStepFailureEvent { error { message causes { message } } failureMetadata { description } }
    ... on RunFailureEvent { error { message causes { message } } } } } }
  runOrError(runId: $run) { ... on Run { status stats { ... on RunStatsSnapshot { startTime endTime } } } }
}
"""
_PLAN = """
query Plan($run: ID!) { runOrError(runId: $run) { ... on Run { executionPlan { steps { key } } } } }
"""
_CHECKS = """
query Checks($assets: [AssetKeyInput!]) { assetNodes(assetKeys: $assets) { assetKey { path }
  assetChecksOrError { ... on AssetChecks { checks { name } } } } }
"""


class DagsterRequestError(Exception):
    """The webserver could not be reached or refused; the message says what was asked and what to do."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One evaluated asset check of a run. `sample` is the first row that failed it; empty when none is named.

    `judged_rows` is how many rows were looked at; None where the check does not say.
    """

    asset: str
    name: str
    passed: bool
    severity: str
    description: str
    failing_rows: int | None = None
    sample: Mapping[str, object] = field(default_factory=dict)
    judged_rows: int | None = None

    @property
    def is_blocking(self) -> bool:
        """True when failed rows must not be published, or nothing may be computed from them."""
        return self.severity == "ERROR"


@dataclass(kw_only=True)
class RunProgress:
    """What is known of a run so far: steps by state, seconds per finished step, rows per table, checks, errors."""

    run_id: str
    status: str = "QUEUED"
    step_count: int = 0
    started: dict[str, float] = field(default_factory=dict)
    step_seconds: dict[str, float] = field(default_factory=dict)
    row_counts: dict[str, int] = field(default_factory=dict)
    checks: list[CheckResult] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def is_ended(self) -> bool:
        """True when nothing more will happen."""
        return self.status in ENDED


class DagsterClient:
    """The webserver at `url` (loopback); `password_file` None: it asks for no login."""

    def __init__(self, url: str, password_file: Path | None) -> None:
        self.url, self.password_file = url.rstrip("/"), password_file

    def query(self, text: str, variables: Mapping[str, object] | None = None) -> dict[str, object]:
        """The `data` of a GraphQL answer; raises `DagsterRequestError`."""
        try:
            answer = httpx.post(
                f"{self.url}/graphql",
                json={"query": text, "variables": dict(variables or {})},
                auth=self._login(),
                timeout=60,
                trust_env=False,
            )
        except httpx.TransportError as error:
            raise DagsterRequestError(
                f"Dagster does not answer at {self.url} ({type(error).__name__}); run `finlake up`"
            ) from error
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise DagsterRequestError(
                f"Dagster at {self.url} refuses the password of {self.password_file}; run `finlake down`, then `finlake up`"
            )
        try:
            body = answer.json()
        except ValueError as error:
            said = next(iter(answer.text.splitlines()), "nothing")[:_SHOWN_CHARACTERS]
            raise DagsterRequestError(
                f"Dagster at {self.url} answers HTTP {answer.status_code} and no JSON ({said}); see `finlake logs "
                "dagster_webserver`"
            ) from error
        if "errors" in body:
            raise DagsterRequestError(f"Dagster refused a request: {body['errors'][0]['message']}")
        data: dict[str, object] = body["data"]
        return data

    def _login(self) -> tuple[str, str] | None:
        return None if self.password_file is None else (USER, secret_of("dagster_webserver", self.password_file))

    def launch(
        self,
        job: str,
        *,
        first_key: str | None = None,
        last_key: str | None = None,
        assets: Sequence[str] = (),
        checks_of: Sequence[str] = (),
        tags: Mapping[str, str] | None = None,
        location: str = LOCATION,
    ) -> str:
        """Ask for one run of `job` over a range of partition keys, of some `layer/table` assets or all; returns its id.

        Without keys the run has no partitions. With `checks_of` it runs the checks of these assets and nothing else. A code
        server that is away, as one that starts again, is waited for.
        """
        selector: dict[str, object] = {"repositoryLocationName": location, "repositoryName": REPOSITORY, "jobName": job}
        if assets:
            selector["assetSelection"] = [_key(asset) for asset in assets]
        if checks_of:
            selector |= {"assetSelection": [], "assetCheckSelection": self._checks(checks_of)}
        keys = {RANGE_START: first_key, RANGE_END: last_key}
        wanted = {**{tag: key for tag, key in keys.items() if key is not None}, **(tags or {})}
        params = {
            "selector": selector,
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in wanted.items()]},
        }
        asking = Retrying(
            retry=retry_if_result(_says_code_server_is_away),
            wait=wait_fixed(2),
            stop=stop_after_delay(CODE_SERVER_BACK_WITHIN_S),
            retry_error_callback=_last_answer,
        )
        answer = asking(lambda: self.query(_LAUNCH, {"params": params})["launchRun"])
        if not isinstance(answer, dict) or "run" not in answer:
            over = f" for {first_key}..{last_key}" if first_key else ""
            raise DagsterRequestError(f"Dagster did not start {job}{over}: {answer}")
        return str(answer["run"]["runId"])

    def stop(self, run_id: str) -> None:
        """Ask Dagster to end a run, whose process ends by itself. Raises `DagsterRequestError` when it will not."""
        answer: Any = self.query(_STOP, {"run": run_id})["terminateRun"]
        if answer["__typename"] != "TerminateRunSuccess":
            raise DagsterRequestError(f"Dagster did not stop it ({answer.get('message')})")

    def _checks(self, assets: Sequence[str]) -> list[dict[str, object]]:
        """The checks of assets, as a selector has them. Raises `DagsterRequestError` for an asset without any."""
        answer: Any = self.query(_CHECKS, {"assets": [_key(asset) for asset in assets]})
        found = {"/".join(node["assetKey"]["path"]): node["assetChecksOrError"].get("checks") for node in answer["assetNodes"]}
        for asset in assets:
            if not found.get(asset):
                raise DagsterRequestError(f"Dagster knows no check of {asset}; name a table as layer/table")
        return [{"assetKey": _key(asset), "name": check["name"]} for asset in assets for check in found[asset]]

    def follow(self, run_id: str) -> Iterator[RunProgress]:
        """The run's progress, each time it changed, until the run has ended."""
        progress, cursor = RunProgress(run_id=run_id), None
        while not progress.is_ended:
            page = self._next_page(run_id, cursor)
            cursor = _apply(progress, page)
            if not progress.step_count:
                progress.step_count = self._step_count(run_id)
            yield progress

    def _next_page(self, run_id: str, cursor: str | None) -> dict[str, object]:
        """The next answer that brings something new, asked for twice a second."""
        asking = Retrying(retry=retry_if_result(_is_empty), wait=wait_fixed(0.5), stop=stop_after_delay(3600))
        return asking(self.query, _LOGS, {"run": run_id, "after": cursor})

    def _step_count(self, run_id: str) -> int:
        run = self.query(_PLAN, {"run": run_id})["runOrError"]
        plan = run.get("executionPlan") if isinstance(run, dict) else None
        return len(plan["steps"]) if plan else 0


def _says_code_server_is_away(answer: object) -> bool:
    """Whether the code server does not answer: it was killed, or starts again; nothing was launched."""
    return isinstance(answer, dict) and CODE_SERVER_AWAY in str(answer.get("message"))


def _last_answer(state: RetryCallState) -> object:
    return state.outcome.result() if state.outcome else None


def _key(asset: str) -> dict[str, list[str]]:
    return {"path": asset.split("/")}


def _is_empty(page: dict[str, object]) -> bool:
    """Whether there is nothing new yet. Dagster answers with errors instead of events while its database is away."""
    logs, run = page["logsForRun"], page["runOrError"]
    if not isinstance(logs, dict) or not isinstance(run, dict) or "events" not in logs or "status" not in run:
        return True
    return not logs["events"] and run["status"] not in ENDED


def _apply(progress: RunProgress, page: dict[str, object]) -> str:
    """Take a page of events into the progress; returns the cursor after it."""
    logs, run = page["logsForRun"], page["runOrError"]
    assert isinstance(logs, dict)
    assert isinstance(run, dict)
    for event in logs["events"]:
        _apply_event(progress, event)
    # A run ends before its last events are read; the status counts only when there are no more.
    if not logs["hasMore"]:
        progress.status = str(run["status"])
    return str(logs["cursor"])


def _apply_event(progress: RunProgress, event: Mapping[str, object]) -> None:
    kind, step = event["__typename"], str(event.get("stepKey") or "")
    seconds = float(str(event.get("timestamp") or 0)) / 1000
    if kind == "ExecutionStepStartEvent":
        progress.started[step] = seconds
    elif kind in ("ExecutionStepSuccessEvent", "ExecutionStepFailureEvent"):
        progress.step_seconds[step] = seconds - progress.started.get(step, seconds)
    if kind == "MaterializationEvent":
        _apply_materialization(progress, event)
    elif kind == "AssetCheckEvaluationEvent":
        evaluation = event["evaluation"]
        assert isinstance(evaluation, dict)
        progress.checks.append(_check_result(evaluation))
    elif kind in ("ExecutionStepFailureEvent", "RunFailureEvent"):
        reason = _reason(event)
        if reason:
            progress.errors.append(f"{step}: {reason}".lstrip(": ").strip())


def _reason(event: Mapping[str, Any]) -> str:
    """Why a step or a run failed: what it said itself, else the error that Dagster has wrapped in one of its own.

    A run that never began, because Dagster could not start it, has a message only; one whose steps failed repeats them.
    """
    described = (event.get("failureMetadata") or {}).get("description")
    error = event.get("error")
    if described or error is None:
        is_repeated = event["__typename"] == "RunFailureEvent" and str(event.get("message") or "").startswith(_STEPS_FAILED)
        said = str(described or "") if is_repeated else str(described or event.get("message") or "")
        return _PROCESS_ENDED if _MARKED_FAILED in said else said
    said = str([*error["causes"], error][0]["message"]).strip()
    if _CHECKS_FAILED in said:
        return ""
    return _INTERRUPTED if "DagsterExecutionInterruptedError" in said else said


def _check_result(evaluation: Mapping[str, Any]) -> CheckResult:
    entries = {entry["label"]: entry for entry in evaluation["metadataEntries"]}
    records = entries.get("offending_rows", {}).get("table", {}).get("records") or ["{}"]
    return CheckResult(
        asset="/".join(evaluation["assetKey"]["path"]),
        name=evaluation["checkName"],
        passed=evaluation["success"],
        severity=evaluation["severity"],
        description=evaluation["description"] or "",
        failing_rows=entries.get("failing_rows", {}).get("intValue"),
        sample=json.loads(records[0]),
        judged_rows=entries.get("judged_rows", {}).get("intValue"),
    )


def _apply_materialization(progress: RunProgress, event: Mapping[str, object]) -> None:
    """Row counts: of the whole run where the asset says so, else per partition added up."""
    key, entries = event["assetKey"], event["metadataEntries"]
    assert isinstance(key, dict)
    assert isinstance(entries, list)
    address = "/".join(key["path"])
    counts = {entry["label"]: entry["intValue"] for entry in entries if entry.get("intValue") is not None}
    if "dagster/partition_row_count" in counts:
        progress.row_counts[address] = progress.row_counts.get(address, 0) + counts["dagster/partition_row_count"]
    elif "dagster/row_count" in counts:
        progress.row_counts[address] = counts["dagster/row_count"]
