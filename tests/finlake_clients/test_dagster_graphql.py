"""Answers of the webserver that are none, in words."""

from contextlib import nullcontext
from typing import Any

import graphql
import httpx
import pytest

from finlake_clients import dagster_graphql as dagster_client
from finlake_clients.dagster_graphql import DagsterClient, DagsterRequestError


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            httpx.Response(421, text="Dagster answers to localhost:3000 only"),
            "answers HTTP 421 and no JSON .*localhost:3000 only",
        ),
        (httpx.Response(502, content=b""), "answers HTTP 502 and no JSON .nothing"),
        (httpx.Response(401, text="a login"), "refuses the password"),
        (httpx.Response(200, json={"errors": [{"message": "no such field"}]}), "refused a request: no such field"),
    ],
)
def test_what_is_no_answer_is_told_with_what_was_said_instead(
    monkeypatch: pytest.MonkeyPatch,
    answer: httpx.Response,
    said: str,
) -> None:
    def post(*_: Any, **__: Any) -> httpx.Response:
        return answer

    monkeypatch.setattr(httpx, "post", post)
    with pytest.raises(DagsterRequestError, match=said):
        DagsterClient("http://localhost:3000", None).query("query { version }")


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            {"__typename": "RunFailureEvent", "message": "User code server request timed out", "error": None},
            ["User code server request timed out"],
        ),
        (
            {
                "__typename": "RunFailureEvent",
                "message": "This run has been marked as failed from outside the execution context.",
                "error": None,
            },
            [
                "its process ended without a word: somebody killed it, or the machine had no memory left (`finlake doctor` says "
                "how much there is, the machine's log whom it ended)"
            ],
        ),
        (
            {"__typename": "RunFailureEvent", "message": 'Execution of run for "lake" failed. Steps failed: [a].', "error": None},
            [],
        ),
        (
            {
                "__typename": "ExecutionStepFailureEvent",
                "stepKey": "a",
                "message": "STEP_FAILURE",
                "failureMetadata": None,
                "error": {"message": "of Dagster's", "causes": [{"message": "no disk\n"}]},
            },
            ["a: no disk"],
        ),
        (
            {
                "__typename": "ExecutionStepFailureEvent",
                "stepKey": "a",
                "message": "STEP_FAILURE",
                "failureMetadata": None,
                "error": {"message": "dagster._core.errors.DagsterExecutionInterruptedError\n", "causes": []},
            },
            ["a: it was interrupted, as `finlake down` does; `finlake up` starts the stack again"],
        ),
        # What the checks found stands in their evaluations.
        (
            {
                "__typename": "ExecutionStepFailureEvent",
                "stepKey": "a",
                "message": "STEP_FAILURE",
                "failureMetadata": None,
                "error": {"message": "dagster._core.errors.DagsterAssetCheckFailedError: 1 check failed", "causes": []},
            },
            [],
        ),
        (
            {
                "__typename": "RunFailureEvent",
                "message": "Execution failed",
                "error": {"message": "dagster._core.errors.DagsterAssetCheckFailedError: 1 check failed", "causes": []},
            },
            [],
        ),
    ],
)
def test_the_reason_of_a_failure_is_what_was_said_first_and_not_its_wrapping(
    monkeypatch: pytest.MonkeyPatch,
    event: dict[str, Any],
    said: list[str],
) -> None:
    page = {"logsForRun": {"events": [event], "cursor": "1", "hasMore": False}, "runOrError": {"status": "FAILURE"}}

    def query(_: DagsterClient, text: str, __: Any = None) -> dict[str, Any]:
        return {"runOrError": {"executionPlan": {"steps": [{}]}}} if "executionPlan" in text else page

    monkeypatch.setattr(DagsterClient, "query", query)
    *_, progress = DagsterClient("http://localhost:3000", None).follow("a")
    assert progress.errors == said


def test_a_database_that_is_away_for_a_while_ends_no_look_at_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    away: dict[str, Any] = {"logsForRun": {}, "runOrError": {}}
    back = {"logsForRun": {"events": [], "cursor": "1", "hasMore": False}, "runOrError": {"status": "SUCCESS"}}
    pages = [away, {**away, "runOrError": {"status": "STARTED"}}, back]

    def query(_: DagsterClient, text: str, __: Any = None) -> dict[str, Any]:
        return {"runOrError": {}} if "executionPlan" in text else pages.pop(0)

    monkeypatch.setattr(DagsterClient, "query", query)
    *_, progress = DagsterClient("http://localhost:3000", None).follow("a")
    assert (progress.status, pages) == ("SUCCESS", [])


AWAY = {"__typename": "PythonError", "message": "dagster._core.errors.DagsterUserCodeUnreachableError: Could not reach it"}
REFUSED = {"__typename": "PythonError", "message": "dagster._core.errors.DagsterInvariantViolationError: no such job"}


def test_a_code_server_that_is_away_is_waited_for_and_another_refusal_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [AWAY, AWAY, {"__typename": "LaunchRunSuccess", "run": {"runId": "a"}}, REFUSED]

    def query(_: DagsterClient, __: str, ___: Any) -> dict[str, Any]:
        return {"launchRun": answers.pop(0)}

    monkeypatch.setattr(DagsterClient, "query", query)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    client = DagsterClient("http://localhost:3000", None)
    assert client.launch("by_session") == "a"
    with pytest.raises(DagsterRequestError, match="no such job"):
        client.launch("by_session")
    assert answers == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"__typename": "TerminateRunSuccess"}, None),
        ({"__typename": "TerminateRunFailure", "message": "it has ended"}, "did not stop it .it has ended"),
    ],
)
def test_a_run_is_stopped_or_dagster_says_why_not(
    monkeypatch: pytest.MonkeyPatch,
    answer: dict[str, str],
    said: str | None,
) -> None:
    asked: list[Any] = []

    def query(_: DagsterClient, text: str, variables: Any) -> dict[str, Any]:
        asked.append(variables)
        return {"terminateRun": answer}

    monkeypatch.setattr(DagsterClient, "query", query)
    with nullcontext() if said is None else pytest.raises(DagsterRequestError, match=said):
        DagsterClient("http://localhost:3000", None).stop("a")
    assert asked == [{"run": "a"}]


@pytest.mark.parametrize("name", ["_LAUNCH", "_STOP", "_LOGS", "_PLAN", "_CHECKS"])
def test_dagster_understands_what_it_is_asked(name: str) -> None:
    from dagster_graphql.schema import create_schema

    schema = create_schema().graphql_schema
    assert graphql.validate(schema, graphql.parse(getattr(dagster_client, name))) == []
