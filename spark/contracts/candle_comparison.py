"""Are the live candles those of the archive? Questions to ClickHouse that read both sides, as text.

A minute is compared when the archive has all trades of it that ClickHouse has, and has come far enough to know that it is
over: a trade beyond the archive's offsets takes its minute out, however old the minute is. `{gold}` stands for the rows of a
snapshot of gold.candles_1m.
"""

from collections.abc import Mapping
from datetime import date, timedelta

from spark.contracts.clickhouse import exact_units, window_start
from spark.contracts.speed import CANDLE_COLUMNS, CANDLES_1M, FINAL_AFTER_S, STOCK_REALTIME

SHOWN = 20

_KEY = CANDLES_1M.grain
_DOUBLES = [column.name for column in CANDLE_COLUMNS if column.type == "double"]
# Bits, because two doubles that look alike may differ.
_CONTENT = ", ".join([*(f"reinterpretAsInt64({name})" for name in _DOUBLES), "trade_count"])
_COLUMNS = ", ".join(column.name for column in CANDLE_COLUMNS)
# The columns of Iceberg files are all nullable in ClickHouse.
_ARCHIVED = ", ".join(f"assumeNotNull({column.name}) AS {column.name}" for column in CANDLE_COLUMNS)


def differing_candles(positions: Mapping[int, int], first: date, last: date) -> str:
    """The first minutes that differ, on UTC dates from `first` to `last`: key, rows of each side, and how many there are.

    `positions` are the archive's ends of offsets by partition of the topic of trades.
    """
    key = ", ".join(_KEY)
    return (
        f"SELECT toString(symbol) AS symbol, minute_ts, countIf(side = 'batch') AS batch_rows, "
        f"countIf(side = 'speed') AS speed_rows, count() OVER () AS differing_count\n"
        f"FROM ({_both_sides(positions, first, last)})\nGROUP BY {key}\n"
        f"HAVING batch_rows != 1 OR speed_rows != 1 OR uniqExact({_CONTENT}) != 1\nORDER BY {key}\nLIMIT {SHOWN}"
    )


def candle_totals(positions: Mapping[int, int], first: date, last: date) -> str:
    """By side: number of minutes, of trades, and the exact sum of volumes in units of 1e-8."""
    return (
        f"SELECT side, count() AS minutes, sum(trade_count) AS trades, sum({exact_units('volume_shares')}) AS volume_units\n"
        f"FROM ({_both_sides(positions, first, last)})\nGROUP BY side"
    )


def _both_sides(positions: Mapping[int, int], first: date, last: date) -> str:
    start, end = f"'{first} 00:00:00'", f"'{last + timedelta(days=1)} 00:00:00'"
    is_compared = f"minute_ts < ({_final_before(positions)}) AND ({', '.join(_KEY)}) NOT IN ({_unarchived(positions)})"
    return (
        f"SELECT 'batch' AS side, {_COLUMNS} FROM (SELECT {_ARCHIVED} FROM {{gold}} "
        f"WHERE trade_date BETWEEN '{first}' AND '{last}') WHERE {is_compared}\nUNION ALL\n"
        f"SELECT 'speed' AS side, {_COLUMNS} FROM {CANDLES_1M.address} "
        f"WHERE minute_ts >= {start} AND minute_ts < {end} AND {is_compared}"
    )


def _unarchived(positions: Mapping[int, int]) -> str:
    """Minutes with a trade that the archive does not have yet."""
    return (
        f"SELECT symbol, {window_start(60)} FROM {STOCK_REALTIME.address} "
        f"WHERE flaw = '' AND NOT ({_is_archived(positions)}) GROUP BY 1, 2"
    )


def _final_before(positions: Mapping[int, int]) -> str:
    """The end of the minutes that gold.candles_1m takes for final at these positions."""
    last = (
        f"SELECT argMax(received_ts, kafka_offset) AS last_ts FROM {STOCK_REALTIME.address} "
        f"WHERE {_is_archived(positions)} GROUP BY kafka_partition"
    )
    return f"SELECT toStartOfMinute(min(last_ts) - toIntervalSecond({FINAL_AFTER_S})) FROM ({last})"


def _is_archived(positions: Mapping[int, int]) -> str:
    return (
        " OR ".join(f"(kafka_partition = {partition} AND kafka_offset < {end})" for partition, end in sorted(positions.items()))
        or "false"
    )
