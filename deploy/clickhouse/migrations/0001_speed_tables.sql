-- speed (database)
CREATE DATABASE IF NOT EXISTS speed${on_cluster};

-- serving (database)
CREATE DATABASE IF NOT EXISTS serving${on_cluster};

-- speed.stock_realtime (table)
CREATE TABLE IF NOT EXISTS speed.stock_realtime${local}${on_cluster}
(
    `symbol` LowCardinality(String) COMMENT 'Symbol as Finnhub names it, such as AAPL or BINANCE:BTCUSDT',
    `trade_ts` DateTime64(3, 'UTC') COMMENT 'When the trade happened, as Finnhub says [UTC, milliseconds]',
    `price_usd` Float64 COMMENT 'Price per share or coin, unadjusted [USD]',
    `volume_shares` Float64 COMMENT 'Traded volume; fractional for coins [shares]',
    `conditions` Array(LowCardinality(String)) COMMENT 'Finnhub\'s condition codes; empty for coins',
    `flaw` LowCardinality(String) COMMENT 'Why a row is kept out of everything computed: price_not_positive, volume_negative, future_time; else empty',
    `received_ts` DateTime64(6, 'UTC') COMMENT 'When the feed received the message or the answer [UTC]',
    `connection_id` LowCardinality(String) COMMENT 'The websocket connection the message came through',
    `message_seq` Int64 COMMENT 'Number of the message within its connection, from 1',
    `trade_index` Int32 COMMENT 'Position of the trade within its message, from 0',
    `lsn` Int64 COMMENT 'Postgres log sequence number of the change',
    `committed_ts` DateTime64(6, 'UTC') COMMENT 'When Postgres committed [UTC]',
    `captured_ts` DateTime64(6, 'UTC') COMMENT 'When Debezium saw the change [UTC]',
    `appended_ts` DateTime64(6, 'UTC') COMMENT 'Kafka\'s time of the record [UTC]',
    `consumed_ts` DateTime64(6, 'UTC') COMMENT 'When the sink had the record [UTC]',
    `kafka_partition` Int32 COMMENT 'Partition of the topic',
    `kafka_offset` Int64 COMMENT 'Offset within the partition',
    `inserted_ts` DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') COMMENT 'When ClickHouse began to insert the row\'s block [UTC]',
    INDEX received_ts_range received_ts TYPE minmax
)
ENGINE = ${MergeTree}
PARTITION BY toYYYYMMDD(appended_ts)
ORDER BY (symbol, trade_ts, kafka_partition, kafka_offset)
TTL toDateTime(inserted_ts) + toIntervalDay(30)
SETTINGS ttl_only_drop_parts = 1, ${deduplication}, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'One row per trade, with the time it passed each hop.';

-- speed.stock_realtime (distributed table)
CREATE TABLE IF NOT EXISTS speed.stock_realtime${on_cluster} AS speed.stock_realtime${local}
ENGINE = Distributed('${cluster}', 'speed', 'stock_realtime${local}', cityHash64(symbol));

