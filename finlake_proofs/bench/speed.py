"""`finlake bench speed`: how long a committed trade takes until it can be queried, and how fast candles are read.

On a stack of its own: Postgres, Kafka, Kafka Connect, ClickHouse and the sink. One process writes trades as the feed
does, another asks ClickHouse for the newest row without a pause worth the name, so that the latency is that of a reader.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from deploy.local.connectors import stack_connectors
from deploy.local.stack import LocalStack
from finlake_clients.clickhouse.connection import admin, reader
from finlake_clients.connect.change_capture import CONNECTOR
from finlake_clients.connect.rest import KafkaConnect
from finlake_proofs.bench import processor_time
from finlake_proofs.bench.hops import Hops, measured_hops
from finlake_proofs.bench.newest_row import RowsNeverSeenError, Sight, quantile, waits_ms, watch
from finlake_proofs.bench.ods_load import Load, Written, write_trades
from finlake_proofs.bench.synthetic_trades import SYMBOL_COUNT, symbol_of
from finlake_proofs.bench.temporary_lake import Worker, temporary_stack, worker
from finlake_settings.processes import Settings
from finlake_settings.reading import settings_from
from spark.contracts.speed import CANDLES_1M, STOCK_REALTIME

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Report = Callable[[str], None]

SERVICES = ("clickhouse_sink", "kafka_connect")
# What finlake_clients/connect/connectors sets for the sake of latency; the rest decides what is captured and how safely.
TUNED = (
    "poll.interval.ms",
    "extended.headers.enabled",
    "producer.override.linger.ms",
    "producer.override.batch.size",
    "producer.override.compression.type",
    "consumer.override.fetch.max.wait.ms",
)
P50_TARGET_MS, P99_TARGET_MS = 300.0, 1000.0
WARM_UP_S = 30.0
QUIET_S = 5.0
STEP_FACTOR, LAST_STEP_RATE = 1.2, 60_000
# Waiting for Postgres for longer than this when the load ends, a load was not sustained.
BACKLOG_LIMIT_S = 1.0
NEAR_ONE_CORE = 0.85
CANDLE_HOURS = 4
FILL_ROWS = 500_000


@dataclass(frozen=True, kw_only=True)
class SpeedSizes:
    """How much is measured."""

    rows_per_s: int = 5000
    seconds: float = 60
    message_rows: int = 50
    step_seconds: float = 30
    tick_count: int = 5_000_000
    candle_reads: int = 300


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """One load: what a reader saw of it, the hops by the rows' own columns, and cores taken by process.

    `waits_ms` are upper bounds from commit to the first answer with the row; None when rows were not seen in time.
    """

    name: str
    asked_rows_per_s: int
    written: Written
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    hops: Hops
    cores: Mapping[str, float]
    polls_per_s: float

    @property
    def is_sustained(self) -> bool:
        """Whether p99 stayed below its target and Postgres kept up with the writer."""
        kept_up = self.written.backlog_rows <= BACKLOG_LIMIT_S * self.asked_rows_per_s
        return kept_up and self.p99_ms is not None and self.p99_ms <= P99_TARGET_MS

    @property
    def slowest_hop(self) -> str:
        """The hop with the largest p99 among those between two stations."""
        return max(self.hops.hops[:-1], key=lambda hop: hop.p99_ms).name if self.hops.hops else "none"

    @property
    def busiest(self) -> tuple[str, float]:
        """The process that takes most, and its cores."""
        return max(self.cores.items(), key=lambda item: item[1])


@dataclass(frozen=True, kw_only=True)
class CandleReads:
    """Reads of some hours of one symbol's candles, by one client, one after the other."""

    tick_count: int
    read_count: int
    row_count: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, kw_only=True)
class SpeedResult:
    """All that was measured in one run of the benchmark; `machine_load` is the load average before and after it."""

    tuned: LoadResult
    defaults: LoadResult
    steps: tuple[LoadResult, ...]
    candles: CandleReads
    machine_load: tuple[float, float]

    @property
    def is_met(self) -> bool:
        """Whether the latency targets are met."""
        tuned = self.tuned
        return tuned.p50_ms is not None and tuned.p50_ms <= P50_TARGET_MS and tuned.is_sustained

    @property
    def sustained(self) -> LoadResult | None:
        """The highest rate that was sustained."""
        held = [each for each in (self.tuned, *self.steps) if each.is_sustained]
        return max(held, key=lambda each: each.asked_rows_per_s, default=None)

    @property
    def limit(self) -> str:
        """What kept a higher rate from being sustained, in words; empty when no step failed."""
        failed = next((each for each in self.steps if not each.is_sustained), None)
        if failed is None:
            return ""
        name, cores = failed.busiest
        what = "near one core" if cores >= NEAR_ONE_CORE else "with the two cores shared by all"
        return (
            f"at {failed.asked_rows_per_s} rows/s the hop {failed.slowest_hop} waits longest; {name} takes most, "
            f"{cores:.2f} cores, {what}"
        )


