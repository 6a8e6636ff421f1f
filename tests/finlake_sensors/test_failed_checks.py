"""Checks that fail in runs that end well: the webhook hears of each once, and once that it is well again."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from finlake_assets.asset_specs import WAS_ASKED
from finlake_assets.speed.health_checks import HEALTH_CHECKS
from finlake_sensors import failed_checks
from tests.finlake_assets.stream_fakes import StreamLog, webhook_of

KEY = dg.AssetKey(["bronze", "stooq_prices"])
REFUSED = dg.AssetCheckResult(passed=False, description="https://stooq.com wants a browser. Drop the files.")
ANSWERED = dg.AssetCheckResult(passed=True, metadata={WAS_ASKED: True})
UNASKED = dg.AssetCheckResult(passed=True, metadata={WAS_ASKED: False})
NAME = "bronze/stooq_prices vendor_answered"


class Watch:
    """The sensor over a check that finds what a test says, run by run."""

    def __init__(self) -> None:
        self.log = StreamLog()
        self.cursor: str | None = None
        self.instance = dg.DagsterInstance.ephemeral()
        self._finds = ANSWERED

        @dg.asset_check(asset=KEY, name="vendor_answered")
        def vendor_answered() -> dg.AssetCheckResult:
            return self._finds

        @dg.asset_check(asset=HEALTH_CHECKS[0].asset, name=HEALTH_CHECKS[0].name)
        def asked_anew() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=False)

        job = dg.define_asset_job("checks", selection=dg.AssetSelection.all_asset_checks())
        self._repository = dg.Definitions(
            assets=[dg.AssetSpec(KEY), dg.AssetSpec(HEALTH_CHECKS[0].asset)],
            asset_checks=[vendor_answered, asked_anew],
            jobs=[job],
        ).get_repository_def()
        self._sensor = failed_checks.build("local", dg.DefaultSensorStatus.STOPPED)

    def finds(self, result: dg.AssetCheckResult) -> None:
        """A run ends well and has found this."""
        self._finds = result
        assert self._repository.get_job("checks").execute_in_process(instance=self.instance).success

    def begins(self) -> None:
        """A run is there and has found nothing yet."""
        self.instance.create_run_for_job(self._repository.get_job("checks"))
        key = dg.AssetCheckKey(KEY, "vendor_answered")
        newest = self.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
        assert newest.status.value == "PLANNED"

    def look(self, times: int = 1) -> str:
        found: Any = None
        for _ in range(times):
            with dg.build_sensor_context(
                instance=self.instance,
                cursor=self.cursor,
                repository_def=self._repository,
                resources={"alerts": webhook_of(self.log)},
            ) as context:
                found = self._sensor.evaluate_tick(context)
            self.cursor = found.cursor
        return str(found.skip_message)

    def sent(self) -> list[tuple[list[str], list[str]]]:
        return [(list(each["turned_bad"]), list(each["turned_well"])) for each in self.log.sent]  # type: ignore[call-overload]


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    yield watch
    watch.instance.dispose()


def test_a_check_that_has_not_run_yet_is_nothing_to_tell(watch: Watch) -> None:
    assert watch.look(3) == "no error among 0 checks"
    assert watch.sent() == []


def test_a_refusal_in_a_run_that_ended_well_is_told_once_with_its_words_and_once_that_it_is_over(watch: Watch) -> None:
    watch.finds(ANSWERED)
    assert watch.look(2) == "no error among 1 checks"
    watch.finds(REFUSED)
    watch.look(3)
    assert watch.sent() == [([NAME], [])]
    assert f"BAD {NAME}: {REFUSED.description}" in str(watch.log.sent[0]["text"])
    watch.finds(ANSWERED)
    watch.look(3)
    assert watch.sent() == [([NAME], []), ([], [NAME])]


def test_a_run_that_did_not_ask_the_vendor_does_not_say_that_he_is_well_again(watch: Watch) -> None:
    watch.finds(REFUSED)
    watch.look(2)
    watch.finds(UNASKED)
    watch.look(3)
    assert watch.sent() == [([NAME], [])]


def test_a_check_that_is_under_way_is_as_it_was_last_found(watch: Watch) -> None:
    watch.finds(REFUSED)
    watch.look(2)
    watch.begins()
    watch.look(3)
    assert watch.sent() == [([NAME], [])]


def test_a_warning_is_for_people_who_look(watch: Watch) -> None:
    watch.finds(dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN))
    watch.look(3)
    assert watch.sent() == []
