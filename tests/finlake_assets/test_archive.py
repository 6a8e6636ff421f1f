"""What a run of stream_archive asks its jobs for, and what Dagster hears of gaps."""

from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import pytest

from finlake_assets.archive import ends_of
from finlake_assets.partitions import STREAM_START, Timeline
from finlake_clients.calendar import TradingCalendar
from finlake_clients.kafka.topics import UnknownTopicError
from finlake_code_locations.build import build_defs
from finlake_resources.resources import KafkaResource
from spark.contracts.report import OffsetRange, Window
from tests.conftest import SettingsOf
from tests.finlake_assets.recording import LakeLog, recording_jobs

pytestmark = pytest.mark.slow

DAY = "2026-11-20"
TOPIC = "finlake.ods.finnhub_trades"
CHANGES = "bronze.finnhub_trades_cdc"


class Bench:
    """The stream's definitions over a recorded lake; Kafka is never asked."""

    def __init__(self, settings_of: SettingsOf) -> None:
        self.log = LakeLog()
        self.kafka = KafkaResource(bootstrap="127.0.0.1:1", password_file=None)
        self.defs = build_defs(settings_of("local", "sample"), jobs=recording_jobs(self.log), kafka=self.kafka)

    def run(self, ops: dict[str, Any] | None = None, select: list[str] | None = None) -> dg.ExecuteInProcessResult:
        return self.defs.resolve_job_def("stream_archive").execute_in_process(
            partition_key=DAY,
            run_config={"ops": ops or {}},
            raise_on_error=False,
            asset_selection=[dg.AssetKey(name.split(".")) for name in select] if select else None,
        )


@pytest.fixture
def bench(settings_of: SettingsOf) -> Bench:
    return Bench(settings_of)


def test_a_run_without_configuration_archives_both_topics_and_carries_them_on(bench: Bench) -> None:
    assert bench.run().success
    order = [call.job for call in bench.log.calls]
    assert set(order) == {CHANGES, "bronze.finnhub_quotes_cdc", "silver.trades", "silver.quotes", "gold.candles_1m"}
    assert order.index(CHANGES) < order.index("silver.trades") < order.index("gold.candles_1m")
    for call in bench.log.calls:
        assert call.window == Window(start=date(2026, 11, 20), end=date(2026, 11, 20))
    assert bench.log.call(CHANGES).inputs.ends is None
    assert isinstance(bench.log.call(CHANGES).inputs.topics, KafkaResource)
    assert bench.log.call("silver.trades").inputs.rebuild is False


def test_a_range_says_up_to_where_each_partition_is_archived(bench: Bench) -> None:
    ops = {"bronze__finnhub_trades_cdc": {"config": {"ranges": {"0": [100, 250], "1": [0, 7]}}}}
    assert bench.run(ops, select=[CHANGES, "silver.trades", "gold.candles_1m"]).success
    assert bench.log.call(CHANGES).inputs.ends == {0: 250, 1: 7}


@pytest.mark.parametrize("ranges", [{"0": [250, 100]}, {"0": [1]}, {"x": [1, 2]}, {"0": [-1, 2]}])
def test_what_is_no_range_is_refused_with_an_example(ranges: dict[str, list[int]]) -> None:
    with pytest.raises(dg.Failure, match=r'such as "0": \[100, 250\]'):
        ends_of(ranges)


def test_rebuilding_is_asked_for(bench: Bench) -> None:
    assert bench.run({"silver__trades": {"config": {"rebuild": True}}}, select=["silver.trades"]).success
    assert bench.log.call("silver.trades").inputs.rebuild is True


def test_a_topic_that_is_not_there_ends_the_run_for_good(bench: Bench) -> None:
    bench.log.failures[CHANGES] = UnknownTopicError("kafka", "127.0.0.1:1", f"there is no topic {TOPIC}")
    result = bench.run(select=[CHANGES, "silver.trades"])
    assert not result.success
    assert "silver.trades" not in {call.job for call in bench.log.calls}
    failure = result.failure_data_for_node("bronze__finnhub_trades_cdc")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert TOPIC in str(failure.user_failure_data.description)


def test_a_gap_is_a_warning_that_names_it_and_stops_nothing(bench: Bench) -> None:
    bench.log.gaps[CHANGES] = [OffsetRange(topic=TOPIC, partition=0, first=20, end=30)]
    result = bench.run()
    assert result.success
    (failed,) = [each for each in result.get_asset_check_evaluations() if not each.passed]
    assert (failed.check_name, failed.severity) == ("offsets_are_continuous", dg.AssetCheckSeverity.WARN)
    assert failed.metadata["missing_offsets"].value == 10
    assert f"{TOPIC}:0@20-30" in str(failed.description)


def test_the_stream_has_the_days_of_now_although_sample_sources_ended_years_ago() -> None:
    timeline = Timeline(TradingCalendar(), date(2000, 1, 3), sources_end_date=date(2018, 3, 27))
    just_after_midnight = datetime(2026, 11, 21, 0, 0, 1, tzinfo=UTC)
    keys = timeline.stream_days.get_partition_keys(current_time=just_after_midnight)
    assert (keys[0], keys[-1]) == (STREAM_START.isoformat(), "2026-11-21")
    assert timeline.stream_days.has_partition_key("2026-11-15"), "a Sunday, on which coins are traded"
