"""The rooms and what each may import. The table below is the architecture: to change it is to change the design."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Each room, and the rooms that it may import. Written from the floor up: a room knows only rooms above it in this table, so
# that no arrow runs up and none in a circle.
MAY_KNOW: dict[str, tuple[str, ...]] = {
    "spark": (),
    "finlake_ml": (),
    "finlake_settings": (),
    "finlake_clients": ("spark", "finlake_settings"),
    "finlake_reconciliation": ("spark", "finlake_settings", "finlake_clients"),
    "finlake_resources": ("finlake_settings", "finlake_clients", "finlake_reconciliation"),
    "finlake_assets": ("spark", "finlake_settings", "finlake_clients", "finlake_reconciliation", "finlake_resources"),
    "finlake_sensors": ("spark", "finlake_settings", "finlake_clients", "finlake_resources", "finlake_assets"),
    "finlake_code_locations": (
        "spark",
        "finlake_settings",
        "finlake_clients",
        "finlake_resources",
        "finlake_assets",
        "finlake_sensors",
    ),
    "finlake_services": ("spark", "finlake_settings", "finlake_clients"),
    "deploy": ("spark", "finlake_settings", "finlake_clients", "finlake_services"),
    "finlake_proofs": (
        "spark",
        "finlake_settings",
        "finlake_clients",
        "finlake_reconciliation",
        "finlake_assets",
        "finlake_services",
        "deploy",
    ),
    "finlake_cli": (
        "spark",
        "finlake_settings",
        "finlake_clients",
        "finlake_reconciliation",
        "finlake_services",
        "deploy",
        "finlake_proofs",
    ),
}
ROOMS = tuple(MAY_KNOW)
# The floors of `spark`, in the same way.
FLOORS_OF_SPARK: dict[str, tuple[str, ...]] = {
    "spark.contracts": (),
    "spark.schemas": ("spark.contracts",),
    "spark.transforms": ("spark.contracts", "spark.schemas"),
    "spark.lake": ("spark.contracts", "spark.schemas"),
    "spark.jobs": ("spark.contracts", "spark.schemas", "spark.transforms", "spark.lake"),
    "spark.upkeep": ("spark.contracts", "spark.lake"),
}

ENGINES = ("pyspark", "pyiceberg", "polars", "pyarrow", "pandas", "numpy", "exchange_calendars")
CLIENTS = ("confluent_kafka", "clickhouse_connect", "psycopg", "psycopg2", "sqlalchemy", "httpx", "requests", "boto3")
MODELS = ("tensorflow", "keras", "sklearn", "mlflow")

# Room, and the libraries that nothing in it imports, neither at the top nor inside a function.
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "spark": ("dagster", *MODELS),
    "finlake_ml": ("dagster", "pyspark"),
    "finlake_settings": ("dagster", *ENGINES, *CLIENTS, *MODELS, "chdb"),
    "finlake_clients": ("dagster", *MODELS, "chdb"),
    "finlake_reconciliation": ("dagster", *MODELS, "chdb"),
    "finlake_assets": (*ENGINES, *CLIENTS, *MODELS, "chdb"),
    "finlake_sensors": (*ENGINES, *CLIENTS, *MODELS, "chdb"),
    "finlake_code_locations": (*ENGINES, *CLIENTS, *MODELS, "chdb"),
    "finlake_services": ("dagster", *MODELS),
}
# Modules that import nothing but the standard library and these.
STANDARD_LIBRARY_AND: dict[str, tuple[str, ...]] = {
    "finlake_settings": ("finlake_settings", "pydantic"),
    "spark/contracts": ("spark.contracts",),
    "finlake_sensors/plans.py": (),
    "finlake_sensors/alert_plans.py": (),
}
# Of spark, Dagster's rooms know contracts; everything else is behind a resource's verb.
SPARK_SEEN_BY_GLUE = ("spark.contracts",)
# In modules that Dagster loads, these are imported inside the verb that needs them.
LATE = (*ENGINES, *CLIENTS, *MODELS, "chdb", "tenacity", "spark.lake", "spark.jobs", "spark.transforms")
LOADED_BY_DAGSTER = (
    "finlake_settings",
    "finlake_clients",
    "finlake_reconciliation",
    "finlake_resources",
    "finlake_assets",
    "finlake_sensors",
    "finlake_code_locations",
)
# Whose whole work is a client: Dagster's definitions do not load them.
NOT_LOADED_BY_DAGSTER = ("finlake_clients/dagster_graphql.py",)
# A session sets the switch that pyspark's functions look at, and the embedded engine has no other settings than variables.
MAY_READ_THE_ENVIRONMENT = (
    "finlake_settings/reading.py",
    "finlake_settings/machine.py",
    "spark/lake/session.py",
    "spark/lake/embedded.py",
)


@dataclass(frozen=True)
class Import:
    """One import statement: the module it names, where, and whether it runs when the file is imported."""

    module: str
    where: str
    is_at_import: bool


def sources(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> tuple[Import, ...]:
    return tuple(_imports(parsed(path), str(path.relative_to(ROOT)), is_at_import=True))


def _imports(node: ast.AST, file: str, *, is_at_import: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, f"{file}:{child.lineno}", is_at_import)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield Import(child.module, f"{file}:{child.lineno}", is_at_import)
            for alias in child.names:
                yield Import(f"{child.module}.{alias.name}", f"{file}:{child.lineno}", is_at_import)
        else:
            runs_now = is_at_import and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing_only = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
            yield from _imports(child, file, is_at_import=runs_now and not typing_only)


def is_of(module: str, roots: tuple[str, ...]) -> bool:
    return any(module == root or module.startswith(f"{root}.") for root in roots)


def test_a_room_may_know_only_rooms_on_the_floors_below_it() -> None:
    for table in (MAY_KNOW, FLOORS_OF_SPARK):
        places = list(table)
        wrong = [
            f"{room} -> {known}" for number, room in enumerate(places) for known in table[room] if known not in places[:number]
        ]
        assert wrong == []


def test_every_package_of_the_top_level_is_a_room() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_knows_the_rooms_that_it_may_know_and_no_other(room: str) -> None:
    others = tuple(each for each in ROOMS if each not in (room, *MAY_KNOW[room]))
    wrong = [
        f"{each.where} imports {each.module}" for path in sources(room) for each in imports(path) if is_of(each.module, others)
    ]
    assert wrong == []


@pytest.mark.parametrize("floor", FLOORS_OF_SPARK)
def test_computing_has_floors_too(floor: str) -> None:
    place = floor.replace(".", "/")
    others = tuple(each for each in FLOORS_OF_SPARK if each not in (floor, *FLOORS_OF_SPARK[floor]))
    paths = sources(place) if (ROOT / place).is_dir() else sources(f"{place}.py")
    assert paths
    wrong = [f"{each.where} imports {each.module}" for path in paths for each in imports(path) if is_of(each.module, others)]
    assert wrong == []


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_imports_nothing_of_another_trade(room: str) -> None:
    wrong = [
        f"{each.where} imports {each.module}"
        for path in sources(room)
        for each in imports(path)
        if is_of(each.module, FORBIDDEN[room])
    ]
    assert wrong == []


@pytest.mark.parametrize("place", STANDARD_LIBRARY_AND)
def test_a_place_needs_the_standard_library_and_little_else(place: str) -> None:
    wrong = [
        f"{each.where} imports {each.module}"
        for path in sources(place)
        for each in imports(path)
        if each.module.split(".")[0] not in sys.stdlib_module_names
        and each.module not in ("spark",)
        and not is_of(each.module, STANDARD_LIBRARY_AND[place])
    ]
    assert sources(place)
    assert wrong == []


@pytest.mark.parametrize("room", ["finlake_assets", "finlake_sensors", "finlake_code_locations"])
def test_glue_sees_contracts_and_no_more_of_spark(room: str) -> None:
    wrong = [
        f"{each.where} imports {each.module}"
        for path in sources(room)
        for each in imports(path)
        if is_of(each.module, ("spark",)) and each.module != "spark" and not is_of(each.module, SPARK_SEEN_BY_GLUE)
    ]
    assert wrong == []


@pytest.mark.parametrize("room", LOADED_BY_DAGSTER)
def test_loading_definitions_loads_no_engine_and_no_client(room: str) -> None:
    wrong = [
        f"{each.where} imports {each.module} at import"
        for path in sources(room)
        if str(path.relative_to(ROOT)) not in NOT_LOADED_BY_DAGSTER
        for each in imports(path)
        if each.is_at_import and is_of(each.module, LATE)
    ]
    assert wrong == []


def test_transforms_know_no_session_and_no_clock() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} uses {ast.unparse(node)}"
        for path in sources("spark/transforms")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute | ast.Name)
        and ast.unparse(node) in ("SparkSession", "datetime.now", "date.today", "time.time", "datetime.utcnow")
    ]
    assert wrong == []


@pytest.mark.parametrize("room", ROOMS)
def test_one_room_reads_environment_variables(room: str) -> None:
    wrong = []
    for path in sources(room):
        if str(path.relative_to(ROOT)) in MAY_READ_THE_ENVIRONMENT:
            continue
        tree = parsed(path)
        wrong += [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and ast.unparse(node) in ("os.environ", "os.getenv", "os.environb")
        ]
        wrong += [each.where for each in imports(path) if each.module in ("os.environ", "os.getenv")]
        wrong += [each.where for each in imports(path) if is_of(each.module, ("pydantic_settings",))]
    assert wrong == []


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_finds_files_by_its_own_place(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources(room)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Name) and node.id == "__file__"
    ]
    assert wrong == []


@pytest.mark.parametrize("room", ["finlake_assets", "finlake_sensors"])
def test_modules_of_definitions_keep_their_annotations(room: str) -> None:
    # Dagster reads annotations of contexts and resources when a decorator runs; as text they mean nothing to it.
    wrong = [each.where for path in sources(room) for each in imports(path) if each.module == "__future__.annotations"]
    assert wrong == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_package_says_at_its_door_what_belongs_in_it(room: str) -> None:
    for folder in {path.parent for path in sources(room)}:
        door = folder / "__init__.py"
        assert door.is_file(), f"{folder.relative_to(ROOT)} is no package"
        tree = parsed(door)
        assert ast.get_docstring(tree), f"{door.relative_to(ROOT)} says nothing"
        assert len(tree.body) == 1, f"{door.relative_to(ROOT)} holds more than its docstring"


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_says_what_it_is(room: str) -> None:
    silent = [str(path.relative_to(ROOT)) for path in sources(room) if not ast.get_docstring(parsed(path))]
    assert silent == []


def test_a_class_has_one_name_in_the_house_and_a_name_one_class() -> None:
    places: dict[str, list[str]] = {}
    for room in ROOMS:
        for path in sources(room):
            for node in ast.walk(parsed(path)):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    wrong = [
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in sources(room)
        if path.stem in drawers or path.parent.name in drawers
    ]
    assert wrong == []


def test_the_walk_sees_imports_inside_functions_and_tells_them_from_those_at_import() -> None:
    tree = ast.parse(
        "from typing import TYPE_CHECKING\nimport os\nif TYPE_CHECKING:\n    import polars\n"
        "def verb():\n    from pyiceberg.table import Table\n",
    )
    found = {each.module: each.is_at_import for each in _imports(tree, "x.py", is_at_import=True)}
    assert found["os"] is True
    assert found["polars"] is False
    assert found["pyiceberg.table"] is False
    assert is_of("pyiceberg.table", ("pyiceberg",))
    assert not is_of("pyiceberg_core", ("pyiceberg",))
