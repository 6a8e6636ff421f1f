"""From a topic to candles on the real engines: every record once, whatever is asked for twice, deleted or read again."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from deploy.local.stack import LocalStack
from finlake_clients.kafka import topics as kafka_topics
from finlake_clients.kafka.topics import KafkaTopics, RangeBeyondEndError, RangeEatenByRetentionError
from finlake_clients.lake_client import LakeClient
from finlake_code_locations.build import build_defs
from finlake_settings.processes import Settings
from finlake_settings.reading import settings_from
from spark import upkeep
from spark.contracts import lake
from spark.contracts.job_inputs import ArchiveInputs, RebuildInputs
from spark.contracts.report import JobReport, OffsetRange, Window
from spark.contracts.table import JobInputs
from spark.jobs import archiving
from spark.jobs.archiving import TopicMadeAnewError
from spark.jobs.bronze import finnhub_trades_cdc
from spark.lake.snapshots import says_position
from spark.lake.storage import Lake, between
from tests.integration.lake.chain import PROVENANCE, published, settings_of
from tests.integration.stream.changes import Change, Topic, Trade, candles_of, made_up_trades, standing

pytestmark = pytest.mark.stack

CHANGES, TRADES, CANDLES = "bronze.finnhub_trades_cdc", "silver.trades", "gold.candles_1m"
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
CREATED = [Change("c", trade) for trade in made_up_trades(1, 120, MIDNIGHT - timedelta(seconds=2))]


class Archive:
    """The jobs over a topic of the test's own."""

    def __init__(self, jobs: LakeClient, kafka: KafkaTopics, topic: Topic) -> None:
        self.jobs, self.kafka, self.topic, self.lake = jobs, kafka, topic, jobs.lake()

    def run(self, inputs: JobInputs) -> JobReport:
        today = datetime.now(UTC).date()
        return self.jobs.run(inputs, window=Window(start=today, end=today), provenance=PROVENANCE)

    def archive(self, end: int | None = None) -> JobReport:
        return self.run(ArchiveInputs(table=lake.table(CHANGES), topics=self.kafka, ends=None if end is None else {0: end}))

    def carry_on(self) -> None:
        self.settle(TRADES)
        self.settle(CANDLES)

    def settle(self, address: str) -> None:
        self.run(RebuildInputs(table=lake.table(address)))

    def end(self) -> int:
        return self.kafka.watermarks(self.topic.name)[0].end

    def position(self, address: str) -> int | None:
        return self.lake.positions(address).get((self.topic.name, 0))

    def candles(self) -> list[tuple[object, ...]]:
        rows = self.lake.rows(CANDLES).sort_by([("symbol", "ascending"), ("minute_ts", "ascending")])
        return [tuple(row.values())[:-1] for row in rows.to_pylist()]

    def trades(self) -> dict[tuple[str, int, int], tuple[int, Trade]]:
        """Silver's rows as what they should be: values, and the number of the record that made each."""
        offsets = {
            row["kafka_offset"]: number
            for number, row in enumerate(
                sorted(self.lake.rows(CHANGES, columns=("kafka_offset",)).to_pylist(), key=lambda row: row["kafka_offset"])
            )
        }
        names = Trade.__dataclass_fields__
        found = {}
        for row in self.lake.rows(TRADES).to_pylist():
            trade = Trade(**{name: row[name] for name in names})
            assert trade.id not in found
            found[trade.id] = (offsets[row["kafka_offset"]], trade)
        return found


@pytest.fixture(scope="module")
def kafka(idle_stack: LocalStack) -> KafkaTopics:
    idle_stack.up(services=("kafka", "postgres"))
    return KafkaTopics.of(settings_from(Settings, idle_stack.environment()).kafka)


@pytest.fixture
def archive(
    kafka: KafkaTopics,
    lake_jobs: LakeClient,
    empty_lake: Lake,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Archive]:
    topic = Topic(kafka.access).create()
    monkeypatch.setattr(finnhub_trades_cdc, "TOPIC", topic.name)
    yield Archive(lake_jobs, kafka, topic)
    topic.drop()


