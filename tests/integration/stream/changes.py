"""Change records as Debezium writes them, put into topics of a test's own; and what trades should become, in plain Python."""

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import uuid4

from confluent_kafka import Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from tenacity import retry, stop_after_delay, wait_fixed

from finlake_clients.kafka.access import client_settings
from finlake_settings.groups import Kafka
from tests.integration.stream.topics import end_of

SYMBOLS = ("AAPL", "MSFT", "BINANCE:BTCUSDT")


@dataclass(frozen=True, kw_only=True)
class Trade:
    """A row of ods.finnhub_trades."""

    received_ts: datetime
    connection_id: str
    message_seq: int
    trade_index: int
    symbol: str
    price_usd: float
    volume_shares: float
    trade_ts: datetime
    conditions: list[str] | None = None

    @property
    def id(self) -> tuple[str, int, int]:
        return (self.connection_id, self.message_seq, self.trade_index)

    @property
    def key(self) -> dict[str, Any]:
        return {
            "received_ts": iso(self.received_ts),
            "connection_id": self.connection_id,
            "message_seq": self.message_seq,
            "trade_index": self.trade_index,
        }

    @property
    def row(self) -> dict[str, Any]:
        return {
            **self.key,
            "symbol": self.symbol,
            "price_usd": self.price_usd,
            "volume_shares": self.volume_shares,
            "trade_ts": iso(self.trade_ts),
            "conditions": self.conditions,
        }

    @property
    def is_flawed(self) -> bool:
        return self.price_usd <= 0 or self.volume_shares < 0 or self.trade_ts > self.received_ts + timedelta(seconds=60)


@dataclass(frozen=True)
class Change:
    """What happened to a trade: op c, r, u or d."""

    op: str
    trade: Trade

    def record(self, number: int) -> tuple[bytes, bytes]:
        """Key and value as Debezium writes them; of a deleted row it knows the key alone."""
        now = datetime(2026, 1, 1, tzinfo=UTC)
        unknown = {"symbol": "", "price_usd": 0.0, "volume_shares": 0.0, "trade_ts": "1970-01-01T00:00:00Z", "conditions": None}
        envelope = {
            "before": {**self.trade.key, **unknown} if self.op == "d" else None,
            "after": None if self.op == "d" else self.trade.row,
            "source": {
                "version": "3.7.0.Final",
                "connector": "postgresql",
                "lsn": 1000 + number,
                "snapshot": "false",
                "ts_us": micros(now) + number,
                "schema": "ods",
                "table": "finnhub_trades",
            },
            "op": self.op,
            "ts_ms": micros(now) // 1000,
            "ts_us": micros(now) + number + 5,
            "transaction": None,
        }
        return json.dumps(self.trade.key).encode(), json.dumps(envelope).encode()


@dataclass
class Topic:
    """A topic of a test's own, one partition, whose records carry the broker's time."""

    kafka: Kafka
    name: str = field(default_factory=lambda: f"finlake.test.{uuid4().hex}")

    @retry(stop=stop_after_delay(30), wait=wait_fixed(0.2), reraise=True)
    def create(self) -> "Topic":
        """Make the topic; one that was just dropped is not gone at once."""
        made = self._admin.create_topics([NewTopic(self.name, 1, 1, config={"message.timestamp.type": "LogAppendTime"})])
        made[self.name].result(30)
        self._await(present=True)
        return self

    def drop(self) -> None:
        self._admin.delete_topics([self.name])[self.name].result(30)
        self._await(present=False)

    @retry(stop=stop_after_delay(30), wait=wait_fixed(0.1), reraise=True)
    def _await(self, *, present: bool) -> None:
        """Until the broker's own metadata say so: the answer to a request comes before that."""
        assert (self._admin.list_topics(self.name, timeout=10).topics[self.name].error is None) == present

    def put(self, changes: Iterable[Change], raw: Iterable[bytes | None] = ()) -> None:
        """Commit changes and then raw values in one transaction, which leaves holes between offsets; readers see them."""
        offsets: list[int] = []

        def delivered(_: object, message: Message) -> None:
            offsets.append(int(message.offset() or 0))

        producer = Producer({**client_settings(self.kafka), "transactional.id": uuid4().hex, "log_level": 0})
        producer.init_transactions(30)
        producer.begin_transaction()
        for number, change in enumerate(changes):
            key, value = change.record(number)
            producer.produce(self.name, key=key, value=value, partition=0, on_delivery=delivered)
        for text in raw:
            producer.produce(self.name, key=b"{}", value=text, partition=0, on_delivery=delivered)
        producer.commit_transaction(30)
        self._await_shown(max(offsets))

    @retry(stop=stop_after_delay(30), wait=wait_fixed(0.02), reraise=True)
    def _await_shown(self, offset: int) -> None:
        """The broker answers when it has decided to commit; readers see the records a moment later."""
        assert end_of(self.kafka, self.name) > offset

    def delete_before(self, offset: int) -> None:
        """Delete records as retention would."""
        asked = TopicPartition(self.name, 0, offset)
        self._admin.delete_records([asked])[asked].result(30)

    @cached_property
    def _admin(self) -> AdminClient:
        # Kept: an answer that is waited for goes with its client.
        return AdminClient({**client_settings(self.kafka), "log_level": 0})