-- speed.quotes_realtime (table)
CREATE TABLE IF NOT EXISTS speed.quotes_realtime${local}${on_cluster}
(
    `symbol` LowCardinality(String) COMMENT 'Symbol as Finnhub names it, such as AAPL or BINANCE:BTCUSDT',
    `quote_ts` DateTime64(3, 'UTC') COMMENT 'Time of the last trade the quote knows [UTC, seconds]',
    `price_usd` Float64 COMMENT 'Price per share or coin, unadjusted [USD]',
    `change_usd` Nullable(Float64) COMMENT 'Since the previous close [USD]',
    `change_pct` Nullable(Float64) COMMENT 'Since the previous close [percent]',
    `high_usd` Float64 COMMENT 'Highest price of the session so far [USD]',
    `low_usd` Float64 COMMENT 'Lowest price of the session so far [USD]',
    `open_usd` Float64 COMMENT 'First price of the session [USD]',
    `previous_close_usd` Float64 COMMENT 'Close of the previous session [USD]',
    `received_ts` DateTime64(6, 'UTC') COMMENT 'When the feed received the message or the answer [UTC]',
    `poller_id` LowCardinality(String) COMMENT 'The feed process that asked',
    `poll_seq` Int64 COMMENT 'Number of the answer within its process, from 1',
    `lsn` Int64 COMMENT 'Postgres log sequence number of the change',
    `committed_ts` DateTime64(6, 'UTC') COMMENT 'When Postgres committed [UTC]',
    `captured_ts` DateTime64(6, 'UTC') COMMENT 'When Debezium saw the change [UTC]',
    `appended_ts` DateTime64(6, 'UTC') COMMENT 'Kafka\'s time of the record [UTC]',
    `consumed_ts` DateTime64(6, 'UTC') COMMENT 'When the sink had the record [UTC]',
    `kafka_partition` Int32 COMMENT 'Partition of the topic',
    `kafka_offset` Int64 COMMENT 'Offset within the partition',
    `inserted_ts` DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') COMMENT 'When ClickHouse began to insert the row\'s block [UTC]',
    INDEX received_ts_range received_ts TYPE minmax
)
ENGINE = ${MergeTree}
PARTITION BY toYYYYMMDD(appended_ts)
ORDER BY (symbol, quote_ts, kafka_partition, kafka_offset)
TTL toDateTime(inserted_ts) + toIntervalDay(30)
SETTINGS ttl_only_drop_parts = 1, ${deduplication}, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'One row per polled quote, with the time it passed each hop.';

-- speed.quotes_realtime (distributed table)
CREATE TABLE IF NOT EXISTS speed.quotes_realtime${on_cluster} AS speed.quotes_realtime${local}
ENGINE = Distributed('${cluster}', 'speed', 'quotes_realtime${local}', cityHash64(symbol));

-- speed.sink_gaps (table)
CREATE TABLE IF NOT EXISTS speed.sink_gaps${local}${on_cluster}
(
    `topic` LowCardinality(String) COMMENT 'Topic',
    `kafka_partition` Int32 COMMENT 'Partition of the topic',
    `first_offset` Int64 COMMENT 'First offset that was not read',
    `last_offset` Int64 COMMENT 'Last offset that was not read',
    `reason` String COMMENT 'Why, in words',
    `noticed_ts` DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') COMMENT 'When the sink noticed'
)
ENGINE = ${MergeTree}
ORDER BY (topic, kafka_partition, first_offset)
SETTINGS ${deduplication}, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Offsets that Kafka had deleted before the sink read them.';

-- speed.sink_gaps (distributed table)
CREATE TABLE IF NOT EXISTS speed.sink_gaps${on_cluster} AS speed.sink_gaps${local}
ENGINE = Distributed('${cluster}', 'speed', 'sink_gaps${local}', cityHash64(topic));

-- speed.candles_1m_state (table)
CREATE TABLE IF NOT EXISTS speed.candles_1m_state${local}${on_cluster}
(
    `symbol` LowCardinality(String) COMMENT 'Symbol as Finnhub names it, such as AAPL or BINANCE:BTCUSDT',
    `minute_ts` DateTime64(6, 'UTC') COMMENT 'Start of the window of 60 s [UTC]',
    `open_state` AggregateFunction(argMin, Float64, Tuple(DateTime64(3, 'UTC'), Int32, Int64)),
    `highest_state` SimpleAggregateFunction(max, Float64),
    `lowest_state` SimpleAggregateFunction(min, Float64),
    `close_state` AggregateFunction(argMax, Float64, Tuple(DateTime64(3, 'UTC'), Int32, Int64)),
    `volume_units_state` SimpleAggregateFunction(sum, Int128),
    `trade_count_state` SimpleAggregateFunction(sum, Int64),
    `last_inserted_ts` SimpleAggregateFunction(max, DateTime('UTC'))
)
ENGINE = ${AggregatingMergeTree}
ORDER BY (symbol, minute_ts)
TTL last_inserted_ts + toIntervalDay(400)
SETTINGS index_granularity = 256, ${deduplication}, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What candles_1m is merged from.';

-- speed.candles_1m_state (distributed table)
CREATE TABLE IF NOT EXISTS speed.candles_1m_state${on_cluster} AS speed.candles_1m_state${local}
ENGINE = Distributed('${cluster}', 'speed', 'candles_1m_state${local}', cityHash64(symbol));

