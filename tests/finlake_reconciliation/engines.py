"""Engines that hold what a test says: Kafka as real bytes, the others as rows."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import cast

from finlake_clients.kafka.topics import KafkaRecord, KafkaTopics, Watermarks
from finlake_reconciliation.buckets import Bucket, Buckets, Content, Tally, id_hash, units
from finlake_reconciliation.clickhouse_side import LiveTables
from finlake_reconciliation.comparison import Ids, Rows
from finlake_reconciliation.kafka_side import ChangeTopics, Offsets
from finlake_reconciliation.lake_side import Archive
from finlake_reconciliation.postgres_side import Cut, Ods, Proof
from finlake_reconciliation.reconcile import Engines, RelationComparison
from spark.contracts.streams import DEAD_LETTERS_TOPIC, TRADES, CapturedTable

DAY = date(2026, 11, 20)
CUT_TS = datetime(2026, 11, 21, 12, tzinfo=UTC)
CUT_LSN = 1000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Trade:
    """A trade, at an offset of partition 0 and an LSN where an engine notes them."""

    number: int
    offset: int = 0
    lsn: int = 1
    op: str = "c"
    day: date = DAY
    price_usd: float = 10.5

    @property
    def id(self) -> str:
        return f"c:{self.number}:0"

    @property
    def received_ts(self) -> datetime:
        return datetime(self.day.year, self.day.month, self.day.day, 9, tzinfo=UTC) + timedelta(seconds=self.number)

    @property
    def received_us(self) -> int:
        return (self.received_ts - EPOCH) // timedelta(microseconds=1)

    @property
    def content(self) -> Content:
        return Content((units(self.price_usd), units(2.0)), self.received_us)

    def record(self) -> KafkaRecord:
        """As Debezium tells it; of a deleted row the key alone."""
        ts = self.received_ts.isoformat().replace("+00:00", "Z")
        key = {"received_ts": ts, "connection_id": "c", "message_seq": self.number, "trade_index": 0}
        row = {**key, "symbol": "AAPL", "price_usd": self.price_usd, "volume_shares": 2.0, "trade_ts": ts, "conditions": None}
        value = {
            "op": self.op,
            "source": {"lsn": self.lsn},
            "before": key if self.op == "d" else None,
            "after": None if self.op == "d" else row,
        }
        return KafkaRecord(self.offset, CUT_TS, None, json.dumps(value).encode(), ())


def buckets_of(trades: Iterable[Trade]) -> Buckets:
    tally = Tally()
    for trade in trades:
        tally.add(trade.id, "AAPL", trade.received_us, trade.content)
    return tally.buckets()


def rows_of(trades: Iterable[Trade], bucket: Bucket) -> Rows:
    found: dict[str, list[Content]] = {}
    for trade in trades:
        if Bucket.of("AAPL", trade.received_us) == bucket:
            found.setdefault(trade.id, []).append(trade.content)
    return found


@dataclass(kw_only=True)
class World:
    """What each engine holds. `first` and `end` bound the topic's partition; `sink` is how far the sink has come."""

    postgres: Sequence[Trade] = ()
    kafka: Sequence[Trade] = ()
    clickhouse: Sequence[Trade] = ()
    silver: Sequence[Trade] = ()
    first: int = 0
    end: int = 100
    sink: int = 100
    archived_to: int = 100
    garbage: Sequence[int] = ()
    dead_offsets: Sequence[int] = ()
    proofs: Sequence[Proof] = field(default=())

    def comparison(self, *, kafka_is_late: bool = False) -> RelationComparison:
        """The comparison of trades in this world."""
        engines = Engines(
            ods=cast(Ods, None), topics=ChangeTopics(_topics(self)), live=_Live(self), archive=_Silver(self), wait_s=0
        )
        return RelationComparison(engines, TRADES, _Cut(self), self.proofs, kafka_is_late=kafka_is_late)


def _topics(world: World) -> KafkaTopics:
    class Topics(KafkaTopics):
        """The trades' topic, and the dead letters."""

        def watermarks(self, topic: str) -> dict[int, Watermarks]:
            if topic == DEAD_LETTERS_TOPIC:
                return {0: Watermarks(0, len(world.dead_offsets))}
            return {0: Watermarks(world.first, world.end)}

        def committed(self, group: str, topic: str) -> dict[int, int | None]:
            return {0: world.sink}

        def read(self, topic: str, partition: int, first: int, end: int) -> Iterator[list[KafkaRecord]]:
            if topic == DEAD_LETTERS_TOPIC:
                yield [
                    KafkaRecord(place, CUT_TS, f"{TRADES.topic}:0:{offset}".encode(), b"{}", ())
                    for place, offset in enumerate(world.dead_offsets)
                ]
                return
            records = [trade.record() for trade in world.kafka]
            records += [KafkaRecord(offset, CUT_TS, None, b"not json", ()) for offset in world.garbage]
            assert world.first <= first <= end <= world.end
            yield [record for record in sorted(records, key=lambda record: record.offset) if first <= record.offset < end]

    return Topics(bootstrap="", password_file=None)


class _Live(LiveTables):
    """The trades that ClickHouse holds."""

    def __init__(self, world: World) -> None:
        self._world = world

    def _held(self, below_lsn: int, below: Offsets | None) -> list[Trade]:
        return [
            trade
            for trade in self._world.clickhouse
            if trade.lsn < below_lsn and (below is None or trade.offset < below.get(0, 0))
        ]

    def buckets(self, relation: CapturedTable, *, below_lsn: int, below: Offsets | None = None) -> Buckets:
        return buckets_of(self._held(below_lsn, below))

    def rows(self, relation: CapturedTable, bucket: Bucket, *, below_lsn: int, below: Offsets | None = None) -> Rows:
        return rows_of(self._held(below_lsn, below), bucket)

    def id_hashes(self, relation: CapturedTable, *, below: Offsets) -> Iterator[int]:
        return (id_hash(trade.id) for trade in self._held(10**9, below))

    def gaps(self, relation: CapturedTable) -> int:
        return 0


class _Silver(Archive):
    """The trades that silver holds."""

    def __init__(self, world: World) -> None:
        self._world = world

    def end_offsets(self, relation: CapturedTable) -> Offsets:
        return {0: self._world.archived_to}

    def buckets(self, relation: CapturedTable, *, below_lsn: int, first_day: date) -> Buckets:
        return buckets_of(trade for trade in self._world.silver if trade.day >= first_day and trade.lsn < below_lsn)

    def rows(self, relation: CapturedTable, bucket: Bucket, *, below_lsn: int) -> Rows:
        return rows_of((trade for trade in self._world.silver if trade.lsn < below_lsn), bucket)

    def id_hashes(self, relation: CapturedTable) -> Iterator[int]:
        return (id_hash(trade.id) for trade in self._world.silver)


class _Cut(Cut):
    """The trades of Postgres."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.lsn, self.cut_ts = CUT_LSN, CUT_TS

    def buckets(self, relation: CapturedTable) -> Buckets:
        return buckets_of(self._world.postgres)

    def rows(self, relation: CapturedTable, bucket: Bucket) -> Rows:
        return rows_of(self._world.postgres, bucket)

    def doubled_ids(self, relation: CapturedTable) -> Ids:
        return Ids()