def measure(sizes: SpeedSizes, jars: Path, report: Report, *, finds_limit: bool) -> SpeedResult:
    """Everything in one temporary stack; with `finds_limit` also rising rates until one is not sustained."""
    load_before, *_ = psutil.getloadavg()
    with ExitStack() as opened:
        stack = opened.enter_context(temporary_stack(jars, SERVICES, report))
        bench = Bench(stack, opened.enter_context(worker()), opened.enter_context(worker()), sizes, report)
        bench.load("warm-up", sizes.rows_per_s, min(WARM_UP_S, sizes.seconds))
        tuned = bench.load("tuned connector", sizes.rows_per_s, sizes.seconds)
        steps = bench.steps(sizes.rows_per_s) if finds_limit else ()
        with _connector_with_defaults(stack, report):
            bench.load("warm-up", sizes.rows_per_s, min(WARM_UP_S, sizes.seconds))
            defaults = bench.load("Debezium's defaults", sizes.rows_per_s, sizes.seconds)
        candles = read_candles(stack.environment(), sizes, report)
    return SpeedResult(
        tuned=tuned, defaults=defaults, steps=steps, candles=candles, machine_load=(load_before, psutil.getloadavg()[0])
    )


class Bench:
    """Loads on one stack, each with a writer and a reader in processes of their own."""

    def __init__(self, stack: LocalStack, writer: Worker, watcher: Worker, sizes: SpeedSizes, report: Report) -> None:
        self._stack, self._writer, self._watcher, self._sizes, self._report = stack, writer, watcher, sizes, report

    def load(self, name: str, rows_per_s: int, seconds: float) -> LoadResult:
        """One load from its first row to the last that was seen."""
        environment = self._stack.environment()
        load = Load(
            connection_id=f"bench-{time.time_ns()}", rows_per_s=rows_per_s, seconds=seconds, message_rows=self._sizes.message_rows
        )
        before = processor_time.read(self._stack)
        watching = self._watcher.start(watch, environment, load.connection_id, seconds, QUIET_S)
        written = self._writer.call(write_trades, environment, load)
        cores = before.shares_until(processor_time.read(self._stack))
        sights = watching.result()
        with admin(settings_from(Settings, environment).clickhouse) as client:
            rows = client.query(
                f"SELECT kafka_offset, toUnixTimestamp64Micro(committed_ts) FROM {STOCK_REALTIME.address} "
                "WHERE connection_id = {id:String}",
                parameters={"id": load.connection_id},
            ).result_rows
            hops = measured_hops(client, "connection_id = {id:String}", {"id": load.connection_id})
        waits = _waits(sights.sights, rows, written)
        result = LoadResult(
            name=name,
            asked_rows_per_s=rows_per_s,
            written=written,
            hops=hops,
            p50_ms=quantile(waits, 0.5) if waits else None,
            p99_ms=quantile(waits, 0.99) if waits else None,
            max_ms=max(waits) if waits else None,
            cores={**cores, "writer": written.cpu_s / written.seconds, "reader": sights.cpu_s / written.seconds},
            polls_per_s=sights.query_count / written.seconds,
        )
        self._report(one_line(result))
        return result

    def steps(self, rows_per_s: int) -> tuple[LoadResult, ...]:
        """Rising rates until one is not sustained."""
        results: list[LoadResult] = []
        while (rows_per_s := int(round(rows_per_s * STEP_FACTOR, -2))) <= LAST_STEP_RATE:
            results.append(self.load("rising rate", rows_per_s, self._sizes.step_seconds))
            if not results[-1].is_sustained:
                break
        return tuple(results)


def one_line(result: LoadResult) -> str:
    """A load in one line."""
    name, cores = result.busiest
    seen = (
        "rows were not seen in time"
        if result.p99_ms is None
        else (f"commit to query p50 {result.p50_ms:.0f} ms, p99 {result.p99_ms:.0f} ms, longest {result.max_ms:.0f} ms")
    )
    return (
        f"{result.name}, {result.asked_rows_per_s} rows/s asked, {result.written.rows_per_s:.0f} committed: {seen}; "
        f"{name} {cores:.2f} cores"
    )