-- speed.candles_1m_mv (materialized view)
CREATE MATERIALIZED VIEW IF NOT EXISTS speed.candles_1m_mv${on_cluster} TO speed.candles_1m_state${local} AS
SELECT
    symbol,
    fromUnixTimestamp64Micro((toUnixTimestamp64Milli(trade_ts) - positiveModulo(toUnixTimestamp64Milli(trade_ts), 60000)) * 1000, 'UTC') AS minute_ts,
    argMinState(price_usd, (trade_ts, kafka_partition, kafka_offset)) AS open_state,
    max(price_usd) AS highest_state,
    min(price_usd) AS lowest_state,
    argMaxState(price_usd, (trade_ts, kafka_partition, kafka_offset)) AS close_state,
    sum(toInt128(toInt64(trunc(roundBankers((volume_shares) * 100000000) / 9007199254740992))) * 9007199254740992 + toInt64(roundBankers((volume_shares) * 100000000) - trunc(roundBankers((volume_shares) * 100000000) / 9007199254740992) * 9007199254740992)) AS volume_units_state,
    toInt64(count()) AS trade_count_state,
    max(toDateTime(inserted_ts, 'UTC')) AS last_inserted_ts
FROM speed.stock_realtime${local}
WHERE flaw = ''
GROUP BY symbol, minute_ts;

-- speed.candles_1m (view)
CREATE VIEW IF NOT EXISTS speed.candles_1m${on_cluster}
(
    `symbol` LowCardinality(String) COMMENT 'Symbol as Finnhub names it, such as AAPL or BINANCE:BTCUSDT',
    `minute_ts` DateTime64(6, 'UTC') COMMENT 'Start of the minute [UTC]',
    `open_usd` Float64 COMMENT 'First price [USD]',
    `high_usd` Float64 COMMENT 'Highest price [USD]',
    `low_usd` Float64 COMMENT 'Lowest price [USD]',
    `close_usd` Float64 COMMENT 'Last price [USD]',
    `volume_shares` Float64 COMMENT 'Sum of volumes [shares]',
    `trade_count` Int64 COMMENT 'Number of trades [trades]'
)
AS
SELECT
    symbol,
    minute_ts,
    argMinMerge(open_state) AS open_usd,
    max(highest_state) AS high_usd,
    min(lowest_state) AS low_usd,
    argMaxMerge(close_state) AS close_usd,
    toFloat64(toString(sum(volume_units_state))) / 100000000 AS volume_shares,
    sum(trade_count_state) AS trade_count
FROM speed.candles_1m_state
GROUP BY symbol, minute_ts
COMMENT 'One-minute candles of trades without a flaw; a late trade corrects the candle it belongs to.';

-- speed.windows_15s_state (table)
CREATE TABLE IF NOT EXISTS speed.windows_15s_state${local}${on_cluster}
(
    `symbol` LowCardinality(String) COMMENT 'Symbol as Finnhub names it, such as AAPL or BINANCE:BTCUSDT',
    `start_30s_ts` DateTime64(6, 'UTC') COMMENT 'Start of the window of 30 s [UTC]',
    `start_15s_ts` DateTime64(6, 'UTC') COMMENT 'Start of the window of 15 s [UTC]',
    `price_units_state` SimpleAggregateFunction(sum, Int128),
    `squared_units_state` SimpleAggregateFunction(sum, Int256),
    `price_volume_units_state` SimpleAggregateFunction(sum, Int128),
    `highest_state` SimpleAggregateFunction(max, Float64),
    `lowest_state` SimpleAggregateFunction(min, Float64),
    `volume_units_state` SimpleAggregateFunction(sum, Int128),
    `trade_count_state` SimpleAggregateFunction(sum, Int64),
    `last_inserted_ts` SimpleAggregateFunction(max, DateTime('UTC'))
)
ENGINE = ${AggregatingMergeTree}
ORDER BY (symbol, start_30s_ts, start_15s_ts)
TTL last_inserted_ts + toIntervalDay(30)
SETTINGS index_granularity = 256, ${deduplication}, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What windows_30s and price_volume_15s are merged from.';

