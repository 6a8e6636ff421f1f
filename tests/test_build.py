"""finlake is installed from its checkout, and says so to whoever builds a package of it."""

import zipfile
from importlib import import_module
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from finlake_settings.checkout import CHECKOUT


@pytest.mark.parametrize("builder", [WheelBuilder, SdistBuilder])
def test_a_package_is_refused_with_what_to_do_instead(builder: type[WheelBuilder | SdistBuilder], tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="runs from its checkout, not a package; clone it and run `make install`"):
        list(builder(str(CHECKOUT)).build(directory=str(tmp_path), versions=["standard"]))
    assert list(tmp_path.glob("*.whl")) == list(tmp_path.glob("*.tar.gz")) == []


def test_an_editable_installation_is_the_checkout_itself(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(CHECKOUT)).build(directory=str(tmp_path), versions=["editable"])
    with zipfile.ZipFile(wheel) as archive:
        (path_file,) = (name for name in archive.namelist() if name.endswith(".pth"))
        assert archive.read(path_file).decode().strip() == str(CHECKOUT)


def test_what_is_found_in_the_checkout_is_there() -> None:
    files = ("pyproject.toml", "universe.toml", "workspace.yaml")
    assert [name for name in files if not (CHECKOUT / name).is_file()] == []
    for module, name in (
        ("deploy.local.jars", "LOCK_FILE"),
        ("deploy.local.postgres", "SQL_FILES"),
        ("deploy.local.connectors", "FOLDER"),
        ("deploy.clickhouse.migration_files", "FOLDER"),
        ("deploy.prometheus.checker", "MODULE"),
    ):
        assert getattr(import_module(module), name).exists(), f"{module}.{name}"
