"""Live candles against those of the archive: what is compared, what is said when something differs or cannot be asked."""

from datetime import UTC, date, datetime

import dagster as dg

from finlake_assets.checks import speed_against_batch
from finlake_clients.lake_client import PublishedSnapshot
from finlake_resources.resources import LakeResource
from spark.contracts.candle_comparison import candle_totals, differing_candles
from tests.finlake_assets.stream_fakes import StreamLog, clickhouse_of, evaluations

TRADES = "finlake.ods.finnhub_trades"
TOTALS = [
    {"side": "batch", "minutes": 390, "trades": 5000, "volume_units": 12},
    {"side": "speed", "minutes": 390, "trades": 5000, "volume_units": 12},
]


def archive(newest: date | None, positions: dict[tuple[str, int], int]) -> LakeResource:
    class Archive(LakeResource):
        def newest(self, address: str) -> date | None:
            return newest

        def archive_positions(self, address: str) -> dict[tuple[str, int], int]:
            return positions

        def published(self, address: str) -> PublishedSnapshot:
            return PublishedSnapshot(
                address=address, snapshot_id=7, location="file:///w/gold/candles_1m", metadata_path="metadata/1.json", inputs={}
            )

    return Archive(catalog_uri="-", catalog_password_file="-", warehouse="-", spark_remote="-")


def found(log: StreamLog, newest: date | None = date(2026, 11, 20)) -> dg.AssetCheckEvaluation:
    positions = {(TRADES, 0): 500, ("finlake.ods.finnhub_quotes", 0): 9} if newest else {}
    (evaluation,) = evaluations(
        [speed_against_batch.build()],
        [dg.AssetSpec(["speed", "candles_1m"]), dg.AssetSpec(["gold", "candles_1m"])],
        {"jobs": archive(newest, positions), "clickhouse": clickhouse_of(log)},
    ).values()
    return evaluation


def test_equal_candles_pass_with_the_totals_of_both_sides() -> None:
    given = found(StreamLog(answers={"AS minutes": TOTALS}))
    assert given.passed
    assert given.description == "390 live and 390 archived minutes are equal"
    assert given.metadata["speed_trades"].value == "5000"


def test_a_minute_that_differs_is_named_and_counted() -> None:
    wrong = {
        "symbol": "AAPL",
        "minute_ts": datetime(2026, 11, 20, 15, tzinfo=UTC),
        "batch_rows": 1,
        "speed_rows": 0,
        "differing_count": 41,
    }
    given = found(StreamLog(answers={"AS minutes": TOTALS, "differing_count": [wrong]}))
    assert not given.passed
    assert given.severity == dg.AssetCheckSeverity.ERROR
    assert given.metadata["failing_rows"].value == 41
    assert "first AAPL at 2026-11-20 15:00:00+00:00" in str(given.description)


def test_what_cannot_be_compared_warns_and_says_why() -> None:
    for given, words in (
        (found(StreamLog(silent={"clickhouse"})), "start it with `finlake up --service clickhouse`"),
        (found(StreamLog(refused="Code: 60. Unknown table")), "not judged: Code: 60"),
        (found(StreamLog(), newest=None), "run the job stream_archive"),
    ):
        assert not given.passed
        assert given.severity == dg.AssetCheckSeverity.WARN
        assert words in str(given.description)


def test_only_the_topic_of_trades_and_the_newest_dates_are_compared() -> None:
    sql = differing_candles({0: 500, 1: 20}, date(2026, 11, 14), date(2026, 11, 20))
    assert "(kafka_partition = 0 AND kafka_offset < 500) OR (kafka_partition = 1 AND kafka_offset < 20)" in sql
    assert "minute_ts < '2026-11-21 00:00:00'" in sql
    assert "NOT (false)" in candle_totals({}, date(2026, 11, 14), date(2026, 11, 20))
