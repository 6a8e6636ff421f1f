"""What runs outside a checkout is pinned, and runs what people run."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
WORKFLOW = REPOSITORY / ".github/workflows/ci.yml"
HOOKS = REPOSITORY / ".pre-commit-config.yaml"


def test_every_action_is_pinned_to_a_commit_and_says_its_version() -> None:
    actions = re.findall(r"uses: (.+)", WORKFLOW.read_text())
    assert actions
    assert [action for action in actions if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", action)] == []


def test_ci_runs_all_that_make_test_runs_and_may_only_read() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text())
    for job in workflow["jobs"].values():
        commands = [step["run"] for step in job["steps"] if "run" in step]
        # What else a job does stands in the Makefile, where people can run it too.
        assert all(re.fullmatch(r"make [a-z-]+", command) for command in commands)
    assert any("make test" in (step.get("run") for step in job["steps"]) for job in workflow["jobs"].values())
    assert workflow["permissions"] == {"contents": "read"}


def test_every_target_that_ci_and_people_are_told_of_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))
    told = {
        target
        for page in (WORKFLOW, *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md")))
        for target in re.findall(r"(?:^|[`:] ?)make ([a-z-]+)", page.read_text(), flags=re.MULTILINE)
    }
    assert {"install", "test"} <= told <= targets


def test_ci_runs_every_python_that_the_project_is_for() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    matrix = yaml.safe_load(WORKFLOW.read_text())["jobs"]["test"]["strategy"]["matrix"]["python"]
    first, beyond = re.findall(r"3\.(\d+)", project["requires-python"])
    assert matrix == [f"3.{minor}" for minor in range(int(first), int(beyond))]


def test_what_is_locked_elsewhere_is_proposed_by_dependabot() -> None:
    updates = yaml.safe_load((REPOSITORY / ".github/dependabot.yml").read_text())["updates"]
    assert {update["package-ecosystem"] for update in updates} >= {"uv", "github-actions"}


def test_hooks_are_local_and_check_style_types_and_documents() -> None:
    repositories = yaml.safe_load(HOOKS.read_text())["repos"]
    assert {repository["repo"] for repository in repositories} == {"local"}
    entries = [hook["entry"] for repository in repositories for hook in repository["hooks"]]
    for tool in ("ruff check", "mypy", "finlake_cli.documents --check"):
        assert any(tool in entry for entry in entries), tool


@pytest.mark.parametrize("form", sorted((REPOSITORY / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem)
def test_a_form_asks_for_something_that_must_be_said(form: Path) -> None:
    asked = yaml.safe_load(form.read_text())
    if form.stem == "config":
        return
    assert asked["name"]
    assert asked["description"]
    names = [part["id"] for part in asked["body"] if part["type"] != "markdown"]
    assert names
    assert len(names) == len(set(names))
    assert any(part.get("validations", {}).get("required") for part in asked["body"])
