"""The thin shells: what they look at, what they request, and that the requested runs can be carried out."""

from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import pytest

from finlake_assets.jobs import PRICES_CHAIN, RESTATED_CHAIN, range_tags
from finlake_clients.gdelt.feed import expected_slots
from finlake_clients.price_ledgers import PendingRestatement
from finlake_clients.stooq.drop_location import DropEntry
from finlake_clients.stooq.prices_file import StooqBatch, StooqFile
from finlake_code_locations.build import build_defs
from finlake_resources.vendors import StooqResource
from finlake_settings.processes import DagsterSettings
from spark.contracts import lake
from spark.contracts.report import Window
from tests.conftest import SettingsOf
from tests.finlake_assets.recording import LakeLog, recording_jobs

pytestmark = pytest.mark.slow

START, NEWEST = date(2018, 1, 2), date(2018, 3, 27)
TICKERS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
WRITTEN_TS = datetime(2018, 3, 28, 1, tzinfo=UTC)


def drop_of(entries: list[DropEntry], asked: list[tuple[str, date | None, date | None]]) -> StooqResource:
    class Drop(StooqResource):
        def list_drop(self) -> list[DropEntry]:
            return entries

        def dropped_files(self, vendor_codes: Any) -> StooqBatch:
            return StooqBatch([], [])

        def download(
            self,
            ticker: str,
            vendor_code: str,
            start: date | None = None,
            end: date | None = None,
        ) -> StooqFile:
            asked.append((ticker, start, end))
            return StooqFile(ticker, b"", "0" * 64, "http", vendor_code, WRITTEN_TS)

    return Drop(drop_location="-")


class ShortHistory(DagsterSettings):
    """Every partition of a run is an event."""

    @property
    def history_start(self) -> date:
        return START


class Shells:
    """The sensors and schedules of an environment over a recorded lake."""

    def __init__(self, settings_of: SettingsOf, sources: Any = "sample") -> None:
        self.log = LakeLog()
        self.entries: list[DropEntry] = []
        self.asked: list[tuple[str, date | None, date | None]] = []
        self.instance = dg.DagsterInstance.ephemeral()
        self.settings = ShortHistory.model_validate(settings_of("local", sources).model_dump())
        self.defs = build_defs(self.settings, jobs=recording_jobs(self.log), stooq=drop_of(self.entries, self.asked))
        self.repository = self.defs.get_repository_def()

    def look(self, sensor: str, cursor: str | None = None) -> Any:
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=cursor,
            repository_def=self.repository,
            definitions=None,
            resources=self.repository.get_top_level_resources(),
        )
        return self.repository.get_sensor_def(sensor).evaluate_tick(context)

    def tick(self, schedule: str, now: str) -> Any:
        context = dg.build_schedule_context(
            instance=self.instance,
            repository_def=self.repository,
            scheduled_execution_time=datetime.fromisoformat(now),
            resources=self.repository.get_top_level_resources(),
        )
        return self.repository.get_schedule_def(schedule).evaluate_tick(context)

    def carry_out(self, job: str, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            run_config=request.run_config,
            tags=request.tags,
            partition_key=request.partition_key,
            asset_selection=list(request.asset_selection) if request.asset_selection else None,
        )


@pytest.fixture
def shells(settings_of: SettingsOf) -> Shells:
    return Shells(settings_of)


def test_dropped_files_are_carried_to_gold_in_one_run_without_the_vendor(shells: Shells) -> None:
    shells.entries.append(DropEntry("aapl_us_d.csv", 10, WRITTEN_TS))
    shells.log.known_sessions = {"AAPL": date(2018, 3, 22)}
    first = shells.look("stooq_arrivals")
    assert first.skip_message == "waiting until these no longer grow: aapl_us_d.csv"
    second = shells.look("stooq_arrivals", first.cursor)
    (request,) = second.run_requests
    result = shells.carry_out("lake_by_session", request)
    assert result.success
    assert shells.log.call("bronze.stooq_prices").window == Window(start=date(2018, 3, 23), end=NEWEST)
    assert {call.job for call in shells.log.calls} >= {"silver.prices_daily", "gold.ml_labels"}
    assert shells.asked == []
    assert shells.look("stooq_arrivals", second.cursor).skip_message == "nothing new"


def test_an_archive_concerns_the_whole_universe(shells: Shells) -> None:
    shells.entries.append(DropEntry("d_us_txt.zip", 10, WRITTEN_TS))
    shells.log.known_sessions = {ticker: NEWEST for ticker in TICKERS if ticker != "FB"}
    (request,) = shells.look("stooq_arrivals", shells.look("stooq_arrivals").cursor).run_requests
    assert request.tags.items() >= range_tags("2018-01-02", "2018-03-27").items()


def test_a_restatement_requests_its_own_recomputation(shells: Shells) -> None:
    shells.log.pending = [
        PendingRestatement(
            ticker="AAPL",
            file_sha256="a" * 64,
            fetched_ts=WRITTEN_TS,
            recompute_from_date=date(2018, 2, 14),
            needs_whole_history=False,
        )
    ]
    (request,) = shells.look("price_restatements").run_requests
    assert shells.carry_out("lake_by_session", request).success
    assert {call.job for call in shells.log.calls} == {".".join(key.path) for key in RESTATED_CHAIN}
    assert {call.window for call in shells.log.calls} == {Window(start=date(2018, 2, 14), end=NEWEST)}