def iso(moment: datetime) -> str:
    """A time as Debezium's isostring mode writes it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def made_up_trades(seed: int, count: int, received: datetime) -> list[Trade]:
    """Trades that come out of order, late by minutes or years, twice the same, flawed, on both sides of a midnight."""
    chance = random.Random(seed)
    trades: list[Trade] = []
    for number in range(count):
        received_ts = received + timedelta(milliseconds=37 * number)
        late = chance.choice([0, 0, 0, 1, 61, 3_600, 86_400, 86_400 * 900])
        trade = Trade(
            received_ts=received_ts,
            connection_id=f"connection-{seed}",
            message_seq=number // 3 + 1,
            trade_index=number % 3,
            symbol=chance.choice(SYMBOLS),
            price_usd=round(chance.uniform(0.01, 500), 4),
            volume_shares=chance.choice([1.0, 100.0, 0.00012345, 0.1, chance.uniform(1e8, 1e12)]),
            trade_ts=(received_ts - timedelta(seconds=late)).replace(microsecond=chance.randrange(3) * 1000),
            conditions=chance.choice([None, ["1"], ["1", "12"]]),
        )
        if trades and chance.random() < 0.1:
            trade = replace(trades[-1], message_seq=trade.message_seq, trade_index=trade.trade_index, received_ts=received_ts)
        if chance.random() < 0.05:
            trade = chance.choice(
                [
                    replace(trade, price_usd=0.0),
                    replace(trade, volume_shares=-1.0),
                    replace(trade, trade_ts=received_ts + timedelta(seconds=61)),
                ]
            )
        trades.append(trade)
    return trades


def standing(changes: Iterable[Change]) -> dict[tuple[str, int, int], tuple[int, Trade]]:
    """The trades that are there after changes in this order, with the number of the change that made each."""
    rows: dict[tuple[str, int, int], tuple[int, Trade]] = {}
    for number, change in enumerate(changes):
        if change.op == "d":
            rows.pop(change.trade.id, None)
        elif change.op == "u":
            rows[change.trade.id] = (rows.get(change.trade.id, (number, change.trade))[0], change.trade)
        else:
            rows.setdefault(change.trade.id, (number, change.trade))
    return rows


def final_before(rows: Mapping[Any, tuple[int, Trade]]) -> datetime:
    """The end of the minutes that are over when nothing has come after these trades: a minute before the last receipt."""
    _, last = max(rows.values(), key=lambda each: each[0])
    return (last.received_ts - timedelta(seconds=60)).replace(second=0, microsecond=0)


def candles_of(rows: Mapping[Any, tuple[int, Trade]]) -> list[tuple[object, ...]]:
    """Candles of final minutes by the definition, in the order of gold.candles_1m's columns but the date, sorted by symbol and
    minute."""
    end = final_before(rows)
    minutes: dict[tuple[str, datetime], list[tuple[datetime, int, Trade]]] = {}
    for number, trade in rows.values():
        if not trade.is_flawed and trade.trade_ts < end:
            minute = trade.trade_ts.replace(second=0, microsecond=0)
            minutes.setdefault((trade.symbol, minute), []).append((trade.trade_ts, number, trade))
    found: list[tuple[object, ...]] = []
    for (symbol, minute), trades in sorted(minutes.items()):
        in_order = [trade for _, _, trade in sorted(trades, key=lambda each: each[:2])]
        prices = [trade.price_usd for trade in in_order]
        units = sum(int(round(Decimal(trade.volume_shares * 100_000_000))) for trade in in_order)
        found.append((symbol, minute, prices[0], max(prices), min(prices), prices[-1], float(units) / 1e8, len(prices)))
    return found
