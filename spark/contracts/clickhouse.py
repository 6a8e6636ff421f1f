"""How ClickHouse stores and serves the speed tables: types, engines, materialized views, as text made from the contracts.

Belongs here: DDL and the expressions in it. Does not belong here: running it (deploy/clickhouse/migrate.py), what readers
see (spark/contracts/speed.py).

Statements are templates: `${...}` stands for what differs between one server and a cluster of shards and replicas, and
`render` fills it in. On a cluster every table is a local one named `*_local`, and readers' names are Distributed tables
over them; a symbol's rows lie on one shard, so that materialized views see all trades of a symbol. The profile of the
user that inserts must set `distributed_foreground_insert = 1` there: an insert is answered when the shards have it.

Aggregates hold whole numbers and the positions of first and last trades, so no order of arrival changes a digit, and a
late trade corrects the windows it belongs to.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import Template
from typing import Literal

from spark.contracts.speed import (
    ANOMALIES,
    CANDLE_KEPT_DAYS,
    CANDLES_1M,
    FINAL_AFTER_S,
    PRICE_VOLUME_15S,
    QUOTES_REALTIME,
    STOCK_REALTIME,
    TICK_KEPT_DAYS,
    UNITS_PER_ONE,
    WINDOW_KEPT_DAYS,
    WINDOWS_30S,
)
from spark.contracts.table import Column, Table

DATABASES = ("speed", "serving")

FILLED_BY_CLICKHOUSE = "inserted_ts"
"""The column that the sink does not write: ClickHouse fills it in."""

DEDUPLICATION_WINDOW = 10_000
"""Inserted blocks whose tokens are remembered, per table. A replay repeats the last block only."""

BASELINE_WINDOWS = 5
"""Windows before the judged one whose mean is its baseline. Where the symbol has fewer, the mean of those there are."""

SINK_GAPS = "speed.sink_gaps"
"""Offsets that Kafka had deleted before they were read."""

_REPLICA = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
_EXACT_BELOW = 2**53
_TYPES = {
    "string": "String",
    "boolean": "Bool",
    "int": "Int32",
    "long": "Int64",
    "double": "Float64",
    "date": "Date32",
    "timestamp": "DateTime64(6, 'UTC')",
    "list<string>": "Array(LowCardinality(String))",
}
_FEW_VALUES = frozenset({"symbol", "ticker", "flaw", "connection_id", "poller_id"})

Kind = Literal["database", "table", "distributed table", "view", "materialized view"]


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """Where ClickHouse runs: on one server, or as the cluster of this name (shards, replicas, Keeper).

    Raises ValueError for a name of other than letters, digits, `_` and `-`.
    """

    cluster: str | None = None

    def __post_init__(self) -> None:
        if self.cluster is not None and not re.fullmatch(r"[A-Za-z0-9_-]+", self.cluster):
            raise ValueError(f"{self.cluster!r} names no cluster: use letters, digits, _ and -")


ONE_SERVER = Deployment()


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One object: its `database.name` as on one server, its kind, and the template of its CREATE statement."""

    name: str
    kind: Kind
    template: str


def clickhouse_type(column: Column) -> str:
    """The ClickHouse type of a contract's column, such as `Nullable(Float64)`.

    Timestamps have microseconds, or milliseconds where the contract's unit says milliseconds or seconds. Names with few
    values are LowCardinality. Arrays are never null in ClickHouse: an empty one stands for null.
    """
    base = _TYPES[column.type]
    if column.type == "timestamp" and "seconds" in column.unit:
        base = "DateTime64(3, 'UTC')"
    if column.type == "list<string>":
        return base
    if column.nullable:
        base = f"Nullable({base})"
    return f"LowCardinality({base})" if column.name in _FEW_VALUES else base


def column_ddl(column: Column) -> str:
    """The column as a CREATE TABLE or CREATE VIEW statement lists it: name, type, comment with the unit."""
    note = f"{column.note} [{column.unit}]" if column.unit else column.note
    return f"`{column.name}` {clickhouse_type(column)} COMMENT {quoted(note)}"