-- speed.windows_15s_state (distributed table)
CREATE TABLE IF NOT EXISTS speed.windows_15s_state${on_cluster} AS speed.windows_15s_state${local}
ENGINE = Distributed('${cluster}', 'speed', 'windows_15s_state${local}', cityHash64(symbol));

-- speed.windows_15s_mv (materialized view)
CREATE MATERIALIZED VIEW IF NOT EXISTS speed.windows_15s_mv${on_cluster} TO speed.windows_15s_state${local} AS
SELECT
    symbol,
    fromUnixTimestamp64Micro((toUnixTimestamp64Milli(trade_ts) - positiveModulo(toUnixTimestamp64Milli(trade_ts), 30000)) * 1000, 'UTC') AS start_30s_ts,
    fromUnixTimestamp64Micro((toUnixTimestamp64Milli(trade_ts) - positiveModulo(toUnixTimestamp64Milli(trade_ts), 15000)) * 1000, 'UTC') AS start_15s_ts,
    sum(toInt128(toInt64(trunc(roundBankers((price_usd) * 100000000) / 9007199254740992))) * 9007199254740992 + toInt64(roundBankers((price_usd) * 100000000) - trunc(roundBankers((price_usd) * 100000000) / 9007199254740992) * 9007199254740992)) AS price_units_state,
    sum(toInt256(toInt128(toInt64(trunc(roundBankers((price_usd) * 100000000) / 9007199254740992))) * 9007199254740992 + toInt64(roundBankers((price_usd) * 100000000) - trunc(roundBankers((price_usd) * 100000000) / 9007199254740992) * 9007199254740992)) * toInt256(toInt128(toInt64(trunc(roundBankers((price_usd) * 100000000) / 9007199254740992))) * 9007199254740992 + toInt64(roundBankers((price_usd) * 100000000) - trunc(roundBankers((price_usd) * 100000000) / 9007199254740992) * 9007199254740992))) AS squared_units_state,
    sum(toInt128(toInt64(trunc(roundBankers((price_usd * volume_shares) * 100000000) / 9007199254740992))) * 9007199254740992 + toInt64(roundBankers((price_usd * volume_shares) * 100000000) - trunc(roundBankers((price_usd * volume_shares) * 100000000) / 9007199254740992) * 9007199254740992)) AS price_volume_units_state,
    max(price_usd) AS highest_state,
    min(price_usd) AS lowest_state,
    sum(toInt128(toInt64(trunc(roundBankers((volume_shares) * 100000000) / 9007199254740992))) * 9007199254740992 + toInt64(roundBankers((volume_shares) * 100000000) - trunc(roundBankers((volume_shares) * 100000000) / 9007199254740992) * 9007199254740992)) AS volume_units_state,
    toInt64(count()) AS trade_count_state,
    max(toDateTime(inserted_ts, 'UTC')) AS last_inserted_ts
FROM speed.stock_realtime${local}
WHERE flaw = ''
GROUP BY symbol, start_30s_ts, start_15s_ts;

-- speed.windows_30s (view)
CREATE VIEW IF NOT EXISTS speed.windows_30s${on_cluster}
(
    `symbol` LowCardinality(String) COMMENT 'Symbol as Finnhub names it, such as AAPL or BINANCE:BTCUSDT',
    `window_start_ts` DateTime64(6, 'UTC') COMMENT 'Start of the window, a multiple of 30 s [UTC]',
    `window_end_ts` DateTime64(6, 'UTC') COMMENT 'End of the window, not part of it [UTC]',
    `avg_price_usd` Float64 COMMENT 'Mean price [USD]',
    `min_price_usd` Float64 COMMENT 'Lowest price [USD]',
    `max_price_usd` Float64 COMMENT 'Highest price [USD]',
    `volume_shares` Float64 COMMENT 'Sum of volumes [shares]',
    `trade_count` Int64 COMMENT 'Number of trades [trades]',
    `price_sd_usd` Nullable(Float64) COMMENT 'Sample standard deviation of the price; null for a single trade [USD]'
)
AS
SELECT
    symbol,
    window_start_ts,
    window_start_ts + toIntervalSecond(30) AS window_end_ts,
    toFloat64(toString(price_units)) / trade_count / 100000000 AS avg_price_usd,
    lowest AS min_price_usd,
    highest AS max_price_usd,
    toFloat64(toString(volume_units)) / 100000000 AS volume_shares,
    trade_count,
    if(trade_count < 2, NULL, sqrt(
        toFloat64(toString(toInt256(trade_count) * squared_units - toInt256(price_units) * toInt256(price_units)))
        / (trade_count * (trade_count - 1))
    ) / 100000000) AS price_sd_usd
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
    FROM speed.windows_15s_state
    GROUP BY symbol, start_30s_ts
)
COMMENT '30-second windows of trades without a flaw.';

