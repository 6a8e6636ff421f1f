"""The sensor over the topics: what it asks Kafka and the lake, what it requests, and that the runs can be carried out."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from finlake_clients.kafka.topics import KafkaRecord, Watermarks
from finlake_code_locations.build import build_defs
from finlake_resources.resources import KafkaResource
from spark.contracts import lake, streams
from tests.conftest import SettingsOf
from tests.finlake_assets.recording import LakeLog, recording_jobs

TRADES, QUOTES = "bronze.finnhub_trades_cdc", "bronze.finnhub_quotes_cdc"
LONG_AGO = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=3)


def scripted_topics(marks: dict[str, dict[int, Watermarks]], next_day: dict[str, dict[int, int]]) -> KafkaResource:
    class ScriptedTopics(KafkaResource):
        def watermarks(self, topic: str) -> dict[int, Watermarks]:
            return marks[topic]

        def first_appended(self, topic: str, partition: int, offset: int) -> datetime | None:
            return LONG_AGO

        def offsets_at(self, topic: str, moment: datetime) -> dict[int, int]:
            assert moment == LONG_AGO.replace(hour=0) + timedelta(days=1)
            return next_day[topic]

        def read(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[KafkaRecord]]:
            raise AssertionError("a sensor reads no records")

    return ScriptedTopics(bootstrap="-", password_file=None)


class Shell:
    """The sensor of an environment over a recorded lake and scripted topics."""

    def __init__(self, settings_of: SettingsOf) -> None:
        self.log = LakeLog()
        self.marks = {streams.TRADES.topic: {0: Watermarks(0, 300)}, streams.QUOTES.topic: {0: Watermarks(0, 40)}}
        self.next_day = {streams.TRADES.topic: {0: 200}, streams.QUOTES.topic: {0: 40}}
        self.instance = dg.DagsterInstance.ephemeral()
        self.defs = build_defs(
            settings_of("local", "live"), jobs=recording_jobs(self.log), kafka=scripted_topics(self.marks, self.next_day)
        )
        self.repository = self.defs.get_repository_def()

    def look(self, cursor: str | None = None) -> Any:
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=cursor,
            repository_def=self.repository,
            definitions=None,
            resources=self.repository.get_top_level_resources(),
        )
        return self.repository.get_sensor_def("stream_ranges").evaluate_tick(context)

    def carry_out(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        return self.defs.resolve_job_def("stream_archive").execute_in_process(
            instance=self.instance,
            run_config=request.run_config,
            tags=request.tags,
            partition_key=request.partition_key,
            asset_selection=list(request.asset_selection or ()),
        )


@pytest.fixture
def shell(settings_of: SettingsOf) -> Shell:
    return Shell(settings_of)


def test_every_topic_gets_a_run_of_its_own_chain_over_exactly_its_range(shell: Shell) -> None:
    shell.log.positions[TRADES] = {(streams.TRADES.topic, 0): 100}
    trades, quotes = shell.look().run_requests
    assert trades.run_key == f"{streams.TRADES.topic}:0@100-200"
    assert quotes.run_key == f"{streams.QUOTES.topic}:0@0-40"
    assert trades.partition_key == quotes.partition_key == LONG_AGO.date().isoformat()
    assert shell.carry_out(trades).success
    assert [call.job for call in shell.log.calls] == [TRADES, "silver.trades", "gold.candles_1m"]
    assert shell.log.call(TRADES).inputs.ends == {0: 200}
    assert shell.carry_out(quotes).success
    assert [call.job for call in shell.log.calls][3:] == [QUOTES, "silver.quotes"]


def test_a_topic_with_a_run_under_way_waits_and_the_other_does_not(shell: Shell) -> None:
    first = shell.look()
    shell.instance.create_run_for_job(
        shell.defs.resolve_job_def("stream_archive"), tags=first.run_requests[0].tags, status=dg.DagsterRunStatus.STARTED
    )
    shell.log.positions[QUOTES] = {(streams.QUOTES.topic, 0): 30}
    (request,) = shell.look(first.cursor).run_requests
    assert request.run_key == f"{streams.QUOTES.topic}:0@30-40"


def test_what_is_archived_is_not_asked_for(shell: Shell) -> None:
    shell.log.positions = {TRADES: {(streams.TRADES.topic, 0): 300}, QUOTES: {(streams.QUOTES.topic, 0): 40}}
    result = shell.look()
    assert result.run_requests == []
    assert result.skip_message == f"{streams.TRADES.topic} is archived; {streams.QUOTES.topic} is archived"


def test_a_range_whose_run_left_no_trace_is_asked_for_again_after_a_pause(shell: Shell) -> None:
    first = shell.look()
    waiting = shell.look(first.cursor)
    assert waiting.run_requests == []
    assert "left the archive where it was" in str(waiting.skip_message)
    cursors = {topic: json.loads(text) for topic, text in json.loads(waiting.cursor).items()}
    for each in cursors.values():
        each["asked_ts"] = (datetime.now(UTC) - timedelta(minutes=2)).isoformat()
    again = shell.look(json.dumps({topic: json.dumps(each) for topic, each in cursors.items()}))
    assert [request.run_key for request in again.run_requests] == [f"{request.run_key}#2" for request in first.run_requests]


def test_every_table_of_the_stream_is_filled_by_one_of_the_requests(shell: Shell) -> None:
    asked = {".".join(key.path) for request in shell.look().run_requests for key in request.asset_selection or ()}
    assert asked == {address for address, table in lake.TABLES.items() if table.window == "stream_day"}