def commit_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a range cut into commits of so many records."""
    monkeypatch.setattr(archiving, "COMMIT_RECORDS", count)
    monkeypatch.setattr(kafka_topics, "BATCH_RECORDS", count)


def without_none(rows: dict[tuple[str, int, int], tuple[int, Trade]]) -> dict[tuple[str, int, int], tuple[int, Trade]]:
    """Rows as silver has them: no condition codes is an empty list."""
    return {key: (number, replace(trade, conditions=trade.conditions or [])) for key, (number, trade) in rows.items()}


def assert_position_is_said(lake: Lake, address: str) -> None:
    """The newest snapshot of a table says itself how far the table stands."""
    newest = lake.table(address).current_snapshot()
    assert newest is not None
    assert says_position(newest)


def assert_follows(archive: Archive, changes: Sequence[Change]) -> None:
    """Silver and candles are what these changes, in the order of their offsets, make of them."""
    expected = standing(changes)
    assert archive.trades() == without_none(expected)
    assert archive.candles() == candles_of(expected)


def test_a_range_is_archived_once_and_candles_are_those_of_its_trades(
    archive: Archive,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commit_after(40, monkeypatch)
    archive.topic.put(CREATED[:100])
    archive.topic.put(CREATED[100:], raw=[b"no json", None])
    first = archive.archive(end=60)
    assert archive.position(CHANGES) == 60
    assert [report.row_count for report in first.tables] == [40, 20]

    again = archive.archive(end=40)
    assert not again.table(CHANGES).is_changed
    rest = archive.archive()
    assert f"{archive.topic.name}:0@60-100: 40 changes" in rest.notes[0]
    assert archive.position(CHANGES) == archive.end()
    assert rest.quarantined_count == 2
    rows = archive.lake.rows(CHANGES, columns=("kafka_offset", "op", "after_json", "key_json")).to_pylist()
    assert len(rows) == len({row["kafka_offset"] for row in rows}) == len(CREATED)
    assert {row["op"] for row in rows} == {"c"}
    assert '"connection_id": "connection-1"' in rows[0]["after_json"]
    quarantined = archive.lake.rows("silver.quarantine").to_pylist()
    assert {(row["reason"], row["raw_text"]) for row in quarantined} == {
        ("unreadable_change", "no json"),
        ("unreadable_change", ""),
    }

    archive.carry_on()
    assert_follows(archive, CREATED)
    assert {row["flaw"] for row in archive.lake.rows(TRADES, columns=("flaw",)).to_pylist()} == {
        "",
        "price_not_positive",
        "volume_negative",
        "future_time",
    }
    assert archive.position(TRADES) == archive.position(CANDLES) == archive.end()

    snapshots = {address: archive.lake.snapshot_id(address) for address in (CHANGES, TRADES, CANDLES)}
    archive.archive()
    archive.carry_on()
    assert snapshots == {address: archive.lake.snapshot_id(address) for address in (CHANGES, TRADES, CANDLES)}


def test_pieces_give_the_same_rows_as_the_whole_and_altered_rows_are_followed(archive: Archive) -> None:
    changes = list(CREATED)
    archive.topic.put(changes)
    archive.archive(end=70)
    archive.carry_on()

    # A snapshot reads rows again, some of them known; one is new, one is gone, one has another price.
    first, second, third = CREATED[0].trade, CREATED[10].trade, CREATED[50].trade
    late = replace(first, message_seq=900, trade_ts=first.trade_ts - timedelta(minutes=2))
    more = [Change("r", first), Change("r", third), Change("r", late)]
    archive.topic.put(more)
    archive.archive()
    archive.carry_on()
    changes += more
    assert_follows(archive, changes)

    more = [Change("d", second), Change("u", replace(third, price_usd=1e6, symbol="AAPL")), Change("d", late), Change("c", late)]
    archive.topic.put(more)
    archive.archive()
    archive.carry_on()
    changes += more
    assert_follows(archive, changes)

    before = {address: published(archive.lake, address) for address in (TRADES, CANDLES)}
    # A day that was lost is built anew from what is archived, and its candles from it.
    day = Window(start=date(2026, 11, 21), end=date(2026, 11, 21))
    rows = archive.lake.rows(TRADES).slice(0, 0)
    archive.lake.replace_rows(TRADES, rows, replaced=between("received_date", day), provenance=PROVENANCE)
    archive.jobs.run(RebuildInputs(table=lake.table(TRADES), rebuild=True), window=day, provenance=PROVENANCE)
    archive.settle(CANDLES)
    assert {address: published(archive.lake, address) for address in (TRADES, CANDLES)} == before
    assert_position_is_said(archive.lake, TRADES)


def test_a_minute_is_published_when_it_is_over_and_not_before(archive: Archive) -> None:
    """Against all trades: at no edge of the archive does a candle differ from what its minute becomes."""
    trades = [
        replace(
            trade,
            received_ts=MIDNIGHT + timedelta(seconds=2 * number),
            price_usd=1.0 + number,
            volume_shares=1.0,
            symbol="AAPL",
            trade_ts=MIDNIGHT + timedelta(seconds=2 * number),
        )
        for number, trade in enumerate(change.trade for change in CREATED)
    ]
    archive.topic.put([Change("c", trade) for trade in trades])
    everything = {number: (number, trade) for number, trade in enumerate(trades)}
    whole = {
        row[1]: row
        for row in candles_of(
            everything
            | {-1: (10**6, replace(trades[-1], received_ts=trades[-1].received_ts + timedelta(hours=1), price_usd=0.0))}
        )
    }
    assert len(whole) == 4
    for end in (20, 47, 75, 99, 120):
        archive.archive(end=end)
        archive.carry_on()
        seen = archive.candles()
        assert seen == [whole[row[1]] for row in seen]
        # Received at 2 * (end - 1) seconds: minutes that had ended a minute before are there.
        assert len(seen) == max(0, (2 * (end - 1) - 60) // 60)


def test_what_retention_has_eaten_is_told_and_archiving_goes_on(
    archive: Archive,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Compaction takes five small files or more for worth its while.
    commit_after(5, monkeypatch)
    archive.topic.put(CREATED[:40])
    archive.archive(end=20)
    archive.topic.delete_before(30)
    with pytest.raises(RangeEatenByRetentionError, match=r"everything before offset 30; go on from 30"):
        list(archive.kafka.read(archive.topic.name, 0, 20, 41))
    with pytest.raises(RangeBeyondEndError):
        list(archive.kafka.read(archive.topic.name, 0, 30, 99))

    report = archive.archive()
    gap = OffsetRange(topic=archive.topic.name, partition=0, first=20, end=30)
    assert str(gap) in report.notes[0]
    assert archive.jobs.offset_gaps(CHANGES) == [gap]
    assert [row["reference"] for row in archive.lake.rows("silver.quarantine").to_pylist()] == ["0@20-30"]
    offsets = {row["kafka_offset"] for row in archive.lake.rows(CHANGES, columns=("kafka_offset",)).to_pylist()}
    assert offsets == {*range(20), *range(30, 40)}
    archive.carry_on()
    assert len(archive.trades()) == 30

    # Tidying forgets neither how far the archive is nor what is missing.
    monkeypatch.setattr(upkeep, "KEPT_STREAM_SNAPSHOT_DAYS", 0)
    monkeypatch.setattr(upkeep, "KEPT_SNAPSHOTS", 1)
    positions = {address: archive.position(address) for address in (CHANGES, TRADES, CANDLES)}
    assert archive.jobs.upkeep("compact", CHANGES)["rewritten_files"] == 6
    for address in positions:
        archive.jobs.upkeep("expire", address)
    assert {address: archive.position(address) for address in positions} == positions
    assert_position_is_said(archive.lake, CHANGES)
    assert len(archive.lake.table(CHANGES).metadata.snapshots) <= 2
    archive.topic.put(CREATED[40:])
    archive.archive()
    archive.carry_on()
    assert_follows(archive, [*CREATED[:20], *CREATED[30:]])


def test_a_topic_that_was_made_anew_is_refused(archive: Archive) -> None:
    archive.topic.put(CREATED[:5])
    archive.archive()
    archive.topic.drop()
    archive.topic.create()
    with pytest.raises(TopicMadeAnewError, match=r"ends at offset 0, but is archived up to 6: the topic was made anew"):
        archive.archive()


def test_one_run_in_dagster_carries_everything_in_kafka_to_candles_and_the_next_one_finds_nothing(
    archive: Archive,
    idle_stack: LocalStack,
) -> None:
    archive.topic.put(CREATED[:30])
    defs = build_defs(settings_of(idle_stack.environment()), jobs=archive.jobs, kafka=archive.kafka)
    job = defs.resolve_job_def("stream_archive")
    trades = [dg.AssetKey(address.split(".")) for address in (CHANGES, TRADES, CANDLES)]

    def run() -> dg.ExecuteInProcessResult:
        today = datetime.now(UTC).date().isoformat()
        return job.execute_in_process(partition_key=today, asset_selection=trades)

    first = run()
    assert {(each.asset_key.path[1], each.check_name) for each in first.get_asset_check_evaluations() if not each.passed} == {
        ("trades", "no_flaw")
    }
    shown = {
        event.materialization.asset_key.path[1]: event.materialization.metadata
        for event in first.get_asset_materialization_events()
    }
    assert [shown[name]["dagster/row_count"].value for name in ("finnhub_trades_cdc", "trades")] == [30, 30]
    assert_follows(archive, CREATED[:30])

    published_again = [event.materialization.metadata["published"].value for event in run().get_asset_materialization_events()]
    assert published_again == [False] * 3
