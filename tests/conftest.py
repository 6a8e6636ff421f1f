"""For every room: settings of each environment, as if told only by a test; and which tests of the stack run beside which."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from finlake_settings.declaration import EnvironmentName, SourcesName
from finlake_settings.processes import DagsterSettings
from finlake_settings.reading import settings_from

# How long an example takes says nothing about its truth, least of all on a busy machine.
hypothesis_settings.register_profile("finlake", deadline=None)
hypothesis_settings.load_profile("finlake")

SettingsOf = Callable[[EnvironmentName, SourcesName], DagsterSettings]

OF_THE_LAKE_ALONE = tuple(Path(__file__).parent / "integration" / folder for folder in ("lake", "s3"))
STACKS_OF_THEIR_OWN = tuple(
    f"tests/{path}"
    for path in (
        "deploy/test_stack.py",
        "finlake_services/clickhouse_local/",
        "integration/s3/",
        "integration/dagster/test_spark_away.py",
        "integration/stream/test_chaos.py",
        "integration/stream/test_reconcile.py",
        "integration/stream/test_sink.py",
    )
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the lake alone come first: what others start of the stack takes a part of the machine also at rest.

    What engines and their clients warn of on a running stack, or in a long test, is shown and is no error.
    """
    items.sort(key=lambda item: not any(item.path.is_relative_to(folder) for folder in OF_THE_LAKE_ALONE))
    for item in items:
        if item.get_closest_marker("stack") or item.get_closest_marker("long"):
            item.add_marker(pytest.mark.filterwarnings("default"), append=False)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadscope` the tests that share one stack run beside those that start their own, each in their order.

    Not by xdist's groups: it adds them to names of tests in a way that pytest 9.2 does not take.
    """
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = lambda nodeid: nodeid.startswith(STACKS_OF_THEIR_OWN)
    return scheduler


@pytest.fixture
def settings_of(tmp_path: Path) -> SettingsOf:
    """Settings of an environment with sample or live sources."""

    def settings(environment: EnvironmentName, sources: SourcesName) -> DagsterSettings:
        told = {
            "ENVIRONMENT": environment,
            "SOURCES": sources,
            "HOME": str(tmp_path),
            "CATALOG_URI": "postgresql+psycopg2://lake@127.0.0.1:1/lake",
            "WAREHOUSE": f"file://{tmp_path}/warehouse",
            "SPARK_REMOTE": "sc://127.0.0.1:1",
            "DAGSTER_URL": "http://127.0.0.1:1",
            "STOOQ_DROP": f"{tmp_path}/drop",
            "SAMPLE_SOURCES_URL": "http://127.0.0.1:1",
            "MARKET_URI": "postgresql://127.0.0.1:1/market",
            "KAFKA_BOOTSTRAP": "127.0.0.1:1",
            "CONNECT_URL": "http://127.0.0.1:1",
            "CLICKHOUSE_URL": "http://127.0.0.1:1",
            **{
                f"{owner}_PASSWORD_FILE": f"{tmp_path}/password"
                for owner in ("CATALOG", "MARKET_RECONCILE", "CLICKHOUSE_ADMIN", "CLICKHOUSE_READER")
            },
        }
        return settings_from(DagsterSettings, {f"FINLAKE_{name}": value for name, value in told.items()})

    return settings
