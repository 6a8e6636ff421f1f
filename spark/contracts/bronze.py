"""Bronze: what vendors said, immutable, with where and when it was said. Nothing is interpreted or corrected here."""

from dataclasses import replace
from datetime import date

from spark.contracts import speed
from spark.contracts.table import Check, Column, Freshness, Partitioning, Table

FILE_SHA256 = Column(name="file_sha256", type="string", note="SHA-256 of the bytes the row came from; names the download")
FETCHED_TS = Column(
    name="fetched_ts",
    type="timestamp",
    unit="UTC",
    note="When the bytes were obtained, as far as is known; bronze.stooq_downloads says how it is known",
)
TICKER = Column(name="ticker", type="string", note="Symbol of the universe file, upper case")
SESSION_DATE = Column(name="session_date", type="date", note="XNYS session", unit="America/New_York date")
DAY_DATE = Column(name="day_date", type="date", note="Calendar day", unit="America/New_York date")


def prices(source: str = "", nullable: bool = False) -> tuple[Column, ...]:
    """The five price and volume columns; `source` is the `layer.table` they come from, if any."""

    def column(name: str, unit: str, note: str) -> Column:
        return Column(
            name=name, type="double", unit=unit, note=note, nullable=nullable, sources=(f"{source}.{name}",) if source else ()
        )

    return (
        column("open_usd", "USD, split and dividend adjusted", "First price of the session"),
        column("high_usd", "USD, split and dividend adjusted", "Highest price of the session"),
        column("low_usd", "USD, split and dividend adjusted", "Lowest price of the session"),
        column("close_usd", "USD, split and dividend adjusted", "Last price of the session"),
        column("volume_shares", "shares, inversely adjusted", "Shares traded; fractional where the vendor scales it"),
    )


BAR_COLUMNS = tuple(column.name for column in prices())
"""The five numbers of a bar, as every table names them: open, high, low, close, volume."""

STOOQ_DOWNLOADS = Table(
    layer="bronze",
    name="stooq_downloads",
    summary="One row per distinct Stooq file and ticker: the memory of what was ingested, by content hash.",
    grain=("file_sha256", "ticker"),
    columns=(
        FILE_SHA256,
        TICKER,
        FETCHED_TS,
        Column(name="source_kind", type="string", note="drop, bulk or http"),
        Column(
            name="fetched_ts_kind",
            type="string",
            nullable=True,
            note="How fetched_ts is known: response, file (its modification time), member (its time in the archive), or "
            "reading, where a file says to be of the future; null in rows of before this was told",
        ),
        Column(name="source_name", type="string", note="File name, or URL without the key"),
        Column(name="row_count", type="long", unit="rows", note="Rows kept in bronze.stooq_prices"),
        Column(name="quarantined_count", type="long", unit="rows", note="Lines of this file that were rejected"),
        Column(name="first_session_date", type="date", note="Earliest row kept", nullable=True),
        Column(name="last_session_date", type="date", note="Latest row kept", nullable=True),
    ),
    written_with="bronze.stooq_prices",
    window="session",
    window_column="last_session_date",
    partitioning=None,
    sort_order=("fetched_ts", "ticker"),
    notes=(
        "Appended by content hash; its partition of a session says that the downloads up to it were made.",
        "A content is known by its hash and not read again, except where it was rejected in whole or in part: it is written "
        "again when it gives more rows, as the bar of a session that was not over does later.",
        "A content that comes twice keeps the fetched_ts of the first time. A copy that lost its time stamp is as new as the "
        "copying: first and last session tell what it holds.",
    ),
    checks=(
        Check(name="sha256_is_hex", predicate="file_sha256 rlike '^[0-9a-f]{64}$'", why="the hash is the identity"),
        Check(name="kind_is_known", predicate="source_kind in ('drop', 'bulk', 'http')", why="provenance"),
        Check(
            name="time_kind_is_known",
            predicate="fetched_ts_kind in ('response', 'file', 'member', 'reading')",
            why="the order of downloads rests on it",
        ),
    ),
)

STOOQ_PRICES = Table(
    layer="bronze",
    name="stooq_prices",
    summary="Every daily bar of every Stooq file ever ingested, as the file had it.",
    grain=("file_sha256", "ticker", "session_date"),
    columns=(
        FILE_SHA256,
        TICKER,
        Column(name="session_date", type="date", note="Date as the file gave it; it may not be a session"),
        *prices(nullable=True),
        FETCHED_TS,
        Column(name="line_number", type="long", unit="1-based", note="Line in the file"),
    ),
    window="session",
    window_column="session_date",
    partitioning=Partitioning(column="session_date", transform="month"),
    sort_order=("ticker", "session_date", "fetched_ts"),
    freshness=Freshness(due_hours=6),
    notes=(
        "Stooq's US prices are adjusted for splits and dividends and its volume is scaled inversely, so history is "
        "rewritten: each download stays as it was, and silver decides which one speaks.",
        "Rows become visible to silver by their row in bronze.stooq_downloads, which is written last.",
    ),
    checks=(Check(name="volume_not_negative", predicate="volume_shares >= 0", why="a negative volume is a parsing fault"),),
)

