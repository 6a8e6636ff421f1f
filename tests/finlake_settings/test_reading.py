"""From variables to settings: defaults, what is refused and in which words, and the way back."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finlake_settings.checkout import CHECKOUT
from finlake_settings.declaration import Declared, declared
from finlake_settings.processes import PROCESSES, DagsterSettings, FeedSettings, ProcessSettings, Settings, SinkSettings
from finlake_settings.reading import SettingsError, read_settings, settings_from, variables_of

# What each process uses that has no default outside a local stack. Written by hand, by what its code reaches.
OWN = {
    "clickhouse_sink": {
        "FINLAKE_KAFKA_BOOTSTRAP": "kafka:9092",
        "FINLAKE_CLICKHOUSE_URL": "http://clickhouse:8123",
        "FINLAKE_CLICKHOUSE_SINK_PASSWORD_FILE": "/run/secrets/sink",
    },
    "trade_feed": {
        "FINLAKE_MARKET_URI": "postgresql://postgres/market",
        "FINLAKE_MARKET_FEED_PASSWORD_FILE": "/run/secrets/feed",
    },
    "capture_keeper": {"FINLAKE_CONNECT_URL": "https://connect:8083"},
    "sample_sources": {},
    "dagster": {
        "FINLAKE_CATALOG_URI": "postgresql+psycopg2://lake@postgres/lake",
        "FINLAKE_WAREHOUSE": "file:///lake",
        "FINLAKE_CATALOG_PASSWORD_FILE": "/run/secrets/lake",
        "FINLAKE_SPARK_REMOTE": "sc://spark:15002",
        "FINLAKE_STOOQ_DROP": "/drop",
        "FINLAKE_DAGSTER_URL": "http://dagster:3000",
        "FINLAKE_MARKET_URI": "postgresql://postgres/market",
        "FINLAKE_MARKET_RECONCILE_PASSWORD_FILE": "/run/secrets/reconcile",
        "FINLAKE_KAFKA_BOOTSTRAP": "kafka:9092",
        "FINLAKE_CONNECT_URL": "https://connect:8083",
        "FINLAKE_CLICKHOUSE_URL": "http://clickhouse:8123",
        "FINLAKE_CLICKHOUSE_ADMIN_PASSWORD_FILE": "/run/secrets/admin",
        "FINLAKE_CLICKHOUSE_READER_PASSWORD_FILE": "/run/secrets/reader",
    },
}
IN_PRODUCTION = {"FINLAKE_ENVIRONMENT": "production"}


@pytest.mark.parametrize("process", OWN)
def test_a_process_starts_with_the_variables_that_it_uses_and_no_others(process: str) -> None:
    assert settings_from(PROCESSES[process], IN_PRODUCTION | OWN[process]).sources == "live"


@pytest.mark.parametrize(("process", "name"), [(process, name) for process, own in OWN.items() for name in own])
def test_a_variable_that_is_missing_is_told_with_what_it_is_and_what_to_do(process: str, name: str) -> None:
    told = {each: value for each, value in (IN_PRODUCTION | OWN[process]).items() if each != name}
    with pytest.raises(SettingsError, match=f"^{name} is not set, and production has no default; set it: [^;]+$"):
        settings_from(PROCESSES[process], told)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as told:
        settings_from(SinkSettings, IN_PRODUCTION)
    assert set(re.findall("FINLAKE_[A-Z_]+", str(told.value))) == set(OWN["clickhouse_sink"])


def test_on_a_laptop_nothing_need_be_said() -> None:
    settings = settings_from(Settings, {})
    assert (settings.environment, settings.sources, settings.unattended) == ("local", "sample", False)
    assert settings.home == CHECKOUT / ".finlake"
    assert settings.universe.is_file()
    assert settings.kafka.password_file == settings.home / "secrets" / "kafka.password"
    assert settings.kafka.bootstrap == "127.0.0.1:19092"
    assert settings.finnhub.ws_url == "ws://127.0.0.1:18090/finnhub/ws"


def test_defaults_follow_the_folder_and_the_sources_that_were_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = settings_from(Settings, {"FINLAKE_HOME": "lake", "FINLAKE_SAMPLE_SOURCES_URL": "http://samples"})
    assert settings.warehouse == f"file://{tmp_path}/lake/warehouse"
    assert (settings.stooq.url, settings.gdelt.url) == ("http://samples", "http://samples")
    assert settings.finnhub.ws_url == "ws://samples/finnhub/ws"


def test_in_a_cluster_a_service_may_be_without_a_login() -> None:
    settings = settings_from(DagsterSettings, IN_PRODUCTION | OWN["dagster"])
    assert (settings.kafka.password_file, settings.spark.token_file, settings.connect.certificate_file) == (None, None, None)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"SOURCES": "sample"}, False),
        ({"SOURCES": "live"}, True),
        ({"SOURCES": "sample", "UNATTENDED": "1"}, True),
        ({"SOURCES": "live", "UNATTENDED": "false"}, False),
    ],
)
def test_work_runs_unattended_with_live_sources_or_where_it_is_asked_for(told: dict[str, str], expected: bool) -> None:
    assert settings_from(DagsterSettings, {f"FINLAKE_{name}": value for name, value in told.items()}).unattended is expected


def test_live_sources_get_the_vendors_addresses_and_no_token_of_the_samples() -> None:
    settings = settings_from(Settings, {"FINLAKE_SOURCES": "live"})
    assert (settings.finnhub.token_file, settings.sample_sources_url) == (None, None)
    assert settings.finnhub.url == "https://finnhub.io/api/v1"
    assert settings.stooq.url == "https://stooq.com"


def test_samples_outside_a_local_stack_have_to_be_named() -> None:
    told = {**OWN["trade_feed"], "FINLAKE_ENVIRONMENT": "staging", "FINLAKE_SOURCES": "sample"}
    with pytest.raises(SettingsError, match="^FINLAKE_SAMPLE_SOURCES_URL is not set"):
        settings_from(FeedSettings, told)
    assert settings_from(FeedSettings, told | {"FINLAKE_SAMPLE_SOURCES_URL": "http://samples"}).sources == "sample"


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (
            {"ENVIRONMENT": "nowhere"},
            r"^FINLAKE_ENVIRONMENT cannot be used \(.*'staging'.*\); correct or unset it: [^;]+; [^;]+$",
        ),
        (
            {"ENVIRONMENT": "production", "SOURCES": "sample"},
            "FINLAKE_SOURCES is sample, and production must not .*; set it to live",
        ),
        ({"UNATTENDED": "maybe"}, r"^FINLAKE_UNATTENDED cannot be used \(.*boolean.*\); correct or unset it"),
        (
            {"WAREHOUSE": "s3://lake"},
            "needs FINLAKE_S3_ENDPOINT, FINLAKE_S3_ACCESS_KEY_FILE, FINLAKE_S3_SECRET_KEY_FILE; set them",
        ),
        (
            {"STOOQ_DROP": "s3://drop", "S3_ENDPOINT": "http://s3", "S3_ACCESS_KEY_FILE": "/key"},
            "FINLAKE_S3_SECRET_KEY_FILE; set",
        ),
        ({"FINNHUB_WS_URL": "https://ws.finnhub.io"}, "FINLAKE_FINNHUB_WS_URL cannot be used .*ws:// or wss://"),
        ({"KAFKA_BOOTSTRAP": "kafka"}, "FINLAKE_KAFKA_BOOTSTRAP cannot be used .*host:port"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(told: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        settings_from(Settings, {f"FINLAKE_{name}": value for name, value in told.items()})


@pytest.mark.parametrize("name", ["CATALOG_URI", "MARKET_URI", "CLICKHOUSE_URL", "STOOQ_URL", "FINNHUB_WS_URL"])
@pytest.mark.parametrize("address", ["{scheme}://user:geheim@host/x", "{scheme}://host/x?password=geheim"])
def test_an_address_holds_no_password_and_no_message_shows_it(name: str, address: str) -> None:
    schemes = {"CATALOG_URI": "postgresql+psycopg2", "MARKET_URI": "postgresql", "FINNHUB_WS_URL": "wss"}
    with pytest.raises(SettingsError, match=f"FINLAKE_{name} cannot be used .*a password") as told:
        settings_from(Settings, {f"FINLAKE_{name}": address.format(scheme=schemes.get(name, "http"))})
    assert "geheim" not in str(told.value)


def test_an_empty_variable_counts_as_none() -> None:
    assert settings_from(Settings, {each.variable: "" for each in declared(Settings)}) == settings_from(Settings, {})


def test_variables_of_other_programs_and_of_no_setting_are_left_alone() -> None:
    # Kubernetes gives the like to every container beside a service called finlake-kafka.
    others = {"FINLAKE_KAFKA": "x", "FINLAKE_KAFKA_PORT": "tcp://10.0.0.1:9092", "KAFKA_BOOTSTRAP": "x"}
    assert settings_from(Settings, others) == settings_from(Settings, {})


def test_a_process_reads_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINLAKE_FINNHUB_SYMBOLS", "AAPL, BINANCE:ETHUSDT,")
    assert read_settings(FeedSettings).finnhub.symbols == ("AAPL", "BINANCE:ETHUSDT")


EVERY = tuple(declared(Settings))
texts = st.text("abcXYZ0189_-./{}% ", min_size=1).map(lambda text: f"/{text}")


def variables() -> st.SearchStrategy[dict[str, str]]:
    """Any files, any sources, some of them told."""
    files = {each.variable: texts for each in EVERY if each.variable.endswith("_FILE") or each.path in {("home",), ("universe",)}}
    return st.fixed_dictionaries(
        {},
        optional={
            **files,
            "FINLAKE_SOURCES": st.sampled_from(["sample", "live"]),
            "FINLAKE_UNATTENDED": st.sampled_from(["0", "yes"]),
            "FINLAKE_FINNHUB_SYMBOLS": st.lists(st.sampled_from(["AAPL", "BINANCE:X"]), min_size=1).map(",".join),
        },
    )


@given(variables())
def test_another_process_is_told_the_same(told: dict[str, str]) -> None:
    settings = settings_from(Settings, told)
    assert settings_from(Settings, variables_of(settings)) == settings


@pytest.mark.parametrize("setting", EVERY, ids=lambda each: each.variable)
def test_a_setting_says_what_it_is_and_is_used_by_a_process(setting: Declared) -> None:
    assert setting.setting.about
    assert setting.setting.about[-1] not in ".;"
    users = [name for name, model in PROCESSES.items() if setting.path in {each.path for each in declared(model)}]
    assert users


def test_no_two_settings_share_a_variable() -> None:
    assert len({each.variable for each in EVERY}) == len(EVERY)


@pytest.mark.parametrize("model", PROCESSES.values(), ids=PROCESSES)
def test_what_defaults_depend_on_comes_before_them(model: type[ProcessSettings]) -> None:
    paths = [each.path for each in declared(model)]
    assert paths[:3] == [("environment",), ("sources",), ("home",)]
    if ("sample_sources_url",) in paths:
        later = paths[paths.index(("sample_sources_url",)) :]
        assert {path for path in paths if path[0] in ("stooq", "gdelt", "finnhub")} <= set(later)
