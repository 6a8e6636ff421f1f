"""What a step asks its job for and what Dagster hears of it: one key, a range, a failed audit, checks alone."""

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import pytest

from finlake_assets import outages
from finlake_assets.asset_specs import code_version
from finlake_assets.bronze.gdelt_gkg import DayNotOverError, refuse_days_to_come
from finlake_assets.jobs import range_tags
from finlake_assets.run_table_job import fail_for_good
from finlake_clients.gdelt.feed import GdeltSlot, expected_slots
from finlake_clients.service_errors import ServiceUnavailableError
from finlake_clients.source_errors import ChallengePageError, NoDataError, SourceUnavailableError
from finlake_clients.stooq.prices_file import StooqBatch, StooqFile
from finlake_code_locations.build import build_defs
from finlake_resources.vendors import GdeltResource, StooqResource
from spark.contracts import gold, lake
from spark.contracts.report import AuditFailedError, JobReport, Window
from tests.conftest import SettingsOf
from tests.finlake_assets.recording import LakeLog, recording_jobs, report_of
from tests.finlake_assets.stream_fakes import StreamLog, resources_of

pytestmark = pytest.mark.slow

END = date(2018, 3, 27)
NEWS = ["bronze.gdelt_gkg", "bronze.gdelt_slots", "silver.news_mentions"]
FETCHED_TS = datetime(2018, 3, 28, tzinfo=UTC)


def csv_file(ticker: str, newest: str) -> StooqFile:
    content = f"Date,Open,High,Low,Close,Volume\r\n{newest},1,1,1,1,1\r\n".encode()
    return StooqFile(ticker, content, ticker.lower() * 8, "drop", f"{ticker.lower()}_us_d.csv", FETCHED_TS)


def scripted_stooq(
    dropped: list[StooqFile],
    asked: list[tuple[str, date | None, date | None]],
    answers: dict[str, Exception],
) -> StooqResource:
    class ScriptedStooq(StooqResource):
        def dropped_files(self, vendor_codes: Any) -> StooqBatch:
            return StooqBatch(list(dropped), [])

        def download(
            self,
            ticker: str,
            vendor_code: str,
            start: date | None = None,
            end: date | None = None,
        ) -> StooqFile:
            asked.append((ticker, start, end))
            if ticker in answers:
                raise answers[ticker]
            return csv_file(ticker, str(end))

    return ScriptedStooq(drop_location="-")


def scripted_gdelt(skipped: list[tuple[date, int]]) -> GdeltResource:
    class ScriptedGdelt(GdeltResource):
        def fetch_day(self, day: date, skip: Any = ()) -> Iterator[GdeltSlot]:
            skipped.append((day, len(skip)))
            for number, label in enumerate(label for label in expected_slots(day) if label not in skip):
                status = "absent" if number == 3 else "empty"
                yield GdeltSlot(label, status, "", 0, b"", "", 1, "")  # type: ignore[arg-type]

    return ScriptedGdelt()


class Bench:
    """The lake's definitions with recorded effects, and an instance to run them on."""

    def __init__(self, settings_of: SettingsOf) -> None:
        self.log = LakeLog()
        self.dropped = [csv_file(ticker, str(END)) for ticker in ("AAPL", "FB", "GOOG", "IBM", "MSFT")]
        self.asked: list[tuple[str, date | None, date | None]] = []
        self.answers: dict[str, Exception] = {}
        self.skipped: list[tuple[date, int]] = []
        self.instance = dg.DagsterInstance.ephemeral()
        self.defs = build_defs(
            settings_of("local", "sample"),
            jobs=recording_jobs(self.log),
            gdelt=scripted_gdelt(self.skipped),
            stooq=scripted_stooq(self.dropped, self.asked, self.answers),
            **resources_of(StreamLog(silent={"postgres", "kafka", "kafka_connect", "clickhouse"})),
        )

    def run(
        self,
        job: str,
        key: str | None = None,
        span: tuple[str, str] | None = None,
        select: list[str] | None = None,
        **options: Any,
    ) -> dg.ExecuteInProcessResult:
        return self.defs.resolve_job_def(job).execute_in_process(
            partition_key=key,
            tags=range_tags(*span) if span else None,
            instance=self.instance,
            raise_on_error=False,
            asset_selection=[dg.AssetKey(name.split(".")) for name in select] if select else None,
            **options,
        )


@pytest.fixture
def bench(settings_of: SettingsOf) -> Bench:
    return Bench(settings_of)