_GKG_FIELDS: tuple[tuple[str, str], ...] = (
    ("gkg_record_id", "GKGRECORDID: slot stamp, dash, serial; '-T' marks machine-translated articles"),
    ("gkg_date", "V2.1DATE as text, YYYYMMDDHHMMSS, equal to the slot label"),
    ("source_collection", "V2SOURCECOLLECTIONIDENTIFIER: 1 web, 2 citation, 3 CORE, 4 DTIC, 5 JSTOR, 6 non-text"),
    ("source_common_name", "V2SOURCECOMMONNAME"),
    ("document_identifier", "V2DOCUMENTIDENTIFIER: URL, or a citation when the collection is 2"),
    ("counts_v1", "V1COUNTS"),
    ("counts_v2", "V2.1COUNTS"),
    ("themes_v1", "V1THEMES"),
    ("themes_v2", "V2ENHANCEDTHEMES with character offsets"),
    ("locations_v1", "V1LOCATIONS"),
    ("locations_v2", "V2ENHANCEDLOCATIONS"),
    ("persons_v1", "V1PERSONS"),
    ("persons_v2", "V2ENHANCEDPERSONS"),
    ("organizations_v1", "V1ORGANIZATIONS, lower case"),
    ("organizations_v2", "V2ENHANCEDORGANIZATIONS with offsets"),
    ("tone_v15", "V1.5TONE: seven numbers"),
    ("dates_v21", "V2.1ENHANCEDDATES"),
    ("gcam", "V2GCAM"),
    ("sharing_image", "V2.1SHARINGIMAGE"),
    ("related_images", "V2.1RELATEDIMAGES"),
    ("social_image_embeds", "V2.1SOCIALIMAGEEMBEDS"),
    ("social_video_embeds", "V2.1SOCIALVIDEOEMBEDS"),
    ("quotations", "V2.1QUOTATIONS"),
    ("all_names", "V2.1ALLNAMES with offsets"),
    ("amounts", "V2.1AMOUNTS"),
    ("translation_info", "V2.1TRANSLATIONINFO, empty for English originals"),
    ("extras_xml", "V2EXTRASXML: sibling tags, not well-formed XML"),
)

GKG_FIELD_NAMES: tuple[str, ...] = tuple(name for name, _ in _GKG_FIELDS)

GDELT_START = date(2015, 2, 18)
"""The first day of GDELT's 15-minute files, New York date."""

GDELT_GKG = Table(
    layer="bronze",
    name="gdelt_gkg",
    summary="GDELT GKG 2.1 records that name a company of the universe: all 27 fields as text, nothing stripped.",
    grain=("gkg_record_id",),
    columns=(
        *(Column(name=name, type="string", note=note) for name, note in _GKG_FIELDS),
        Column(
            name="slot_ts",
            type="timestamp",
            unit="UTC",
            note="Label of the 15-minute file; files appear before their label, so it is a safe known-at time",
        ),
        DAY_DATE,
        Column(name="line_number", type="long", unit="1-based", note="Line in the slot file"),
        Column(name="invalid_byte_count", type="long", unit="bytes", note="Undecodable bytes replaced by U+FFFD in this record"),
        Column(name="file_md5", type="string", note="MD5 of the zip, as the vendor lists it"),
        Column(name="is_generated", type="boolean", note="True for rows made by finlake's sample sources"),
    ),
    window="day",
    window_column="day_date",
    partitioning=Partitioning(column="day_date", transform="day"),
    sort_order=("slot_ts", "line_number"),
    freshness=Freshness(due_hours=6),
    notes=(
        "Source: the GDELT Project, https://www.gdeltproject.org/.",
        "Only rows that name a company of the universe are kept; bronze.gdelt_slots counts the rest.",
    ),
    checks=(
        Check(
            name="label_matches_record",
            predicate="gkg_record_id like concat(gkg_date, '-%')",
            why="a record of another slot would be known at the wrong time",
        ),
        Check(
            name="slot_matches_record",
            predicate="date_format(slot_ts, 'yyyyMMddHHmmss') = gkg_date",
            why="availability is judged by the slot label",
        ),
    ),
)

