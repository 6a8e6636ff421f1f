"""The one code location of a workspace file, told to a code server and to those who ask it."""

from pathlib import Path

import pytest
from dagster._core.workspace.load import location_origins_from_yaml_paths

from deploy.local.errors import StackError
from deploy.local.workspace import CodeLocation, code_location, served_workspace
from finlake_settings.checkout import CHECKOUT


def written(folder: Path, text: str) -> Path:
    file = folder / "workspace.yaml"
    file.write_text(text)
    return file


def test_the_house_has_one_location_and_its_module_can_be_loaded() -> None:
    assert code_location(CHECKOUT / "workspace.yaml") == CodeLocation("lake", ("--module-name", "finlake_code_locations.lake"))


def test_a_file_lies_beside_the_workspace(tmp_path: Path) -> None:
    file = written(tmp_path, "load_from: [{python_file: {relative_path: defs.py, location_name: tests}}]")
    assert code_location(file) == CodeLocation("tests", ("--python-file", str(tmp_path / "defs.py")))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "load_from: []",
        "load_from: [{python_module: {module_name: a}}]",
        "load_from: [{python_module: {module_name: a, location_name: a}}, {python_module: {module_name: b, location_name: b}}]",
    ],
)
def test_no_location_or_several_are_refused_with_what_is_wanted(tmp_path: Path, text: str) -> None:
    with pytest.raises(StackError, match="has to name one code location"):
        code_location(written(tmp_path, text))


def test_those_who_ask_find_the_socket(tmp_path: Path) -> None:
    socket = tmp_path / "my lake" / "code.sock"
    file = written(tmp_path, served_workspace(CodeLocation("lake", ()), socket))
    (origin,) = location_origins_from_yaml_paths([str(file)])
    assert (origin.location_name, getattr(origin, "socket", None)) == ("lake", str(socket))