def quoted(text: str) -> str:
    """A ClickHouse string literal inside a template."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("$", "$$")
    return f"'{escaped}'"


def exact_units(expression: str) -> str:
    """SQL of `rint(expression * 1e8)` as Int128, exact for results below 2^116.

    ClickHouse's own conversion of a Float64 above 2^63 to Int128 is off by some units; two halves below 2^53 are not.
    """
    units = f"roundBankers(({expression}) * {UNITS_PER_ONE})"
    high = f"trunc({units} / {_EXACT_BELOW})"
    return f"toInt128(toInt64({high})) * {_EXACT_BELOW} + toInt64({units} - {high} * {_EXACT_BELOW})"


def nearest_double(whole_number: str) -> str:
    """SQL of the Float64 nearest to a wide integer; ClickHouse's direct cast rounds twice above 2^64."""
    return f"toFloat64(toString({whole_number}))"


def window_start(seconds: int, trade_ts: str = "trade_ts") -> str:
    """SQL of the start of the window of `seconds` that holds `trade_ts`, as microseconds; also before 1970."""
    milliseconds = f"toUnixTimestamp64Milli({trade_ts})"
    start = f"({milliseconds} - positiveModulo({milliseconds}, {seconds * 1000})) * 1000"
    return f"fromUnixTimestamp64Micro({start}, 'UTC')"


def statements() -> tuple[Statement, ...]:
    """Everything that the speed layer is in ClickHouse, in the order of creation."""
    return (
        *(
            Statement(name=name, kind="database", template=f"CREATE DATABASE IF NOT EXISTS {name}${{on_cluster}}")
            for name in DATABASES
        ),
        *_stored_rows(STOCK_REALTIME),
        *_stored_rows(QUOTES_REALTIME),
        *_sink_gaps(),
        *_aggregate(
            _CANDLES_NAME,
            _CANDLE_STATES,
            summary="What candles_1m is merged from.",
            starts=_CANDLE_STARTS,
            kept_days=CANDLE_KEPT_DAYS,
        ),
        _view(CANDLES_1M, _CANDLES),
        # One table for both widths: each table that a block is added to costs as much as the block's rows themselves.
        *_aggregate(
            _WINDOWS_NAME,
            _WINDOW_STATES,
            summary="What windows_30s and price_volume_15s are merged from.",
            starts=_WINDOW_STARTS,
            kept_days=WINDOW_KEPT_DAYS,
        ),
        _view(WINDOWS_30S, _WINDOWS),
        _view(PRICE_VOLUME_15S, _PRICE_VOLUME),
        _view(ANOMALIES, _ANOMALIES),
    )


def render(templates: Iterable[Statement], deployment: Deployment) -> list[str]:
    """Statements that the deployment runs, in order."""
    return [
        render_text(each.template, deployment)
        for each in templates
        if deployment.cluster is not None or each.kind != "distributed table"
    ]


def render_text(template: str, deployment: Deployment) -> str:
    """One template filled in; raises `KeyError` naming a placeholder that nothing is known for."""
    cluster = deployment.cluster
    window = f"deduplication_window = {DEDUPLICATION_WINDOW}"
    replicated = f"replicated_{window}, replicated_deduplication_window_seconds = 604800"
    return Template(template).substitute(
        on_cluster="" if cluster is None else f" ON CLUSTER '{cluster}'",
        cluster="" if cluster is None else cluster,
        local="" if cluster is None else "_local",
        MergeTree="MergeTree" if cluster is None else f"ReplicatedMergeTree({_REPLICA})",
        AggregatingMergeTree="AggregatingMergeTree" if cluster is None else f"ReplicatedAggregatingMergeTree({_REPLICA})",
        deduplication=f"non_replicated_{window}" if cluster is None else replicated,
    )


# A block that was acknowledged is on disk, whatever the server's own configuration says.
_DURABLE = "${deduplication}, fsync_after_insert = 1, fsync_part_directory = 1"


def _table(name: str, columns: Iterable[str], layout: str, *, engine: str, shard_by: str, comment: str) -> tuple[Statement, ...]:
    """A stored table and, on a cluster, the Distributed table of its name over all shards."""
    database, _, bare = name.partition(".")
    listed = ",\n    ".join(columns)
    stored = (
        f"CREATE TABLE IF NOT EXISTS {name}${{local}}${{on_cluster}}\n(\n    {listed}\n)\n"
        f"ENGINE = ${{{engine}}}\n{layout}\nCOMMENT {quoted(comment)}"
    )
    distributed = (
        f"CREATE TABLE IF NOT EXISTS {name}${{on_cluster}} AS {name}${{local}}\n"
        f"ENGINE = Distributed('${{cluster}}', '{database}', '{bare}${{local}}', cityHash64({shard_by}))"
    )
    return (
        Statement(name=name, kind="table", template=stored),
        Statement(name=name, kind="distributed table", template=distributed),
    )