GDELT_SLOTS = Table(
    layer="bronze",
    name="gdelt_slots",
    summary="One row per expected 15-minute slot: loaded, empty, absent or corrupt, and where every one of its rows went.",
    grain=("slot_ts",),
    columns=(
        Column(name="slot_ts", type="timestamp", unit="UTC", note="Label of the slot"),
        DAY_DATE,
        Column(name="status", type="string", note="loaded, empty, absent or corrupt"),
        Column(name="row_count", type="long", unit="rows", note="Rows in the file"),
        Column(name="kept_count", type="long", unit="rows", note="Rows kept in bronze.gdelt_gkg"),
        Column(name="other_count", type="long", unit="rows", note="Rows that name no company of the universe"),
        Column(name="quarantined_count", type="long", unit="rows", note="Rows sent to quarantine"),
        Column(name="invalid_byte_count", type="long", unit="bytes", note="Undecodable bytes in the file"),
        Column(name="file_md5", type="string", note="MD5 of the zip; empty when there was none"),
        Column(name="zip_bytes", type="long", unit="bytes", note="Size of the zip"),
        Column(name="message", type="string", note="Why the slot is not loaded; empty when it is"),
        Column(name="universe_sha256", type="string", note="Hash of the alias sets the rows were kept by"),
    ),
    written_with="bronze.gdelt_gkg",
    window="day",
    window_column="day_date",
    partitioning=Partitioning(column="day_date", transform="month"),
    sort_order=("slot_ts",),
    checks=(
        Check(
            name="rows_accounted_for",
            predicate="row_count = kept_count + other_count + quarantined_count",
            why="nothing is dropped silently",
        ),
        Check(name="status_is_known", predicate="status in ('loaded', 'empty', 'absent', 'corrupt')", why="ledger"),
        Check(
            name="slot_present",
            predicate="status in ('loaded', 'empty')",
            severity="warn",
            why="an absent slot is a hole in the news of its session",
        ),
    ),
)

_STREAM_UNITS = {
    "lsn": "bytes of the log",
    "kafka_partition": "0-based",
    "kafka_offset": "0-based",
    "message_seq": "1-based",
    "trade_index": "0-based",
    "poll_seq": "1-based",
}


def stream_column(column: Column, source: str = "", *, nullable: bool = False) -> Column:
    """A column of the live tables as the lake holds it; `source` is the `layer.table` it comes from, if any."""
    return replace(
        column,
        unit=column.unit or _STREAM_UNITS.get(column.name, ""),
        nullable=column.nullable or nullable,
        sources=(f"{source}.{column.name}",) if source else (),
    )


CONDITIONS = Column(name="conditions", type="list<string>", note="Finnhub's condition codes; none for coins")
TRADE_VALUES = (speed.SYMBOL, speed.PRICE_USD, speed.VOLUME_SHARES, CONDITIONS, speed.TRADE_TS)
"""What a trade says, besides its key, in the order of bronze and silver."""
QUOTE_VALUES = (speed.SYMBOL, *speed.QUOTE_NUMBERS, speed.QUOTE_TS)
"""What a quote says, besides its key, in the order of bronze and silver."""
CHANGE_POSITION = tuple(column for column in speed.HOPS if column.name in ("kafka_partition", "kafka_offset"))
CHANGE_HOPS = tuple(column for column in speed.HOPS if column.name in ("lsn", "committed_ts", "captured_ts", "appended_ts"))


def _changes(name: str, what: str, key: tuple[Column, ...], values: tuple[Column, ...]) -> Table:
    """The change records of one topic: where each stands, what it says of itself, its row as text and as columns."""
    return Table(
        layer="bronze",
        name=name,
        summary=f"Every change of a {what} in Postgres, as Debezium told it to Kafka, at its topic, partition and offset.",
        grain=("kafka_topic", "kafka_partition", "kafka_offset"),
        columns=(
            Column(name="kafka_topic", type="string", note="Topic of the record"),
            *(stream_column(column) for column in CHANGE_POSITION),
            Column(name="appended_date", type="date", unit="UTC date", note="Day of appended_ts"),
            Column(name="op", type="string", note="c new row, r row read again by a snapshot, u update, d delete"),
            *(stream_column(column) for column in CHANGE_HOPS),
            Column(name="key_json", type="string", nullable=True, note="The record's key as it came: the row's primary key"),
            Column(name="before_json", type="string", nullable=True, note="The row before, as it came; null for a new row"),
            Column(name="after_json", type="string", nullable=True, note="The row after, as it came; null for a delete"),
            *(stream_column(column) for column in (speed.RECEIVED_TS, *key)),
            *(replace(stream_column(column), nullable=True, note=f"{column.note}; null for a delete") for column in values),
        ),
        window="stream_day",
        window_column="appended_date",
        partitioning=Partitioning(column="appended_date", transform="day"),
        sort_order=("kafka_partition", "kafka_offset"),
        notes=(
            "A day is a UTC day of Kafka's own time of append: within a partition that time never goes back, so that one "
            "range of offsets is one day, cut by asking Kafka for the offset at midnight. received_ts has no such order.",
            "Appended by offset range, each range once; every snapshot says how far the archive has come. Records that "
            "cannot be read or bring a row that the stream's rules refuse, and offsets that Kafka deleted before they were "
            "archived, are in silver.quarantine.",
            "Of a deleted row only the key is told.",
        ),
        checks=(
            Check(name="op_is_known", predicate="op in ('c', 'r', 'u', 'd')", why="silver has a rule for these and no other"),
            Check(name="new_rows_are_told", predicate="op = 'd' or after_json is not null", why="else there is nothing to keep"),
            Check(name="appended_on_its_date", predicate="to_date(appended_ts) = appended_date", why="ranges are cut by it"),
        ),
    )


FINNHUB_TRADES_CDC = _changes("finnhub_trades_cdc", "trade", speed.TRADE_ID, TRADE_VALUES)
FINNHUB_QUOTES_CDC = _changes("finnhub_quotes_cdc", "quote", speed.QUOTE_ID, QUOTE_VALUES)
