"""gold.candles_1m: the minutes whose trades have changed, on whatever day they are, and those that have become final.

Which minutes are final follows from the trades up to the positions of a snapshot, so that nothing has to be remembered: a
run looks where its table stands and where silver stands, and builds what has become final between the two.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import reduce

from pyiceberg.expressions import AlwaysFalse, And, BooleanExpression, EqualTo, GreaterThanOrEqual, LessThan, Or
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name everybody knows

from spark.contracts import gold, speed
from spark.contracts.job_inputs import RebuildInputs
from spark.contracts.report import JobReport, Positions, Provenance, TableReport, Window
from spark.jobs.settling import between_positions
from spark.lake.expressions import any_of
from spark.lake.snapshots import Progress
from spark.lake.storage import Lake
from spark.transforms.gold.candles_1m import candles

TABLE = gold.CANDLES_1M
TRADES = "silver.trades"
COMMIT_DAYS = 31
MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LOOKED_BACK = 100_000
"""Offsets before a position among which its last trade is looked for: files of earlier ones are passed over."""


@dataclass(frozen=True, kw_only=True)
class MinuteRange:
    """Minutes, mostly of one UTC day: from `start` up to `end`, which is not part of it."""

    start: datetime
    end: datetime


Spans = Mapping[date, MinuteRange]


def run(lake: Lake, window: Window, provenance: Provenance, inputs: RebuildInputs) -> JobReport:
    """Build the minutes of trades that were added or altered since the last run; with `rebuild` also the window's days."""
    snapshots = {TRADES: lake.snapshot_id(TRADES)}
    settled, shown = lake.positions(TRADES, snapshots[TRADES]), lake.positions(TABLE.address)
    trades = lake.frame(TRADES, snapshot_id=snapshots[TRADES])
    whole = {day: _whole(day) for day in (*_altered(lake, snapshots[TRADES]), *(window.days if inputs.rebuild else ()))}
    final_before = _final_before(trades, settled)
    became_final = _happened_in(MinuteRange(start=_final_before(trades, shown), end=final_before)) if shown else F.lit(False)
    added = _spans(trades.where(between_positions(shown, settled) | became_final)) if shown != settled else {}
    parts = list(_parts({**added, **whole}))
    final = trades.where(F.col("trade_ts") < F.lit(final_before))
    # That all of it was built from these inputs is said with the last part: a run that ends before it is repeated whole.
    reports = [_replace(lake, final, part, provenance, {}, Progress(positions={})) for part in parts[:-1]]
    reports.append(_replace(lake, final, parts[-1], provenance, snapshots, Progress(positions=settled)))
    return JobReport(tables=tuple(reports), input_snapshots=snapshots)


def _final_before(trades: DataFrame, positions: Positions) -> datetime:
    """The end of the final minutes, as far as trades up to these positions tell: of each partition the last one counts, and
    of those the earliest. A partition that has brought none for long tells nothing."""
    first = {partition: max(0, end - LOOKED_BACK) for partition, end in positions.items()}
    last = F.max_by(F.unix_micros("received_ts"), "kafka_offset")
    rows = trades.where(between_positions(first, positions)).groupBy("kafka_partition").agg(last).collect()
    if not rows:
        rows = trades.where(between_positions({}, positions)).groupBy("kafka_partition").agg(last).collect()
    if not rows:
        return EPOCH
    return final_before(min(_moment(row[1]) for row in rows))


def final_before(received_ts: datetime) -> datetime:
    """The end of the minutes that are final once a trade received at this time is there."""
    return (received_ts - timedelta(seconds=speed.FINAL_AFTER_S)).replace(second=0, microsecond=0)


def _altered(lake: Lake, snapshot_id: int) -> list[date]:
    """Days of trades that are not simply new: those of received dates that silver has rebuilt, before and after."""
    built_from = lake.inputs(TABLE.address).get(TRADES)
    rewritten = None if built_from is None else lake.rewritten_since(TRADES, built_from)
    if built_from is None or rewritten is None:
        return []
    frames = [lake.frame(TRADES, rewritten, snapshot_id)]
    if lake.table(TRADES).snapshot_by_id(built_from) is not None:
        frames.append(lake.frame(TRADES, rewritten, built_from))
        candle_days: list[date] = []
    else:
        # What was there before cannot be looked up any more: every candle is built again.
        candle_days = [row[0] for row in lake.frame(TABLE.address).select("trade_date").distinct().collect()]
    trade_days = [row[0] for frame in frames for row in frame.select(F.to_date("trade_ts")).distinct().collect()]
    return sorted({*trade_days, *candle_days})


def _spans(trades: DataFrame) -> dict[date, MinuteRange]:
    """First and last minute of some trades by their day."""
    micros = F.unix_micros(F.date_trunc("minute", "trade_ts"))
    rows = trades.where("flaw = ''").groupBy(F.to_date("trade_ts")).agg(F.min(micros), F.max(micros)).collect()
    return {row[0]: MinuteRange(start=_moment(row[1]), end=_moment(row[2]) + MINUTE) for row in rows}


def _parts(spans: Spans) -> Iterator[Spans]:
    """Days in groups whose candles fit into memory; one empty group when there are none."""
    days = sorted(spans)
    for first in range(0, max(1, len(days)), COMMIT_DAYS):
        yield {day: spans[day] for day in days[first : first + COMMIT_DAYS]}


def _replace(
    lake: Lake, trades: DataFrame, spans: Spans, provenance: Provenance, snapshots: Mapping[str, int], progress: Progress
) -> TableReport:
    """Replace the candles of these minutes by those that all trades in them give; `trades` are of final minutes alone."""
    rows = candles(trades.where(_traded_in(spans))).toArrow()
    return lake.replace_rows(
        TABLE.address,
        rows,
        replaced=_candles_in(spans),
        provenance=provenance,
        input_snapshots=snapshots,
        progress=progress,
        audited=any_of("trade_date", (day.isoformat() for day in spans)),
    )


def _happened_in(span: MinuteRange) -> Column:
    """Trades of a span, wherever it begins. A trade is received after it happened, or a tolerated minute before."""
    return (
        (F.col("trade_ts") >= F.lit(span.start))
        & (F.col("trade_ts") < F.lit(span.end))
        & (F.col("received_date") >= F.lit(span.start.date() - timedelta(days=1)))
    )


def _traded_in(spans: Spans) -> Column:
    """Trades of these minutes."""
    found = F.lit(False)
    for span in spans.values():
        found = found | ((F.col("trade_ts") >= F.lit(span.start)) & (F.col("trade_ts") < F.lit(span.end)))
    # A trade is received after it happened, or a tolerated minute before: earlier files are passed over.
    return found & (F.col("received_date") >= F.lit(min(spans, default=date.max) - timedelta(days=1)))


def _candles_in(spans: Spans) -> BooleanExpression:
    """Candles of these minutes."""
    nothing: BooleanExpression = AlwaysFalse()
    return reduce(
        Or,
        (
            And(
                EqualTo("trade_date", day.isoformat()),
                GreaterThanOrEqual("minute_ts", span.start.isoformat()),
                LessThan("minute_ts", span.end.isoformat()),
            )
            for day, span in spans.items()
        ),
        nothing,
    )


def _whole(day: date) -> MinuteRange:
    start = datetime.combine(day, time(), tzinfo=UTC)
    return MinuteRange(start=start, end=start + timedelta(days=1))


def _moment(unix_micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=unix_micros)