def events(result: dg.ExecuteInProcessResult, address: str) -> dict[str | None, dict[str, Any]]:
    """Metadata of an asset's materializations by partition."""
    return {
        event.partition: {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(address.split("."))
    }


def test_one_key_runs_the_whole_chain_over_one_session(bench: Bench) -> None:
    result = bench.run("lake_by_session", key="2018-03-27")
    assert result.success
    order = [call.job for call in bench.log.calls]
    assert order.index("bronze.stooq_prices") < order.index("silver.price_restatements")
    assert order.index("silver.price_restatements") < order.index("silver.prices_daily")
    assert order.index("silver.prices_daily") < order.index("gold.indicators")
    assert set(order) == {
        "bronze.stooq_prices",
        "silver.price_restatements",
        "silver.prices_daily",
        "silver.completeness",
        "gold.indicators",
        "gold.news_daily",
        "gold.stock_analytics",
        "gold.ml_features",
        "gold.ml_labels",
    }
    for call in bench.log.calls:
        assert call.window == Window(start=END, end=END)
        assert call.provenance.run_id == result.run_id
        assert call.provenance.partition == "2018-03-27"
        assert call.provenance.code_version == code_version(lake.table(call.job))


def test_days_that_do_not_exist_yet_are_refused_and_nothing_is_recorded(bench: Bench) -> None:
    result = bench.run("lake_by_day", span=("2099-01-01", "2099-01-02"), select=NEWS)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "2099-01-01 to 2099-01-02: the news of a day are fetched when it is over" in str(failure.step_failure_data)
    assert bench.skipped == []
    assert result.get_asset_materialization_events() == []


@pytest.mark.parametrize(
    ("end", "now", "is_over"),
    [
        # Midnight in New York is 04:00 UTC in summer and 05:00 in winter.
        (date(2018, 7, 2), datetime(2018, 7, 3, 3, 59, tzinfo=UTC), False),
        (date(2018, 7, 2), datetime(2018, 7, 3, 4, 0, tzinfo=UTC), True),
        (date(2018, 1, 2), datetime(2018, 1, 3, 4, 59, tzinfo=UTC), False),
        (date(2018, 1, 2), datetime(2018, 1, 3, 5, 0, tzinfo=UTC), True),
    ],
)
def test_a_day_is_fetched_once_it_is_over_in_new_york(end: date, now: datetime, is_over: bool) -> None:
    with nullcontext() if is_over else pytest.raises(DayNotOverError, match="Nothing was recorded"):
        refuse_days_to_come(Window(start=end, end=end), now)


def test_a_range_is_one_run_and_one_job_per_table(bench: Bench) -> None:
    result = bench.run("lake_by_session", span=("2018-03-29", "2018-04-03"))
    assert result.success
    assert bench.log.call("gold.indicators").window == Window(start=date(2018, 3, 29), end=date(2018, 4, 3))
    assert bench.log.call("gold.indicators").provenance.partition == "2018-03-29...2018-04-03"
    # 30 March is Good Friday, then a week-end.
    assert set(events(result, "gold.indicators")) == {"2018-03-29", "2018-04-02", "2018-04-03"}


def test_rows_are_counted_by_partition_and_long_metadata_are_stored_once(bench: Bench) -> None:
    shown = events(bench.run("lake_by_session", span=("2018-03-29", "2018-04-03")), "gold.indicators")
    assert [shown[key]["dagster/partition_row_count"] for key in sorted(shown, key=str)] == [5, 0, 5]
    assert all(metadata["iceberg/snapshot_id"] == "9007199254740993" for metadata in shown.values())
    assert [key for key in shown if "time_travel" in shown[key]] == ["2018-04-03"]
    assert shown["2018-04-03"]["input_snapshots"] == {"silver.prices_daily": "7"}


def test_snapshot_is_the_data_version(bench: Bench) -> None:
    result = bench.run("lake_by_session", key="2018-03-27")
    key = dg.AssetKey(["gold", "indicators"])
    (event,) = [event for event in result.get_asset_materialization_events() if event.asset_key == key]
    assert (event.materialization.tags or {})["dagster/data_version"] == "9007199254740993"


def test_a_month_reaches_to_its_last_day(bench: Bench) -> None:
    assert bench.run("lake_by_month", span=("2018-01-01", "2018-02-01")).success
    assert bench.log.call("gold.monthly_summary").window == Window(start=date(2018, 1, 1), end=date(2018, 2, 28))


@pytest.mark.parametrize("span", [("2011-11-01", "2011-11-30"), ("2018-03-26", "2018-04-02")])
def test_verdicts_are_told_every_session_whatever_the_window(bench: Bench, span: tuple[str, str]) -> None:
    bench.run("lake_by_session", span=span, select=["silver.price_restatements"])
    sessions = bench.log.call("silver.price_restatements").inputs.sessions
    assert sessions[0] == date(1990, 1, 2)
    assert sessions[-1] > date(2026, 1, 1)


def test_prices_are_told_which_dates_are_sessions(bench: Bench) -> None:
    bench.run("lake_by_session", span=("2018-03-29", "2018-04-02"))
    sessions = [date(2018, 3, 29), date(2018, 4, 2)]
    assert bench.log.call("silver.prices_daily").inputs.sessions == tuple(sessions)
    news = bench.log.call("gold.news_daily").inputs.sessions
    # All of them: the job looks back for decaying tone, and ahead where news have changed.
    assert list(news) == sorted(news)
    assert news[news.index(sessions[0]) + 1] == sessions[1]
    assert news[0] <= date(2000, 1, 3)


def test_mentions_are_told_the_closes_around_the_window(bench: Bench) -> None:
    assert bench.run("lake_by_day", key="2018-03-31", select=NEWS).success
    closes = bench.log.call("silver.news_mentions").inputs.closes
    assert closes == [
        (date(2018, 3, 29), datetime(2018, 3, 29, 20, tzinfo=UTC)),
        (date(2018, 4, 2), datetime(2018, 4, 2, 20, tzinfo=UTC)),
    ]


def test_a_failed_audit_is_recorded_and_stops_everything_downstream(bench: Bench) -> None:
    window = Window(start=END, end=END)
    bad = report_of("silver.prices_daily", window, {"silver.prices_daily prices_positive": 3})
    bench.log.failures["silver.prices_daily"] = AuditFailedError(bad, "audit_1234")
    result = bench.run("lake_by_session", key="2018-03-27")
    assert not result.success
    assert not {"gold.indicators", "gold.stock_analytics", "gold.ml_labels"} & {call.job for call in bench.log.calls}
    failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert [(e.check_name, e.metadata["failing_rows"].value) for e in failed] == [("prices_positive", 3)]
    offending = failed[0].metadata["offending_rows"]
    assert isinstance(offending, dg.TableMetadataValue)
    assert offending.records[0].data == {"ticker": "AAPL", "row": "bad"}
    failure = result.failure_data_for_node("silver__prices_daily")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert "prices_positive" in str(failure.user_failure_data.description)
    assert "ticker=AAPL" in str(failure.user_failure_data.description)
    assert failure.user_failure_data.metadata["branch"].value == "audit_1234"
    assert events(result, "silver.prices_daily") == {}


class Times(dict[str, Exception]):
    """Failures that happen so many times each, and then no more."""

    def __init__(self, times: int, job: str, error: Exception) -> None:
        super().__init__({job: error})
        self.left = times

    def __contains__(self, job: object) -> bool:
        if not super().__contains__(job) or self.left == 0:
            return False
        self.left -= 1
        return True


SPARK_AWAY = ServiceUnavailableError("spark_connect", "sc://127.0.0.1:1", "Socket closed")


@pytest.mark.parametrize(("times", "succeeds"), [(1, True), (outages.TRIES_MORE, True), (outages.TRIES_MORE + 1, False)])
def test_a_step_whose_engine_goes_away_is_tried_again_a_few_times_and_the_run_goes_on(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    times: int,
    succeeds: bool,  # noqa: FBT001 - a value of the table
) -> None:
    monkeypatch.setattr(outages, "PAUSE_S", 0)
    bench.log.failures = Times(times, "silver.prices_daily", SPARK_AWAY)
    result = bench.run("lake_by_session", key="2018-03-27")
    assert result.success is succeeds
    calls = [call.job for call in bench.log.calls]
    assert calls.count("silver.prices_daily") == min(times, outages.TRIES_MORE) + 1
    assert calls.count("gold.indicators") == int(succeeds)
    assert calls.count("bronze.stooq_prices") == 1


def test_what_would_fail_again_is_not_tried_again() -> None:
    with pytest.raises(dg.Failure, match="drop files") as failure:
        fail_for_good("drop files")
    assert failure.value.allow_retries is False


def test_a_warning_is_recorded_and_stops_nothing(bench: Bench) -> None:
    window = Window(start=date(2018, 3, 26), end=date(2018, 3, 26))
    absent = report_of("bronze.gdelt_slots", window, {"bronze.gdelt_slots slot_present": 2})
    bench.log.reports["bronze.gdelt_gkg"] = JobReport(tables=(report_of("bronze.gdelt_gkg", window), absent))
    result = bench.run("lake_by_day", key="2018-03-26", select=NEWS)
    assert result.success
    failed = [
        e for e in result.get_asset_check_evaluations() if not e.passed and e.asset_key == dg.AssetKey(["bronze", "gdelt_slots"])
    ]
    assert [(e.check_name, e.severity) for e in failed] == [("slot_present", dg.AssetCheckSeverity.WARN)]


def test_every_contract_check_is_evaluated_in_a_run(bench: Bench) -> None:
    result = bench.run("lake_by_session", key="2018-03-27")
    key = dg.AssetKey(["gold", "indicators"])
    evaluated = {each.check_name for each in result.get_asset_check_evaluations() if each.asset_key == key}
    promised = {check.name for check in gold.INDICATORS.checks}
    assert evaluated == promised | {"grain_is_unique", "required_columns_present", "rows_equal_prices"}


def test_a_write_that_changed_nothing_is_judged_as_it_stands(bench: Bench) -> None:
    window = Window(start=END, end=END)
    same = report_of("silver.price_restatements", window)
    unchanged = JobReport(tables=(type(same)(address=same.address, row_count=0, is_changed=False),))
    bench.log.reports["silver.price_restatements"] = unchanged
    result = bench.run("lake_by_session", key="2018-03-27", select=["silver.price_restatements"])
    assert result.success
    assert bench.log.checked == [("silver.price_restatements", window)]
    assert events(result, "silver.price_restatements")["2018-03-27"]["published"] is False


def test_checks_over_no_row_say_so(bench: Bench) -> None:
    window = Window(start=END, end=END)
    same = report_of("silver.prices_daily", window)
    bench.log.reports["silver.prices_daily"] = JobReport(
        tables=(type(same)(address=same.address, row_count=0, is_changed=False),)
    )
    bench.log.judged_count = 0
    result = bench.run("lake_by_session", key="2018-03-27", select=["silver.prices_daily"])
    of_contract = [each for each in result.get_asset_check_evaluations() if "judged_rows" in each.metadata]
    assert len(of_contract) >= 6
    assert [each.check_name for each in of_contract if not str(each.description).startswith("no row was judged: ")] == []


def test_rejected_rows_are_reported_on_the_quarantine(bench: Bench) -> None:
    window = Window(start=END, end=END)
    bench.log.reports["silver.prices_daily"] = JobReport(
        tables=(report_of("silver.prices_daily", window),),
        quarantined_count=4,
        quarantine_samples=({"source_name": "aapl_us_d.csv", "reason": "impossible_price"},),
    )
    result = bench.run("lake_by_session", key="2018-03-27")
    (rejected,) = events(result, "silver.quarantine").values()
    assert rejected["rejected_rows"] == 4
    assert rejected["samples"].records[0].data["reason"] == "impossible_price"
    assert events(result, "silver.prices_daily")["2018-03-27"]["quarantined_rows"] == 4


def test_checks_alone_write_nothing_and_ask_no_vendor(bench: Bench) -> None:
    bench.log.newest_dates = {address: END for address in lake.TABLES}
    result = bench.run("checks_only")
    assert bench.log.calls == []
    assert bench.asked == []
    assert bench.skipped == []
    assert {address for address, _ in bench.log.checked} == set(lake.TABLES) - {"silver.quarantine", "silver.price_decisions"}
    assert {window for _, window in bench.log.checked} == {None}
    evaluated = {e.check_name for e in result.get_asset_check_evaluations()}
    assert {"is_fresh", "prices_positive"} <= evaluated


def test_checks_alone_record_what_failed_and_how_badly(bench: Bench) -> None:
    bench.log.failing_checks = {"gold.indicators rsi_in_range": 1, "bronze.gdelt_slots slot_present": 5}
    result = bench.run("checks_only")
    severities = {each.check_name: each.severity for each in result.get_asset_check_evaluations() if not each.passed}
    assert severities["rsi_in_range"] == dg.AssetCheckSeverity.ERROR
    assert severities["slot_present"] == dg.AssetCheckSeverity.WARN


def test_dropped_files_that_reach_the_window_make_downloads_unnecessary(bench: Bench) -> None:
    assert bench.run("lake_by_session", key="2018-03-27").success
    assert bench.asked == []
    files = bench.log.call("bronze.stooq_prices").inputs.files
    assert files == bench.dropped


def test_a_ticker_no_file_covers_is_downloaded_with_an_overlap(bench: Bench) -> None:
    bench.dropped[:] = [file for file in bench.dropped if file.ticker not in ("MSFT", "IBM")]
    bench.log.known_sessions = {"MSFT": date(2018, 3, 20)}
    assert bench.run("lake_by_session", key="2018-03-27").success
    # 65 sessions before the window, whether the ticker is not known at all (IBM) or not that far (MSFT).
    assert bench.asked == [("IBM", date(2017, 12, 20), END), ("MSFT", date(2017, 12, 20), END)]
    files = bench.log.call("bronze.stooq_prices").inputs.files
    assert isinstance(files, list)
    assert {file.ticker for file in files} == {"AAPL", "FB", "GOOG", "IBM", "MSFT"}


def test_a_ticker_without_data_is_a_problem_and_the_rest_goes_on(bench: Bench) -> None:
    bench.dropped[:] = []
    problem = NoDataError("ibm.us", "nothing", "Check the code")
    bench.answers["IBM"] = problem
    assert bench.run("lake_by_session", key="2018-03-27").success
    inputs = bench.log.call("bronze.stooq_prices").inputs
    assert inputs.problems == [problem]
    assert isinstance(inputs.files, list)
    assert len(inputs.files) == 4


def test_a_refusing_vendor_fails_the_run_with_its_message_and_is_not_asked_again(bench: Bench) -> None:
    bench.dropped[:] = []
    bench.answers["AAPL"] = ChallengePageError("https://stooq.com", "it wants a browser", "Drop the files")
    result = bench.run("lake_by_session", key="2018-03-27")
    assert not result.success
    assert {call.job for call in bench.log.calls} == {"gold.news_daily"}  # the only table that needs no prices
    assert len(bench.asked) == 1
    failure = result.failure_data_for_node("bronze__stooq_prices")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert failure.user_failure_data.description == "https://stooq.com: it wants a browser. Drop the files."


def test_a_refusing_vendor_keeps_no_dropped_file_out_and_is_told_by_a_failed_check(bench: Bench) -> None:
    bench.dropped[:] = bench.dropped[:2]
    refusal = ChallengePageError("https://stooq.com", "it wants a browser", "Drop the files")
    bench.answers["GOOG"] = refusal
    result = bench.run("lake_by_session", key="2018-03-27")
    assert result.success
    inputs = bench.log.call("bronze.stooq_prices").inputs
    assert (inputs.files, inputs.problems) == (bench.dropped, [refusal])
    assert len(bench.asked) == 1
    assert "gold.indicators" in {call.job for call in bench.log.calls}
    (told,) = [each for each in result.get_asset_check_evaluations() if each.check_name == "vendor_answered"]
    assert (told.passed, told.severity, told.description) == (False, dg.AssetCheckSeverity.ERROR, str(refusal))
    assert told.metadata["refusal"].value == "ChallengePageError"
    assert told.metadata["was_asked"].value is True


def test_a_vendor_that_is_not_reached_fails_the_run_after_the_dropped_files_are_written(bench: Bench) -> None:
    bench.dropped[:] = bench.dropped[:2]
    bench.answers["GOOG"] = SourceUnavailableError("https://stooq.com", "the server is not reached", "Run again")
    result = bench.run("lake_by_session", key="2018-03-27")
    assert not result.success
    assert bench.log.call("bronze.stooq_prices").inputs.files == bench.dropped
    assert events(result, "bronze.stooq_prices")
    failure = result.failure_data_for_node("bronze__stooq_prices")
    assert failure is not None
    assert "the server is not reached" in str(failure.error)


def test_the_vendor_is_not_asked_when_a_run_says_so(bench: Bench) -> None:
    bench.dropped[:] = bench.dropped[:1]
    config = {"ops": {"bronze__stooq_prices": {"config": {"asks_vendor": False}}}}
    result = bench.run("lake_by_session", key="2018-03-27", run_config=config)
    assert result.success
    assert bench.asked == []
    (told,) = [each for each in result.get_asset_check_evaluations() if each.check_name == "vendor_answered"]
    assert (told.passed, told.metadata["was_asked"].value) == (True, False)


def test_each_day_skips_loaded_slots_and_names_the_missing_ones(bench: Bench) -> None:
    first, second = date(2018, 3, 11), date(2018, 3, 12)
    bench.log.slots = {second: set(expected_slots(second)[:90])}
    result = bench.run("lake_by_day", span=("2018-03-11", "2018-03-12"), select=NEWS)
    assert result.success
    assert bench.skipped == [(first, 0), (second, 90)]
    slots = bench.log.call("bronze.gdelt_gkg").inputs.slots
    assert isinstance(slots, list)
    assert len(slots) == 92 + 6  # clocks change on the first day
    shown = events(result, "bronze.gdelt_gkg")
    assert shown["2018-03-11"]["missing_slots"] == "2018-03-11 05:45Z absent"
    assert shown["2018-03-12"]["missing_slots"] == "2018-03-13 03:15Z absent"
