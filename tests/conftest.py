"""For every room: settings of each environment, as if told only by a test; and which tests of the stack run beside which."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from finlake_resources.environment import EnvironmentName, RawEnvironment, SourcesName
from finlake_resources.settings import Settings, settings_for

# How long an example takes says nothing about its truth, least of all on a busy machine.
hypothesis_settings.register_profile("finlake", deadline=None)
hypothesis_settings.load_profile("finlake")

SettingsOf = Callable[[EnvironmentName, SourcesName], Settings]

OF_THE_LAKE_ALONE = tuple(Path(__file__).parent / "integration" / folder for folder in ("lake", "s3"))
STACKS_OF_THEIR_OWN = tuple(f"tests/{path}" for path in (
    "deploy/test_stack.py", "finlake_services/clickhouse_local/", "integration/s3/", "integration/stream/test_chaos.py",
    "integration/stream/test_reconcile.py", "integration/stream/test_sink.py"))


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
def settings_of(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> SettingsOf:
    """Settings of an environment with sample or live sources; no variable of the caller's shell gets in."""
    for name in list(os.environ):
        if name.startswith("FINLAKE_"):
            monkeypatch.delenv(name)

    def settings(environment: EnvironmentName, sources: SourcesName) -> Settings:
        told = {
            "home": tmp_path, "catalog_uri": "postgresql+psycopg2://lake@127.0.0.1:1/lake",
            "catalog_password_file": f"{tmp_path}/password", "warehouse": f"file://{tmp_path}/warehouse",
            "spark_remote": "sc://127.0.0.1:1", "dagster_url": "http://127.0.0.1:1", "stooq_drop": f"{tmp_path}/drop",
            "market_uri": "postgresql://127.0.0.1:1/market", "kafka_bootstrap": "127.0.0.1:1",
            "connect_url": "http://127.0.0.1:1", "clickhouse_url": "http://127.0.0.1:1",
            "market_feed_password_file": f"{tmp_path}/password", "market_reconcile_password_file": f"{tmp_path}/password",
            **{f"clickhouse_{user}_password_file": f"{tmp_path}/password" for user in ("admin", "sink", "reader")},
        }
        return settings_for(RawEnvironment.model_validate({"environment": environment, "sources": sources, **told}))

    return settings