def _stored_rows(table: Table) -> tuple[Statement, ...]:
    """A table of rows as they came.

    One partition per day of Kafka's own clock: a block touches one or two whatever times its rows claim. Times of
    reception are found by their own index.
    """
    columns = [
        column_ddl(column).replace(" COMMENT ", " DEFAULT now64(6, 'UTC') COMMENT ", 1)
        if column.name == FILLED_BY_CLICKHOUSE
        else column_ddl(column)
        for column in table.columns
    ]
    order = ", ".join((*table.sort_order, *table.grain))
    return _table(
        table.address,
        (*columns, "INDEX received_ts_range received_ts TYPE minmax"),
        f"PARTITION BY toYYYYMMDD(appended_ts)\nORDER BY ({order})\n"
        f"TTL toDateTime({FILLED_BY_CLICKHOUSE}) + toIntervalDay({TICK_KEPT_DAYS})\n"
        f"SETTINGS ttl_only_drop_parts = 1, {_DURABLE}",
        engine="MergeTree",
        shard_by="symbol",
        comment=table.summary,
    )


def _sink_gaps() -> tuple[Statement, ...]:
    return _table(
        SINK_GAPS,
        (
            "`topic` LowCardinality(String) COMMENT 'Topic'",
            "`kafka_partition` Int32 COMMENT 'Partition of the topic'",
            "`first_offset` Int64 COMMENT 'First offset that was not read'",
            "`last_offset` Int64 COMMENT 'Last offset that was not read'",
            "`reason` String COMMENT 'Why, in words'",
            "`noticed_ts` DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') COMMENT 'When the sink noticed'",
        ),
        f"ORDER BY (topic, kafka_partition, first_offset)\nSETTINGS {_DURABLE}",
        engine="MergeTree",
        shard_by="topic",
        comment="Offsets that Kafka had deleted before the sink read them.",
    )


@dataclass(frozen=True, kw_only=True)
class _State:
    """A column of an aggregate: its name, its type, and the expression over trades that fills it."""

    name: str
    type: str
    expression: str


_CANDLES_NAME = CANDLES_1M.address
_WINDOWS_NAME = "speed.windows_15s"
_CANDLE_STARTS = {"minute_ts": 60}
_WINDOW_STARTS = {"start_30s_ts": 30, "start_15s_ts": 15}

STARTS_OF_WINDOWS: Mapping[str, tuple[str, str]] = {
    CANDLES_1M.address: (f"{_CANDLES_NAME}_state", "minute_ts"),
    WINDOWS_30S.address: (f"{_WINDOWS_NAME}_state", "start_30s_ts"),
    PRICE_VOLUME_15S.address: (f"{_WINDOWS_NAME}_state", "start_15s_ts"),
    ANOMALIES.address: (f"{_WINDOWS_NAME}_state", "start_30s_ts"),
}
"""By view, the state table it is merged from and the column there that holds the starts of the view's windows.

A view's newest window is cheap to read from the states.
"""

_POSITION = "(trade_ts, kafka_partition, kafka_offset)"
_POSITION_TYPE = "Tuple(DateTime64(3, 'UTC'), Int32, Int64)"
_COUNT = _State(name="trade_count_state", type="SimpleAggregateFunction(sum, Int64)", expression="toInt64(count())")
_HIGHEST = _State(name="highest_state", type="SimpleAggregateFunction(max, Float64)", expression="max(price_usd)")
_LOWEST = _State(name="lowest_state", type="SimpleAggregateFunction(min, Float64)", expression="min(price_usd)")
_VOLUME = _State(
    name="volume_units_state", type="SimpleAggregateFunction(sum, Int128)", expression=f"sum({exact_units('volume_shares')})"
)
_LAST_INSERTED = _State(
    name="last_inserted_ts",
    type="SimpleAggregateFunction(max, DateTime('UTC'))",
    expression=f"max(toDateTime({FILLED_BY_CLICKHOUSE}, 'UTC'))",
)

