"""`finlake bench formats`: what a trade costs as JSON and as Avro: bytes in Kafka, processor time of the connector and the sink.

On a stack of its own, of which nothing but the connector's converter is changed between loads. The formats take turns, so that
a machine that grows slower or quicker meanwhile is seen in both.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from deploy.local.connectors import local_placeholders, wanted_connectors
from deploy.local.stack import LocalStack
from finlake_clients.connect.change_capture import CONNECTOR
from finlake_clients.connect.rest import KafkaConnect
from finlake_clients.kafka.topics import KafkaTopics
from finlake_proofs.bench.speed import SERVICES, Bench, LoadResult, SpeedSizes
from finlake_proofs.bench.temporary_lake import temporary_stack, worker
from finlake_settings.declaration import StreamFormat
from spark.contracts.streams import TRADES

if TYPE_CHECKING:
    from rich.table import Table

Report = Callable[[str], None]

FORMATS: tuple[StreamFormat, ...] = ("json", "avro")
LOOKED_AT_RECORDS = 5_000
WARM_UP_S = 20.0


@dataclass(frozen=True, kw_only=True)
class FormatLoad:
    """A load in one format.

    `record_bytes` are those of a record's key and value, `log_bytes` what the topic's log grew by for each offset: batches as the
    producer packs them, and markers of transactions. Processor times count only where rows were seen in time: else some of
    them were written and not yet read.
    """

    format: StreamFormat
    load: LoadResult
    record_bytes: float
    log_bytes: float

    def row_us(self, service: str) -> float:
        """Microseconds of a processor that a service took for each row, its work at rest included."""
        return self.load.cores[service] * self.load.written.seconds * 1e6 / self.load.written.row_count


def measure(sizes: SpeedSizes, jars: Path, report: Report, *, rounds: int) -> tuple[FormatLoad, ...]:
    """Loads in each format, in turn; raises ConnectError when the connector does not run in one of them."""
    with ExitStack() as opened:
        stack = opened.enter_context(temporary_stack(jars, SERVICES, report, {"FINLAKE_STREAM_FORMAT": "avro"}))
        bench = Bench(stack, opened.enter_context(worker()), opened.enter_context(worker()), sizes, report)
        return tuple(_loaded(stack, bench, sizes, each) for _ in range(rounds) for each in FORMATS)


def _loaded(stack: LocalStack, bench: Bench, sizes: SpeedSizes, wanted: StreamFormat) -> FormatLoad:
    context = stack.context
    connect = KafkaConnect(stack.environment()["FINLAKE_CONNECT_URL"], context.layout.connect_certificate)
    connect.register(
        CONNECTOR, wanted_connectors(local_placeholders(context.layout, context.ports), avro=wanted == "avro")[CONNECTOR]
    )
    connect.wait_until_running(CONNECTOR)
    bench.load(f"warm-up of {wanted}", sizes.rows_per_s, min(WARM_UP_S, sizes.seconds))
    bytes_before, end_before = _log(stack)
    load = bench.load(wanted, sizes.rows_per_s, sizes.seconds)
    log_bytes, end = _log(stack)
    return FormatLoad(
        format=wanted,
        load=load,
        record_bytes=_record_bytes(stack),
        log_bytes=(log_bytes - bytes_before) / max(1, end - end_before),
    )


def _log(stack: LocalStack) -> tuple[int, int]:
    """Bytes and end offset of the topic's log."""
    topics = KafkaTopics.of(stack.settings().of(stack.layout).kafka)
    [marks] = topics.watermarks(TRADES.topic).values()
    files = (stack.layout.kafka / "data" / f"{TRADES.topic}-0").glob("*.log")
    return sum(file.stat().st_size for file in files), marks.end


def _record_bytes(stack: LocalStack) -> float:
    """The mean of the newest records."""
    topics = KafkaTopics.of(stack.settings().of(stack.layout).kafka)
    [(partition, marks)] = topics.watermarks(TRADES.topic).items()
    first = max(marks.first, marks.end - LOOKED_AT_RECORDS)
    return fmean(
        len(record.key or b"") + len(record.value or b"")
        for batch in topics.read(TRADES.topic, partition, first, marks.end)
        for record in batch
    )


def results_table(loads: Sequence[FormatLoad], rows_per_s: int) -> "Table":
    """One row for each load, in the order in which they ran."""
    from rich.table import Table

    table = Table(title=f"a trade as JSON and as Avro, {rows_per_s} rows/s asked")
    for heading in (
        "format",
        "rows/s",
        "key and value, B",
        "log, B",
        "Connect, µs/row",
        "sink, µs/row",
        "broker, µs/row",
        "p50, ms",
        "p99, ms",
    ):
        table.add_column(heading, justify="left" if heading == "format" else "right")
    for each in loads:
        waits = (each.load.p50_ms, each.load.p99_ms)
        table.add_row(
            each.format,
            f"{each.load.written.rows_per_s:.0f}",
            f"{each.record_bytes:.0f}",
            f"{each.log_bytes:.0f}",
            *(f"{each.row_us(service):.0f}" for service in ("kafka_connect", "clickhouse_sink", "kafka")),
            *("not seen" if wait is None else f"{wait:.0f}" for wait in waits),
        )
    return table
