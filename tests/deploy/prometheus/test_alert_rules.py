"""Alert rules: sound by Prometheus's own checker and unit tests, about metrics that our services really export."""

import re
import subprocess
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.services import SERVICES, default_ports
from deploy.prometheus import checker
from finlake_services.capture_keeper.metrics import KeeperMetrics
from finlake_services.clickhouse_local.execution import Endpoint
from finlake_services.clickhouse_local.metrics import EndpointMetrics as EndpointMetrics
from finlake_services.clickhouse_sink.metrics import SinkMetrics as SinkMetrics
from finlake_services.trade_feed.metrics import FeedMetrics

FOLDER = checker.FOLDER
RUNBOOK = "docs/operate/alerts.md"


def read(name: str) -> dict[str, Any]:
    return cast(dict[str, Any], yaml.safe_load((FOLDER / name).read_text(encoding="utf-8")))


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in read("alerts.yml")["groups"] for rule in group["rules"]}


@pytest.fixture(scope="module")
def promtool() -> Path:
    """Prometheus's own checker. Where it cannot be had, that is said and not passed over."""
    found = checker.find()
    if found is None:
        reason = (
            "promtool is not here: alert rules are checked for form and names only, their unit tests do not run. "
            "`python -m deploy.prometheus.checker` builds it where Go is"
        )
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "--lint=all", "--lint-fatal", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
)
def test_prometheus_accepts_configuration_and_rules_and_its_unit_tests_pass(promtool: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run([promtool, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def exported() -> set[str]:
    """Names of all samples that our services export, of counters and histograms those they come to have."""

    class Idle:
        def count(self) -> int:
            return 0

        @property
        def registry(self) -> "Idle":
            return self

        @property
        def engine(self) -> "Idle":
            return self

        home = FOLDER

    registries: list[CollectorRegistry] = [FeedMetrics().registry, SinkMetrics().registry, KeeperMetrics().registry]
    families = [family for registry in registries for family in registry.collect()]
    families += text_string_to_metric_families(EndpointMetrics(cast(Endpoint, Idle())).text().decode())
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
    return {f"{family.name}{suffix}" for family in families for suffix in suffixes.get(family.type, ("",))}


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"\bfinlake_[a-z0-9_]+", expression))


def test_every_metric_that_a_rule_or_its_test_names_is_exported() -> None:
    told = exported()
    assert "finlake_sink_lag_records" in told
    wrong = {name: missing for name, rule in alerts().items() if (missing := metrics_in(rule["expr"]) - told)}
    series = {
        name for test in read("alerts_test.yml")["tests"] for each in test["input_series"] for name in metrics_in(each["series"])
    }
    assert wrong == {}
    assert series - told == set()


def test_every_rule_says_how_bad_it_is_what_is_wrong_and_what_to_do() -> None:
    rules = [rule for group in read("alerts.yml")["groups"] for rule in group["rules"]]
    assert len(rules) == len(alerts())
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]
        assert rule["annotations"]["description"], rule["alert"]


@pytest.fixture(scope="module")
def runbook() -> list[tuple[str, str, str]]:
    """Of each section of the runbook: its group, its title, its text."""
    page = (Path(__file__).resolve().parents[3] / RUNBOOK).read_text(encoding="utf-8")
    return [
        (group.partition("\n")[0], *section.partition("\n")[::2])
        for group in page.split("\n## Group: ")[1:]
        for section in group.split("\n### ")[1:]
    ]


def test_every_rule_has_its_section_in_the_runbook_and_names_it(runbook: list[tuple[str, str, str]]) -> None:
    groups = read("alerts.yml")["groups"]
    assert [(group, title) for group, title, _ in runbook] == [
        (group["name"], rule["alert"]) for group in groups for rule in group["rules"]
    ]
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOK}#{name.lower()}", name


def test_every_section_of_the_runbook_says_where_to_look_and_what_to_do(runbook: list[tuple[str, str, str]]) -> None:
    assert [title for _, title, text in runbook if "\n- Look: " not in text or "\n- Do: " not in text] == []


def minutes(duration: str) -> float:
    """A duration as the cases have it, such as 1m45s."""
    found = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", duration)
    assert found is not None, duration
    return int(found[1] or 0) + int(found[2] or 0) / 60


def test_every_rule_fires_by_its_cause_and_is_over_when_the_cause_is() -> None:
    resolved = set()
    for test in read("alerts_test.yml")["tests"]:
        cases: list[Mapping[str, Any]] = test["alert_rule_test"]
        fired = {case["alertname"]: minutes(case["eval_time"]) for case in cases if case["exp_alerts"]}
        resolved |= {
            case["alertname"]
            for case in cases
            if not case["exp_alerts"] and minutes(case["eval_time"]) > fired.get(case["alertname"], float("inf"))
        }
    assert resolved == set(alerts())


def test_the_ports_scraped_are_those_of_the_stack() -> None:
    scraped = {
        job["job_name"]: int(target.rpartition(":")[2])
        for job in read("prometheus.yml")["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
    }
    ports = default_ports()
    assert scraped.keys() >= {"trade_feed", "capture_keeper", "clickhouse_sink", "clickhouse"}
    assert scraped == {name: ports[name] for name, service in SERVICES.items() if service.metrics_path is not None}


def test_every_target_bears_the_label_by_which_its_absence_is_told() -> None:
    labels = [static["labels"] for job in read("prometheus.yml")["scrape_configs"] for static in job["static_configs"]]
    assert [each for each in labels if each != {"stack": "finlake"}] == []
    assert alerts()["TargetDown"]["expr"] == 'up{stack="finlake"} == 0'


def test_the_checker_is_pinned_by_checksums() -> None:
    module = (checker.MODULE / "go.mod").read_text()
    version = re.search(r"github\.com/prometheus/prometheus (v\S+)", module)
    assert version is not None
    assert f"github.com/prometheus/prometheus {version[1]} h1:" in (checker.MODULE / "go.sum").read_text()


def test_a_machine_without_go_is_told_and_not_failed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(checker, "built", lambda: tmp_path / "promtool")
    checker.main()
    assert "install Go" in capsys.readouterr().err