def test_a_partial_restatement_downloads_the_ticker_again_before_it_recomputes(shells: Shells) -> None:
    shells.log.known_sessions = dict.fromkeys(TICKERS, NEWEST)
    shells.log.pending = [
        PendingRestatement(
            ticker="AAPL",
            file_sha256="a" * 64,
            fetched_ts=WRITTEN_TS,
            recompute_from_date=date(1984, 9, 7),
            needs_whole_history=True,
        )
    ]
    (request,) = shells.look("price_restatements").run_requests
    assert shells.carry_out("lake_by_session", request).success
    assert shells.asked == [("AAPL", None, NEWEST)]
    order = [call.job for call in shells.log.calls]
    assert order.index("silver.price_restatements") < order.index("silver.prices_daily")
    assert order.index("silver.prices_daily") < order.index("gold.indicators")


def test_a_run_in_flight_is_waited_for(shells: Shells) -> None:
    shells.log.pending = [
        PendingRestatement(
            ticker="AAPL",
            file_sha256="a" * 64,
            fetched_ts=WRITTEN_TS,
            recompute_from_date=date(2018, 2, 14),
            needs_whole_history=False,
        )
    ]
    shells.instance.create_run_for_job(shells.defs.resolve_job_def("lake_by_session"), status=dg.DagsterRunStatus.STARTED)
    found = shells.look("price_restatements")
    assert found.run_requests == []
    assert found.skip_message == "a recomputation is under way"


def months_after(shells: Shells, **options: Any) -> Any:
    result = shells.defs.resolve_job_def("lake_by_session").execute_in_process(instance=shells.instance, **options)
    context = dg.build_run_status_sensor_context(
        sensor_name="months_follow_sessions",
        dagster_event=result.get_run_success_event(),
        dagster_instance=shells.instance,
        dagster_run=result.dagster_run,
        partition_key=None,
    )
    return shells.repository.get_sensor_def("months_follow_sessions")(context)


def test_months_follow_a_range_of_sessions(shells: Shells) -> None:
    request = months_after(
        shells, tags=range_tags("2018-01-15", "2018-03-27"), asset_selection=[dg.AssetKey(["gold", "stock_analytics"])]
    )
    assert shells.carry_out("lake_by_month", request).success
    assert shells.log.call("gold.monthly_summary").window == Window(start=date(2018, 1, 1), end=date(2018, 3, 31))


def test_months_follow_one_session(shells: Shells) -> None:
    request = months_after(shells, partition_key="2018-03-27", asset_selection=[dg.AssetKey(["gold", "stock_analytics"])])
    assert request.tags.items() >= range_tags("2018-03-01", "2018-03-01").items()


def test_months_do_not_follow_a_run_without_analytics(shells: Shells) -> None:
    found = months_after(shells, partition_key="2018-03-27", asset_selection=[dg.AssetKey(["gold", "indicators"])])
    assert isinstance(found, dg.SkipReason)


def test_after_a_close_the_price_chain_runs_and_missed_sessions_with_it(settings_of: SettingsOf) -> None:
    shells = Shells(settings_of, "live")
    shells.log.newest_dates = {"silver.prices_daily": date(2026, 11, 17)}
    (request,) = shells.tick("after_close", "2026-11-20T18:00:00-05:00").run_requests
    assert request.tags.items() >= range_tags("2026-11-18", "2026-11-20").items()
    assert set(request.asset_selection) == set(PRICES_CHAIN)


def test_a_gap_longer_than_automation_reaches_takes_gold_along(settings_of: SettingsOf) -> None:
    shells = Shells(settings_of, "live")
    shells.log.newest_dates = {"silver.prices_daily": date(2026, 8, 3)}
    (request,) = shells.tick("after_close", "2026-11-20T18:00:00-05:00").run_requests
    assert request.asset_selection is None
    assert request.tags["dagster/asset_partition_range_start"] == "2026-08-04"


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ("2026-11-26T18:00:00-05:00", "2026-11-26 is no session of the exchange: a holiday or a week-end"),
        ("2026-11-20T15:00:00-05:00", "the session of 2026-11-20 closes at 21:00Z"),
        ("2026-11-27T18:00:00-05:00", "the session of 2026-11-27 was asked for at 15:00 New York time"),
    ],
)
def test_the_schedule_says_why_it_skips(settings_of: SettingsOf, now: str, reason: str) -> None:
    found = Shells(settings_of, "live").tick("after_close", now)
    assert found.run_requests == []
    assert found.skip_message.startswith(reason)


def test_sample_sources_are_not_asked_for_what_they_do_not_have(shells: Shells) -> None:
    assert "the sources end on 2018-03-27" in shells.tick("after_close", "2026-11-20T18:00:00-05:00").skip_message
    assert "the sources end on 2018-03-27" in shells.tick("news_of_the_day", "2026-11-20T00:40:00-05:00").skip_message


def test_news_are_fetched_again_only_while_slots_are_missing(settings_of: SettingsOf) -> None:
    shells, day = Shells(settings_of, "live"), date(2026, 11, 19)
    shells.log.slots = {day: set(expected_slots(day)[:95])}
    (request,) = shells.tick("news_of_the_day", "2026-11-20T06:40:00-05:00").run_requests
    assert request.partition_key == "2026-11-19"
    shells.log.slots = {day: set(expected_slots(day))}
    again = shells.tick("news_of_the_day", "2026-11-20T06:40:00-05:00")
    assert again.skip_message == "all 96 slots of 2026-11-19 are loaded"


def test_the_month_that_is_over_is_summarised(settings_of: SettingsOf) -> None:
    (request,) = Shells(settings_of, "live").tick("month_end", "2026-11-02T08:00:00-05:00").run_requests
    assert request.partition_key == "2026-10-01"


@pytest.mark.parametrize("schedule", ["daily_checks", "weekly_upkeep"])
def test_care_is_scheduled_for_everything(shells: Shells, schedule: str) -> None:
    (request,) = shells.tick(schedule, "2026-11-21T11:00:00-05:00").run_requests
    assert request.partition_key is None
    assert len(lake.TABLES) > 0
