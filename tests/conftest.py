"""Fixtures for every room: settings of each environment, as if the process had been told only what a test says."""

import os
from collections.abc import Callable

import pytest
from hypothesis import settings as hypothesis_settings

from finlake_resources.environment import EnvironmentName, RawEnvironment, SourcesName
from finlake_resources.settings import Settings, settings_for

# How long an example takes says nothing about its truth, least of all on a busy machine.
hypothesis_settings.register_profile("finlake", deadline=None)
hypothesis_settings.load_profile("finlake")

SettingsOf = Callable[[EnvironmentName, SourcesName], Settings]


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
