-- speed.candles_1m (view)
CREATE OR REPLACE VIEW speed.candles_1m${on_cluster}
(
    `symbol` LowCardinality(String) COMMENT 'Symbol as Finnhub names it, such as AAPL or BINANCE:BTCUSDT',
    `minute_ts` DateTime64(6, 'UTC') COMMENT 'Start of the minute [UTC]',
    `open_usd` Float64 COMMENT 'First price [USD]',
    `high_usd` Float64 COMMENT 'Highest price [USD]',
    `low_usd` Float64 COMMENT 'Lowest price [USD]',
    `close_usd` Float64 COMMENT 'Last price [USD]',
    `volume_shares` Float64 COMMENT 'Sum of volumes [shares]',
    `trade_count` Int64 COMMENT 'Number of trades [trades]',
    `is_final` Bool COMMENT 'False while the window is not over: its numbers still change'
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
    sum(trade_count_state) AS trade_count,
    minute_ts + toIntervalSecond(120) <= (
        SELECT greatest(max(received_ts), (SELECT max(appended_ts) - toIntervalDay(1) FROM speed.stock_realtime))
        FROM speed.stock_realtime
        WHERE received_ts > (SELECT max(appended_ts) - toIntervalHour(1) FROM speed.stock_realtime)
    ) AS is_final
FROM speed.candles_1m_state
GROUP BY symbol, minute_ts
COMMENT 'One-minute candles of trades without a flaw; a late trade corrects the candle it belongs to.';

-- speed.windows_30s (view)
CREATE OR REPLACE VIEW speed.windows_30s${on_cluster}
(
    `symbol` LowCardinality(String) COMMENT 'Symbol as Finnhub names it, such as AAPL or BINANCE:BTCUSDT',
    `window_start_ts` DateTime64(6, 'UTC') COMMENT 'Start of the window, a multiple of 30 s [UTC]',
    `window_end_ts` DateTime64(6, 'UTC') COMMENT 'End of the window, not part of it [UTC]',
    `avg_price_usd` Float64 COMMENT 'Mean price [USD]',
    `min_price_usd` Float64 COMMENT 'Lowest price [USD]',
    `max_price_usd` Float64 COMMENT 'Highest price [USD]',
    `volume_shares` Float64 COMMENT 'Sum of volumes [shares]',
    `trade_count` Int64 COMMENT 'Number of trades [trades]',
    `price_sd_usd` Nullable(Float64) COMMENT 'Sample standard deviation of the price; null for a single trade [USD]',
    `is_final` Bool COMMENT 'False while the window is not over: its numbers still change'
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
    ) / 100000000) AS price_sd_usd,
    window_start_ts + toIntervalSecond(90) <= (
        SELECT greatest(max(received_ts), (SELECT max(appended_ts) - toIntervalDay(1) FROM speed.stock_realtime))
        FROM speed.stock_realtime
        WHERE received_ts > (SELECT max(appended_ts) - toIntervalHour(1) FROM speed.stock_realtime)
    ) AS is_final
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
CREATE OR REPLACE VIEW speed.price_volume_15s${on_cluster}
(
    `symbol` LowCardinality(String) COMMENT 'Symbol as Finnhub names it, such as AAPL or BINANCE:BTCUSDT',
    `window_start_ts` DateTime64(6, 'UTC') COMMENT 'Start of the window, a multiple of 15 s [UTC]',
    `price_volume_avg_usd` Float64 COMMENT 'Mean of price * volume of the window\'s trades [USD]',
    `running_price_volume_avg_usd` Float64 COMMENT 'The same mean over the symbol\'s windows up to and with this one [USD]',
    `trade_count` Int64 COMMENT 'Number of trades in the window [trades]',
    `is_final` Bool COMMENT 'False while the window is not over: its numbers still change'
)
AS
SELECT
    symbol,
    window_start_ts,
    toFloat64(toString(units)) / trade_count / 100000000 AS price_volume_avg_usd,
    toFloat64(toString(sum(units) OVER so_far)) / sum(trade_count) OVER so_far / 100000000 AS running_price_volume_avg_usd,
    trade_count,
    window_start_ts + toIntervalSecond(75) <= (
        SELECT greatest(max(received_ts), (SELECT max(appended_ts) - toIntervalDay(1) FROM speed.stock_realtime))
        FROM speed.stock_realtime
        WHERE received_ts > (SELECT max(appended_ts) - toIntervalHour(1) FROM speed.stock_realtime)
    ) AS is_final
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
CREATE OR REPLACE VIEW speed.anomalies${on_cluster}
(
    `symbol` LowCardinality(String) COMMENT 'Symbol as Finnhub names it, such as AAPL or BINANCE:BTCUSDT',
    `window_start_ts` DateTime64(6, 'UTC') COMMENT 'Start of the 30-second window [UTC]',
    `anomaly_types` Array(LowCardinality(String)) COMMENT 'PRICE_SPIKE_UP, PRICE_SPIKE_DOWN, VOLUME_SPIKE, HIGH_VOLATILITY, PRICE_GAP, in this order',
    `severity` Int32 COMMENT 'Number of types [0 to 4]',
    `price_change_pct` Nullable(Float64) COMMENT 'Mean price against the baseline\'s; null without a window before [percent]',
    `volume_ratio` Nullable(Float64) COMMENT 'Volume against the baseline\'s [1]',
    `price_sd_usd` Nullable(Float64) COMMENT 'Standard deviation in the window [USD]',
    `price_range_pct` Float64 COMMENT 'Highest less lowest price, of the mean price [percent]',
    `is_final` Bool COMMENT 'False while the window is not over: its numbers still change'
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
        FROM speed.windows_30s
        WINDOW before AS (
            PARTITION BY symbol ORDER BY window_start_ts ROWS BETWEEN 5 PRECEDING AND 1 PRECEDING
        )
    )
)
WHERE severity > 0
COMMENT '30-second windows that differ from the mean of the symbol\'s five windows before them.';