-- speed.price_volume_15s (view)
CREATE VIEW IF NOT EXISTS speed.price_volume_15s${on_cluster}
(
    `symbol` LowCardinality(String) COMMENT 'Symbol as Finnhub names it, such as AAPL or BINANCE:BTCUSDT',
    `window_start_ts` DateTime64(6, 'UTC') COMMENT 'Start of the window, a multiple of 15 s [UTC]',
    `price_volume_avg_usd` Float64 COMMENT 'Mean of price * volume of the window\'s trades [USD]',
    `running_price_volume_avg_usd` Float64 COMMENT 'The same mean over the symbol\'s windows up to and with this one [USD]',
    `trade_count` Int64 COMMENT 'Number of trades in the window [trades]'
)
AS
SELECT
    symbol,
    window_start_ts,
    toFloat64(toString(units)) / trade_count / 100000000 AS price_volume_avg_usd,
    toFloat64(toString(sum(units) OVER so_far)) / sum(trade_count) OVER so_far / 100000000 AS running_price_volume_avg_usd,
    trade_count
FROM
(
    SELECT
        symbol,
        start_15s_ts AS window_start_ts,
        sum(price_volume_units_state) AS units,
        sum(trade_count_state) AS trade_count
    FROM speed.windows_15s_state
    GROUP BY symbol, start_15s_ts
)
WINDOW so_far AS (PARTITION BY symbol ORDER BY window_start_ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
COMMENT 'Mean of price times volume in true 15-second windows, beside the mean of all trades up to the window\'s end.';

-- speed.anomalies (view)
CREATE VIEW IF NOT EXISTS speed.anomalies${on_cluster}
(
    `symbol` LowCardinality(String) COMMENT 'Symbol as Finnhub names it, such as AAPL or BINANCE:BTCUSDT',
    `window_start_ts` DateTime64(6, 'UTC') COMMENT 'Start of the 30-second window [UTC]',
    `anomaly_types` Array(LowCardinality(String)) COMMENT 'PRICE_SPIKE_UP, PRICE_SPIKE_DOWN, VOLUME_SPIKE, HIGH_VOLATILITY, PRICE_GAP, in this order',
    `severity` Int32 COMMENT 'Number of types [0 to 4]',
    `price_change_pct` Nullable(Float64) COMMENT 'Mean price against the baseline\'s; null without a window before [percent]',
    `volume_ratio` Nullable(Float64) COMMENT 'Volume against the baseline\'s [1]',
    `price_sd_usd` Nullable(Float64) COMMENT 'Standard deviation in the window [USD]',
    `price_range_pct` Float64 COMMENT 'Highest less lowest price, of the mean price [percent]'
)
AS
SELECT
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
    price_range_pct
FROM
(
    SELECT
        symbol,
        window_start_ts,
        price_sd_usd,
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
            avg(avg_price_usd) OVER before AS baseline_price_usd,
            avg(volume_shares) OVER before AS baseline_volume_shares,
            count() OVER before AS known_windows
        FROM speed.windows_30s
        WINDOW before AS (
            PARTITION BY symbol ORDER BY window_start_ts ROWS BETWEEN 5 PRECEDING AND 1 PRECEDING
        )
    )
)
WHERE severity > 0
COMMENT '30-second windows that differ from the mean of the symbol\'s five windows before them.';
