"""Is Dagster ready? Its webserver's word, in the probe's."""

from pathlib import Path
from typing import Any

import pytest

from deploy.local.engines import dagster
from deploy.local.layout import Layout
from deploy.local.probes import BrokenError, NotReadyError
from deploy.local.service import Process
from deploy.local.services import default_ports
from deploy.local.settings import StackSettings


def entry(kind: str, message: str = "", status: str = "LOADED") -> dict[str, Any]:
    return {"name": "lake", "loadStatus": status, "locationOrLoadError": {"__typename": kind, "message": message}}


@pytest.mark.parametrize(
    ("told", "error", "said"),
    [
        (entry("RepositoryLocation"), None, ""),
        (entry("RepositoryLocation", status="LOADING"), NotReadyError, "lake is loading"),
        (
            entry("PythonError", "dagster._core.errors.DagsterUserCodeUnreachableError: Could not reach user code server.\n"),
            NotReadyError,
            "Could not reach user code server",
        ),
        (
            entry("PythonError", "\nModuleNotFoundError: No module named 'lake'\n"),
            BrokenError,
            "cannot be loaded: ModuleNotFoundError",
        ),
    ],
)
def test_code_that_is_wrong_is_broken_and_a_code_server_that_is_away_may_come_back(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    told: dict[str, Any],
    error: type[Exception] | None,
    said: str,
) -> None:
    monkeypatch.setattr(dagster, "get", lambda *_: None)
    workspace = {"__typename": "Workspace", "locationEntries": [told]}
    monkeypatch.setattr(dagster, "_query", lambda *_: {"workspaceOrError": workspace})
    process = Process(Layout(tmp_path, tmp_path), StackSettings(default_ports()), "dagster_webserver", 0)
    if error is None:
        dagster.webserver_probe(process)
    else:
        with pytest.raises(error, match=said):
            dagster.webserver_probe(process)