_CANDLE_STATES = (
    _State(
        name="open_state",
        type=f"AggregateFunction(argMin, Float64, {_POSITION_TYPE})",
        expression=f"argMinState(price_usd, {_POSITION})",
    ),
    _HIGHEST,
    _LOWEST,
    _State(
        name="close_state",
        type=f"AggregateFunction(argMax, Float64, {_POSITION_TYPE})",
        expression=f"argMaxState(price_usd, {_POSITION})",
    ),
    _VOLUME,
    _COUNT,
)
_WINDOW_STATES = (
    _State(name="price_units_state", type="SimpleAggregateFunction(sum, Int128)", expression=f"sum({exact_units('price_usd')})"),
    # A price of 1e13 USD has 1e21 units: its square needs more than 128 bits.
    _State(
        name="squared_units_state",
        type="SimpleAggregateFunction(sum, Int256)",
        expression=f"sum(toInt256({exact_units('price_usd')}) * toInt256({exact_units('price_usd')}))",
    ),
    _State(
        name="price_volume_units_state",
        type="SimpleAggregateFunction(sum, Int128)",
        expression=f"sum({exact_units('price_usd * volume_shares')})",
    ),
    _HIGHEST,
    _LOWEST,
    _VOLUME,
    _COUNT,
)


def _aggregate(
    name: str,
    states: tuple[_State, ...],
    *,
    summary: str,
    starts: dict[str, int],
    kept_days: int,
) -> tuple[Statement, ...]:
    """A state table, and the materialized view that fills it from trades without a flaw.

    `starts` are the columns that hold the start of a window, with the window's seconds, the longest window first.
    """
    held = (*states, _LAST_INSERTED)
    columns = (
        column_ddl(STOCK_REALTIME.column("symbol")),
        *(
            f"`{start}` DateTime64(6, 'UTC') COMMENT 'Start of the window of {seconds} s [UTC]'"
            for start, seconds in starts.items()
        ),
        *(f"`{state.name}` {state.type}" for state in held),
    )
    filled = ",\n    ".join(
        (
            *(f"{window_start(seconds)} AS {start}" for start, seconds in starts.items()),
            *(f"{state.expression} AS {state.name}" for state in held),
        )
    )
    keys = ", ".join(("symbol", *starts))
    return (
        *_table(
            f"{name}_state",
            columns,
            f"ORDER BY ({keys})\nTTL last_inserted_ts + toIntervalDay({kept_days})\n"
            # The states of a whole granule are decoded for one window.
            f"SETTINGS index_granularity = 256, {_DURABLE}",
            engine="AggregatingMergeTree",
            shard_by="symbol",
            comment=summary,
        ),
        Statement(
            name=f"{name}_mv",
            kind="materialized view",
            template=f"CREATE MATERIALIZED VIEW IF NOT EXISTS {name}_mv${{on_cluster}} TO {name}_state${{local}} AS\n"
            f"SELECT\n    symbol,\n    {filled}\n"
            f"FROM {STOCK_REALTIME.address}${{local}}\nWHERE flaw = ''\nGROUP BY {keys}",
        ),
    )


def _view(table: Table, query: str) -> Statement:
    listed = ",\n    ".join(column_ddl(column) for column in table.columns)
    return Statement(
        name=table.address,
        kind="view",
        template=f"CREATE VIEW IF NOT EXISTS {table.address}${{on_cluster}}\n(\n    {listed}\n)\n"
        f"AS\n{query}\nCOMMENT {quoted(table.summary)}",
    )


# The newest times of Kafka's clock are known without reading rows, and an
# index finds times of receipt, so that an hour is looked through and not a month. A stream that is further behind than that
# gives the older bound.
RECEIVED_UP_TO = f"""(
        SELECT greatest(max(received_ts), (SELECT max(appended_ts) - toIntervalDay(1) FROM {STOCK_REALTIME.address}))
        FROM {STOCK_REALTIME.address}
        WHERE received_ts > (SELECT max(appended_ts) - toIntervalHour(1) FROM {STOCK_REALTIME.address})
    )"""
"""SQL of the time of receipt up to which every trade is there."""


def _is_final(start: str, seconds: int) -> str:
    """SQL of `is_final` of a window of `seconds`."""
    return f"{start} + toIntervalSecond({seconds + FINAL_AFTER_S}) <= {RECEIVED_UP_TO} AS is_final"