def read_candles(environment: Mapping[str, str], sizes: SpeedSizes, report: Report) -> CandleReads:
    """Fill the table with ticks of a day, and read some hours of random symbols' candles."""
    stream = settings_from(Settings, environment)
    end_ts = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start_ts = end_ts - timedelta(days=1)
    with admin(stream.clickhouse) as client:
        _fill(client, sizes.tick_count, start_ts)
        tick_count = int(client.query(f"SELECT count() FROM {STOCK_REALTIME.address}").result_rows[0][0])
    report(f"{tick_count} ticks in {STOCK_REALTIME.address}")
    chosen = random.Random(0)
    query = (
        f"SELECT * FROM {CANDLES_1M.address} WHERE symbol = {{symbol:String}} "
        "AND minute_ts >= {from:DateTime64(6, 'UTC')} AND minute_ts < {to:DateTime64(6, 'UTC')} ORDER BY minute_ts"
    )
    taken_ms, row_count = [], 0
    with reader(stream.clickhouse) as client:
        # The first reads open files and connections.
        for number in range(-20, sizes.candle_reads):
            begin_ts = start_ts + timedelta(minutes=chosen.randrange((24 - CANDLE_HOURS) * 60))
            parameters = {
                "symbol": symbol_of(chosen.randrange(SYMBOL_COUNT)),
                "from": f"{begin_ts:%Y-%m-%d %H:%M:%S}",
                "to": f"{begin_ts + timedelta(hours=CANDLE_HOURS):%Y-%m-%d %H:%M:%S}",
            }
            began = time.perf_counter()
            rows = client.query(query, parameters=parameters).result_rows
            if number >= 0:
                taken_ms.append((time.perf_counter() - began) * 1000)
                row_count = max(row_count, len(rows))
    return CandleReads(
        tick_count=tick_count,
        read_count=len(taken_ms),
        row_count=row_count,
        p50_ms=quantile(taken_ms, 0.5),
        p99_ms=quantile(taken_ms, 0.99),
    )


def _waits(sights: Sequence[Sight], rows: Sequence[Sequence[int]], written: Written) -> list[float]:
    """Waits of all rows; none when not all of them arrived, or were seen, while somebody looked."""
    if len(rows) != written.row_count:
        return []
    try:
        return waits_ms(sights, [(offset, committed_us) for offset, committed_us in rows])
    except RowsNeverSeenError:
        return []


@contextmanager
def _connector_with_defaults(stack: LocalStack, report: Report) -> Iterator[None]:
    """The connector without what is set for the sake of latency, as long as the context lasts."""
    wanted = stack_connectors(stack.context)[CONNECTOR]
    connect = KafkaConnect(stack.environment()["FINLAKE_CONNECT_URL"], stack.layout.connect_certificate)
    plain = {name: value for name, value in wanted.items() if name not in TUNED}
    report(f"connector without {', '.join(connect.register(CONNECTOR, plain))}")
    connect.wait_until_running(CONNECTOR)
    try:
        yield
    finally:
        connect.register(CONNECTOR, wanted)
        connect.wait_until_running(CONNECTOR)


def _fill(client: "Client", tick_count: int, start_ts: datetime) -> None:
    """Ticks spread evenly over a day and the symbols, made by ClickHouse itself."""
    step_us = 86_400_000_000 // tick_count
    start_us = int(start_ts.timestamp()) * 1_000_000
    moment = f"fromUnixTimestamp64Micro({start_us} + toInt64(number) * {step_us}, 'UTC')"
    made: dict[str, str] = {
        "symbol": f"concat('T', leftPad(toString(cityHash64(number) % {SYMBOL_COUNT}), 4, '0'))",
        "trade_ts": moment,
        "price_usd": "round(100 + 10 * sin(number / 50000) + (cityHash64(number, 1) % 1000) / 1000, 4)",
        "volume_shares": "1 + cityHash64(number, 2) % 500",
        "conditions": "['1']",
        "flaw": "''",
        "received_ts": moment,
        "connection_id": "'candles'",
        "message_seq": "number",
        "trade_index": "0",
        "lsn": "0",
        "committed_ts": moment,
        "captured_ts": moment,
        "appended_ts": moment,
        "consumed_ts": moment,
        "kafka_partition": "-1",
        "kafka_offset": "number",
    }
    for first in range(0, tick_count, FILL_ROWS):
        client.command(
            f"INSERT INTO {STOCK_REALTIME.address} ({', '.join(made)}) SELECT {', '.join(made.values())} "
            f"FROM numbers({first}, {min(FILL_ROWS, tick_count - first)})"
        )
