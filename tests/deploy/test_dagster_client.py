"""Answers of the webserver that are none, in words."""

from typing import Any

import httpx
import pytest

from deploy.cli.dagster_client import DagsterClient, DagsterRequestError


@pytest.mark.parametrize(("answer", "said"), [
    (httpx.Response(421, text="Dagster answers to localhost:3000 only"), "answers HTTP 421 and no JSON .*localhost:3000 only"),
    (httpx.Response(502, content=b""), "answers HTTP 502 and no JSON .nothing"),
    (httpx.Response(401, text="a login"), "refuses the password"),
    (httpx.Response(200, json={"errors": [{"message": "no such field"}]}), "refused a request: no such field"),
])
def test_what_is_no_answer_is_told_with_what_was_said_instead(
    monkeypatch: pytest.MonkeyPatch, answer: httpx.Response, said: str,
) -> None:
    def post(*_: Any, **__: Any) -> httpx.Response:
        return answer

    monkeypatch.setattr(httpx, "post", post)
    with pytest.raises(DagsterRequestError, match=said):
        DagsterClient("http://localhost:3000", None).query("query { version }")