_CANDLES = f"""SELECT
    symbol,
    minute_ts,
    argMinMerge(open_state) AS open_usd,
    max(highest_state) AS high_usd,
    min(lowest_state) AS low_usd,
    argMaxMerge(close_state) AS close_usd,
    {nearest_double("sum(volume_units_state)")} / {UNITS_PER_ONE} AS volume_shares,
    sum(trade_count_state) AS trade_count,
    {_is_final("minute_ts", 60)}
FROM {_CANDLES_NAME}_state
GROUP BY symbol, minute_ts"""

_WINDOWS = f"""SELECT
    symbol,
    window_start_ts,
    window_start_ts + toIntervalSecond(30) AS window_end_ts,
    {nearest_double("price_units")} / trade_count / {UNITS_PER_ONE} AS avg_price_usd,
    lowest AS min_price_usd,
    highest AS max_price_usd,
    {nearest_double("volume_units")} / {UNITS_PER_ONE} AS volume_shares,
    trade_count,
    if(trade_count < 2, NULL, sqrt(
        {nearest_double("toInt256(trade_count) * squared_units - toInt256(price_units) * toInt256(price_units)")}
        / (trade_count * (trade_count - 1))
    ) / {UNITS_PER_ONE}) AS price_sd_usd,
    {_is_final("window_start_ts", 30)}
FROM
(
    SELECT
        symbol,
        start_30s_ts AS window_start_ts,
        sum(price_units_state) AS price_units,
        sum(squared_units_state) AS squared_units,
        min(lowest_state) AS lowest,
        max(highest_state) AS highest,
        sum(volume_units_state) AS volume_units,
        sum(trade_count_state) AS trade_count
    FROM {_WINDOWS_NAME}_state
    GROUP BY symbol, start_30s_ts
)"""

_PRICE_VOLUME = f"""SELECT
    symbol,
    window_start_ts,
    {nearest_double("units")} / trade_count / {UNITS_PER_ONE} AS price_volume_avg_usd,
    {nearest_double("sum(units) OVER so_far")} / sum(trade_count) OVER so_far / {UNITS_PER_ONE} AS running_price_volume_avg_usd,
    trade_count,
    {_is_final("window_start_ts", 15)}
FROM
(
    SELECT
        symbol,
        start_15s_ts AS window_start_ts,
        sum(price_volume_units_state) AS units,
        sum(trade_count_state) AS trade_count
    FROM {_WINDOWS_NAME}_state
    GROUP BY symbol, start_15s_ts
)
WINDOW so_far AS (PARTITION BY symbol ORDER BY window_start_ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"""

_ANOMALIES = f"""SELECT
    symbol,
    window_start_ts,
    arrayFilter((name, is_so) -> is_so,
        ['PRICE_SPIKE_UP', 'PRICE_SPIKE_DOWN', 'VOLUME_SPIKE', 'HIGH_VOLATILITY', 'PRICE_GAP'],
        [ifNull(price_change_pct > 5, false), ifNull(price_change_pct < -5, false), ifNull(volume_ratio > 3, false),
         ifNull(price_sd_usd > 0.03, false), price_range_pct > 2]) AS anomaly_types,
    toInt32(length(anomaly_types)) AS severity,
    price_change_pct,
    volume_ratio,
    price_sd_usd,
    price_range_pct,
    is_final
FROM
(
    SELECT
        symbol,
        window_start_ts,
        price_sd_usd,
        is_final,
        (max_price_usd - min_price_usd) / avg_price_usd * 100 AS price_range_pct,
        if(known_windows = 0, NULL, (avg_price_usd / baseline_price_usd - 1) * 100) AS price_change_pct,
        if(known_windows = 0 OR baseline_volume_shares = 0, NULL, volume_shares / baseline_volume_shares) AS volume_ratio
    FROM
    (
        SELECT
            symbol,
            window_start_ts,
            avg_price_usd,
            min_price_usd,
            max_price_usd,
            volume_shares,
            price_sd_usd,
            is_final,
            avg(avg_price_usd) OVER before AS baseline_price_usd,
            avg(volume_shares) OVER before AS baseline_volume_shares,
            count() OVER before AS known_windows
        FROM {WINDOWS_30S.address}
        WINDOW before AS (
            PARTITION BY symbol ORDER BY window_start_ts ROWS BETWEEN {BASELINE_WINDOWS} PRECEDING AND 1 PRECEDING
        )
    )
)
WHERE severity > 0"""
