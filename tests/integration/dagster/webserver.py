"""What the webserver's pages ask of it, beside what `finlake` asks: backfills, sensors, ticks, the asset graph."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from finlake_clients.dagster_graphql import LOCATION, REPOSITORY, DagsterClient, RunProgress

_BACKFILL = """
mutation Backfill($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) { __typename
  ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""
_BACKFILL_STATE = """
query State($id: String!) { partitionBackfillOrError(backfillId: $id) { __typename
  ... on PartitionBackfill { status error { message } runs { runId status tags { key value } } } } }
"""
_ASSETS = """
query Assets { assetNodes { assetKey { path } jobNames dependencyKeys { path }
  metadataEntries { __typename label ... on TableSchemaMetadataEntry { schema { columns { name type } } } }
  assetChecksOrError { ... on AssetChecks { checks { name blocking
    executionForLatestMaterialization { status runId } } } } } }
"""
_MATERIALIZATIONS = """
query Materializations($key: AssetKeyInput!, $partitions: [String!]) {
  assetNodeOrError(assetKey: $key) { ... on AssetNode { assetMaterializations(partitions: $partitions, limit: 1) {
    runId partition metadataEntries { label ... on IntMetadataEntry { intValue } ... on TextMetadataEntry { text } } } } } }
"""
_START_SENSOR = """
mutation Start($selector: SensorSelector!) { startSensor(sensorSelector: $selector) { __typename
  ... on Sensor { id sensorState { status } } ... on PythonError { message } } }
"""
_STOP_SENSOR = "mutation Stop($id: String!) { stopSensor(id: $id) { __typename } }"
_RUNS = "query Runs($filter: RunsFilter) { runsOrError(filter: $filter) { ... on Runs { results { runId } } } }"
_TICK = """
mutation Tick($selector: ScheduleSelector!, $time: Float!) { scheduleDryRun(selectorData: $selector, timestamp: $time) {
  __typename ... on DryRunInstigationTick { evaluationResult { skipReason error { message }
    runRequests { jobName tags { key value } } } } ... on PythonError { message } } }
"""
_TICKS = """
query Ticks($selector: RepositorySelector!) { repositoryOrError(repositorySelector: $selector) { __typename
  ... on PythonError { message }
  ... on Repository {
    sensors { name sensorState { ...State } }
    schedules { name scheduleState { ...State } } } } }
fragment State on InstigationState { status ticks(limit: 500) { status timestamp endTimestamp skipReason error { message } } }
"""
_STATUSES = "query Statuses { runsOrError { ... on Runs { results { runId jobName status } } } }"
_LOGS = """
query Logs($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events { __typename
  ... on MessageEvent { stepKey timestamp message } } } } }
"""


@dataclass(frozen=True)
class Webserver:
    """The webserver as its pages use it."""

    client: DagsterClient

    def run(self, job: str, first: str, last: str, assets: tuple[str, ...] = ()) -> RunProgress:
        """One run from launch to end."""
        return self.end_of(self.client.launch(job, first_key=first, last_key=last, assets=assets))

    def end_of(self, run_id: str) -> RunProgress:
        """What is known of a run when nothing more happens."""
        *_, progress = self.client.follow(run_id)
        return progress

    def backfill(self, asset: str, keys: list[str], timeout_s: float = 150) -> dict[str, Any]:
        """Ask for a backfill of one asset and wait for its end."""
        params = {"assetSelection": [{"path": asset.split("/")}], "partitionNames": keys}
        asked = self._answer(_BACKFILL, {"params": params})
        ended = until(
            lambda: self._answer(_BACKFILL_STATE, {"id": asked["backfillId"]}),
            lambda state: not str(state["status"]).startswith(("REQUESTED", "COMPLETING")),
            timeout_s,
        )
        return dict(ended)

    def assets(self) -> dict[str, dict[str, Any]]:
        """Every node of the asset graph by `layer/table`."""
        nodes: Any = self.client.query(_ASSETS)["assetNodes"]
        return {"/".join(node["assetKey"]["path"]): node for node in nodes}

    def newest_metadata(self, asset: str, key: str) -> dict[str, Any]:
        """Numbers and texts of the newest materialization of a partition."""
        found = self._answer(_MATERIALIZATIONS, {"key": {"path": asset.split("/")}, "partitions": [key]})
        entries = found["assetMaterializations"][0]["metadataEntries"]
        return {entry["label"]: entry.get("intValue", entry.get("text")) for entry in entries}

    @contextmanager
    def running_sensor(self, name: str) -> Iterator[None]:
        """A sensor that is on within the block and off after it."""
        selector = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "sensorName": name}
        sensor_id = self._answer(_START_SENSOR, {"selector": selector})["id"]
        try:
            yield
        finally:
            self._answer(_STOP_SENSOR, {"id": sensor_id})

    def ticks(self) -> dict[str, list[dict[str, Any]]]:
        """The newest ticks of every sensor and schedule that is on, by its name."""
        found = self._answer(_TICKS, {"selector": {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY}})
        states = {each["name"]: each["sensorState"] for each in found["sensors"]}
        states |= {each["name"]: each["scheduleState"] for each in found["schedules"]}
        return {name: state["ticks"] for name, state in states.items() if state["status"] == "RUNNING"}

    def statuses(self) -> dict[str, str]:
        """Status of every run by its job and id."""
        return {f"{run['jobName']} {run['runId']}": run["status"] for run in self._answer(_STATUSES, {})["results"]}

    def run_of(self, sensor: str, cause: str) -> RunProgress:
        """The end of the one run that a sensor requests; the sensor is on until it has."""
        with self.running_sensor(sensor):
            (run_id,) = until(lambda: self.runs_tagged({"finlake/cause": cause}), bool, timeout_s=150)
        return self.end_of(run_id)

    def runs_tagged(self, tags: Mapping[str, str]) -> list[str]:
        """Ids of the runs with these tags, newest first."""
        wanted = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
        return [run["runId"] for run in self._answer(_RUNS, {"filter": wanted})["results"]]

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """The run's events so far: kind, step, time and message."""
        return list(self._answer(_LOGS, {"run": run_id})["events"])

    def until_step(self, run_id: str, step: str) -> list[dict[str, Any]]:
        """The run's events once a step has begun."""
        return list(
            until(
                lambda: self.events(run_id),
                lambda events: any(
                    event["__typename"] == "ExecutionStepStartEvent" and event["stepKey"] == step for event in events
                ),
                timeout_s=180,
            )
        )

    def tick(self, schedule: str, time_s: float) -> dict[str, Any]:
        """What a schedule would do at a time (seconds since 1970)."""
        selector = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "scheduleName": schedule}
        return dict(self._answer(_TICK, {"selector": selector, "time": time_s})["evaluationResult"])

    def _answer(self, text: str, variables: Mapping[str, object]) -> dict[str, Any]:
        """The only field of an answer; fails the test with what the webserver said when it refused."""
        answer: Any = next(iter(self.client.query(text, variables).values()))
        assert "message" not in answer, answer
        return dict(answer)


def until(ask: Callable[[], Any], is_wanted: Callable[[Any], bool], timeout_s: float) -> Any:
    """Ask until the answer is the wanted one; raises tenacity.RetryError with the last answer after `timeout_s`."""
    waiting = Retrying(
        retry=retry_if_result(lambda answer: not is_wanted(answer)), wait=wait_fixed(0.2), stop=stop_after_delay(timeout_s)
    )
    return waiting(ask)
