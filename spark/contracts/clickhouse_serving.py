"""How ClickHouse makes the serving tables: loaded, pointed at the lake's files, or a view; as text made from the contracts.

Belongs here: statements. Does not belong here: when they run and what is checked between them
(finlake_clients/clickhouse/server.py).
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from spark.contracts.bronze import BAR_COLUMNS
from spark.contracts.clickhouse import (
    ONE_SERVER,
    RECEIVED_UP_TO,
    column_ddl,
    exact_units,
    nearest_double,
    quoted,
    render_text,
)
from spark.contracts.serving import BATCH, GOLD_STOCK_ANALYTICS, PRICES_UNIFIED, SPEED
from spark.contracts.speed import CANDLES_1M, FINAL_AFTER_S, UNITS_PER_ONE
from spark.contracts.table import Table

LOADING = "_loading"
"""Ends the name of the table that is being made; it takes the place of the one that readers see when it is right."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a loaded table was made of, as its comment says: the contract's summary, the lake's table and its snapshot.

    `definition` changes with the statement that made the table, so that a changed contract is noticed.
    """

    summary: str
    source: str
    snapshot_id: str
    definition: str


def origin_of(comment: str) -> Origin | None:
    """The origin a comment tells; None for a comment that tells none."""
    try:
        return Origin(**json.loads(comment))
    except (ValueError, TypeError):
        return None


def loaded_table(table: Table, name: str, source: str, snapshot_id: int) -> tuple[str, Origin]:
    """CREATE TABLE of a table that ClickHouse holds itself, as `name`, and the origin in its comment."""
    listed = ",\n    ".join(column_ddl(column) for column in table.columns)
    template = (
        f"CREATE TABLE {name}${{on_cluster}}\n(\n    {listed}\n)\nENGINE = ${{MergeTree}}\n"
        f"ORDER BY ({', '.join(table.sort_order)})\nSETTINGS fsync_after_insert = 1, fsync_part_directory = 1\n"
    )
    definition = hashlib.sha256(template.replace(name, table.address).encode()).hexdigest()[:12]
    origin = Origin(summary=table.summary, source=source, snapshot_id=str(snapshot_id), definition=definition)
    return render_text(f"{template}COMMENT {quoted(json.dumps(asdict(origin)))}", ONE_SERVER), origin


def view(table: Table, query: str) -> str:
    """CREATE OR REPLACE VIEW with the columns of the contract."""
    listed = ",\n    ".join(column_ddl(column) for column in table.columns)
    return render_text(
        f"CREATE OR REPLACE VIEW {table.address}${{on_cluster}}\n(\n    {listed}\n)\nAS\n{query}\n"
        f"COMMENT {quoted(table.summary)}",
        ONE_SERVER,
    )


def rows_of_snapshot(location: str, metadata_path: str, s3_endpoint: str | None) -> str:
    """The table function that reads an Iceberg table as one of its metadata files says; arguments as in `engine_over`."""
    function, where = _reader_of(location, s3_endpoint)
    return f"{function}({_text(where)}, {_pinned(metadata_path)})"


def engine_over(location: str, metadata_path: str, s3_endpoint: str | None) -> str:
    """The ENGINE clause of a table that reads an Iceberg table as one of its metadata files says.

    `metadata_path` is relative to `location`. An S3 location needs `s3_endpoint`; the keys are the server's own setting, so
    that no statement holds a secret. Raises `ValueError` for a location that ClickHouse cannot read.
    """
    function, where = _reader_of(location, s3_endpoint)
    return f"ENGINE = {function[0].upper()}{function[1:]}({_text(where)}) {_pinned(metadata_path)}"


def _reader_of(location: str, s3_endpoint: str | None) -> tuple[str, str]:
    """The function that reads a location, and how it names the location."""
    parts = urlsplit(location)
    if parts.scheme == "file":
        return "icebergLocal", parts.path
    if parts.scheme == "s3" and s3_endpoint:
        return "icebergS3", f"{s3_endpoint.rstrip('/')}/{parts.netloc}{parts.path}"
    raise ValueError(f"ClickHouse cannot read {location}: a file:// location is needed, or an s3:// one with FINLAKE_S3_ENDPOINT")


def _pinned(metadata_path: str) -> str:
    """The setting that names the metadata file: ClickHouse would look for the newest, which may be one of no commit."""
    return f"SETTINGS iceberg_metadata_file_path = {_text(metadata_path)}"


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


_BARS = ", ".join(BAR_COLUMNS)

# Tickers without a batch session are not in the map; its answer for them is the first day of 1970.
PRICES_UNIFIED_QUERY = f"""WITH (
    SELECT mapFromArrays(groupArray(ticker), groupArray(last_session_date))
    FROM (
        SELECT toString(ticker) AS ticker, max(session_date) AS last_session_date
        FROM {GOLD_STOCK_ANALYTICS.address} GROUP BY ticker
    )
) AS last_sessions
SELECT ticker, session_date, {_BARS}, '{BATCH}' AS source, true AS is_final
FROM {GOLD_STOCK_ANALYTICS.address}
UNION ALL
SELECT
    symbol AS ticker,
    toDate32(toTimeZone(minute_ts, 'America/New_York')) AS session_date,
    argMin(candle.open_usd, minute_ts) AS open_usd,
    max(candle.high_usd) AS high_usd,
    min(candle.low_usd) AS low_usd,
    argMax(candle.close_usd, minute_ts) AS close_usd,
    {nearest_double(f"sum({exact_units('candle.volume_shares')})")} / {UNITS_PER_ONE} AS volume_shares,
    '{SPEED}' AS source,
    toDateTime64(session_date + 1, 6, 'America/New_York') + toIntervalSecond({FINAL_AFTER_S}) <= {RECEIVED_UP_TO} AS is_final
FROM {CANDLES_1M.address} AS candle
WHERE position(symbol, ':') = 0
GROUP BY ticker, session_date
HAVING session_date > last_sessions[toString(ticker)]"""

VIEWS: dict[str, str] = {PRICES_UNIFIED.address: view(PRICES_UNIFIED, PRICES_UNIFIED_QUERY)}
"""Statements of the views, by address."""
