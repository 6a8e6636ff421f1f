"""What runs outside a checkout is pinned, and runs what people run."""

import re
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
WORKFLOW = REPOSITORY / ".github/workflows/ci.yml"
HOOKS = REPOSITORY / ".pre-commit-config.yaml"


def test_every_action_is_pinned_to_a_commit_and_says_its_version() -> None:
    actions = re.findall(r"uses: (.+)", WORKFLOW.read_text())
    assert actions
    assert [action for action in actions if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", action)] == []


def test_ci_runs_the_target_that_people_run_and_may_only_read() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text())
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert commands == ["make test"]
    assert workflow["permissions"] == {"contents": "read"}
    assert re.search(r"^test:", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE)


def test_hooks_are_local_and_check_style_types_and_documents() -> None:
    (repository,) = yaml.safe_load(HOOKS.read_text())["repos"]
    assert repository["repo"] == "local"
    assert {hook["id"] for hook in repository["hooks"]} == {"ruff", "mypy", "generated-docs"}
