-- Schema ods of the database market, applied by a superuser after roles.sql. Safe to repeat.
--
-- Rows are written by multi-row INSERT, never by COPY: the rows of a COPY batch share one log sequence number, and a
-- Debezium that restarts within such a batch loses the rest of it.
--
-- Times of the partitions are UTC days. An impossible row is kept and flagged later; what some engine could not hold is
-- refused, here by constraints. The key of a partitioned table holds what it is partitioned by: that an id (the rest of the key)
-- comes once, the feed sees to, and `finlake reconcile` finds one that came twice. spark/contracts/stream_rows.py says what that is, spark/contracts/ods.py names the columns of
-- what the feed fills, and tests compare.

REVOKE ALL ON DATABASE market FROM PUBLIC;
GRANT CONNECT ON DATABASE market TO feed, cdc, reconcile;
GRANT CREATE ON DATABASE market TO ods_owner;

-- Change data capture reads every message of the log. Nobody has one to write, and a large one would stop it.
REVOKE ALL ON FUNCTION pg_logical_emit_message(boolean, text, text, boolean),
    pg_logical_emit_message(boolean, text, bytea, boolean) FROM PUBLIC;

SET ROLE ods_owner;

CREATE SCHEMA IF NOT EXISTS ods;

CREATE TABLE IF NOT EXISTS ods.finnhub_trades (
    received_ts   timestamptz NOT NULL,
    connection_id text        NOT NULL,
    message_seq   bigint      NOT NULL,
    trade_index   integer     NOT NULL,
    symbol        text        NOT NULL,
    price_usd     float8      NOT NULL,
    volume_shares float8      NOT NULL,
    trade_ts      timestamptz NOT NULL,
    conditions    text[],
    PRIMARY KEY (received_ts, connection_id, message_seq, trade_index)
) PARTITION BY RANGE (received_ts);

CREATE TABLE IF NOT EXISTS ods.finnhub_quotes (
    received_ts        timestamptz NOT NULL,
    poller_id          text        NOT NULL,
    poll_seq           bigint      NOT NULL,
    symbol             text        NOT NULL,
    price_usd          float8      NOT NULL,
    change_usd         float8,
    change_pct         float8,
    high_usd           float8      NOT NULL,
    low_usd            float8      NOT NULL,
    open_usd           float8      NOT NULL,
    previous_close_usd float8      NOT NULL,
    quote_ts           timestamptz NOT NULL,
    PRIMARY KEY (received_ts, poller_id, poll_seq)
) PARTITION BY RANGE (received_ts);

-- What the tables take. NOT VALID: rows of before a constraint stay, and adding it reads none of them.
DO $$
DECLARE
    relation text;
    wanted text;
    condition text;
BEGIN
    FOR relation, wanted, condition IN VALUES
        ('finnhub_trades', 'names_are_short', $check$char_length(connection_id) BETWEEN 1 AND 64 AND connection_id COLLATE "C" ~ '^[ -~]*$' AND char_length(symbol) BETWEEN 1 AND 64 AND symbol COLLATE "C" ~ '^[ -~]*$'$check$),
        ('finnhub_trades', 'numbers_are_sane', $check$price_usd > -10000000000000 AND price_usd < 10000000000000 AND volume_shares > -10000000000000 AND volume_shares < 10000000000000$check$),
        ('finnhub_trades', 'time_is_storable', $check$trade_ts >= '1970-01-01 00:00:00+00' AND trade_ts < '2262-01-01 00:00:00+00'$check$),
        ('finnhub_trades', 'time_is_whole_ms', $check$trade_ts = date_trunc('milliseconds', trade_ts)$check$),
        ('finnhub_trades', 'conditions_are_few', $check$cardinality(conditions) <= 32 AND coalesce(array_ndims(conditions), 1) = 1 AND coalesce(array_lower(conditions, 1), 1) = 1 AND array_position(conditions, NULL) IS NULL AND char_length(array_to_string(conditions, ',')) <= 255 AND array_to_string(conditions, ',') COLLATE "C" ~ '^[ -~]*$'$check$),
        ('finnhub_quotes', 'names_are_short', $check$char_length(poller_id) BETWEEN 1 AND 64 AND poller_id COLLATE "C" ~ '^[ -~]*$' AND char_length(symbol) BETWEEN 1 AND 64 AND symbol COLLATE "C" ~ '^[ -~]*$'$check$),
        ('finnhub_quotes', 'numbers_are_sane', $check$price_usd > -10000000000000 AND price_usd < 10000000000000 AND change_usd > -10000000000000 AND change_usd < 10000000000000 AND change_pct > -10000000000000 AND change_pct < 10000000000000 AND high_usd > -10000000000000 AND high_usd < 10000000000000 AND low_usd > -10000000000000 AND low_usd < 10000000000000 AND open_usd > -10000000000000 AND open_usd < 10000000000000 AND previous_close_usd > -10000000000000 AND previous_close_usd < 10000000000000$check$),
        ('finnhub_quotes', 'time_is_storable', $check$quote_ts >= '1970-01-01 00:00:00+00' AND quote_ts < '2262-01-01 00:00:00+00'$check$),
        ('finnhub_quotes', 'time_is_whole_ms', $check$quote_ts = date_trunc('milliseconds', quote_ts)$check$)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = format('ods.%I', relation)::regclass AND conname = wanted) THEN
            EXECUTE format('ALTER TABLE ods.%I ADD CONSTRAINT %I CHECK (%s) NOT VALID', relation, wanted, condition);
        END IF;
    END LOOP;
END
$$;

-- One row per gap, keyed by the connection that ended it; gap_start_ts is null before the very first connection.
CREATE TABLE IF NOT EXISTS ods.feed_gaps (
    connection_id text        NOT NULL PRIMARY KEY,
    gap_start_ts  timestamptz,
    gap_end_ts    timestamptz NOT NULL,
    reason        text        NOT NULL,
    symbols       text[]      NOT NULL
);

CREATE TABLE IF NOT EXISTS ods.rejected_messages (
    received_ts   timestamptz NOT NULL,
    connection_id text        NOT NULL,
    message_seq   bigint      NOT NULL,
    reason        text        NOT NULL,
    raw_text      text        NOT NULL,
    PRIMARY KEY (received_ts, connection_id, message_seq)
);

-- Rows of the stream about the stream: 1 is Debezium's own sign of life, others are markers of a reconciliation.
CREATE TABLE IF NOT EXISTS ods.cdc_heartbeat (
    id integer     NOT NULL PRIMARY KEY,
    ts timestamptz NOT NULL
);

-- That the lake holds a day: row_count rows whose identities' hashes add up to id_hash.
CREATE TABLE IF NOT EXISTS ods.archive_proofs (
    relation  text        NOT NULL,
    day       date        NOT NULL,
    row_count bigint      NOT NULL,
    id_hash   numeric     NOT NULL,
    proven_ts timestamptz NOT NULL,
    PRIMARY KEY (relation, day)
);

-- Partitions of both tables for every UTC day from from_day to to_day, both included.
CREATE OR REPLACE FUNCTION ods.ensure_partitions(from_day date, to_day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    relation text;
    day date;
    partition text;
BEGIN
    IF from_day IS NULL OR to_day IS NULL OR from_day > to_day OR to_day - from_day > 366 THEN
        RAISE EXCEPTION 'days % to % are not a range of at most a year; pass the first and the last day', from_day, to_day;
    END IF;
    FOREACH relation IN ARRAY ARRAY['finnhub_trades', 'finnhub_quotes'] LOOP
        FOR day IN SELECT from_day + step FROM generate_series(0, to_day - from_day) AS step LOOP
            partition := relation || '_p' || to_char(day, 'YYYYMMDD');
            -- Asked first, because CREATE locks the whole table against writers.
            CONTINUE WHEN to_regclass(format('ods.%I', partition)) IS NOT NULL;
            PERFORM pg_advisory_xact_lock(hashtext('ods.ensure_partitions'));
            EXECUTE format(
                'CREATE TABLE IF NOT EXISTS ods.%I PARTITION OF ods.%I FOR VALUES FROM (%L) TO (%L)',
                partition, relation,
                to_char(day, 'YYYY-MM-DD') || ' 00:00:00+00', to_char(day + 1, 'YYYY-MM-DD') || ' 00:00:00+00'
            );
        END LOOP;
    END LOOP;
END
$$;

-- Drops one day of a table that the lake was proven to hold, row for row.
CREATE OR REPLACE FUNCTION ods.drop_archived_partition(relation text, day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    partition text := relation || '_p' || to_char(day, 'YYYYMMDD');
    proven bigint;
    present bigint;
BEGIN
    IF relation IS NULL OR relation NOT IN ('finnhub_trades', 'finnhub_quotes') THEN
        RAISE EXCEPTION '% has no partitions; name finnhub_trades or finnhub_quotes', relation;
    END IF;
    IF to_regclass(format('ods.%I', partition)) IS NULL THEN
        RAISE EXCEPTION 'ods.% has no partition for %; it was dropped before, or never made', relation, day;
    END IF;
    SELECT proof.row_count INTO proven FROM ods.archive_proofs AS proof
    WHERE proof.relation = drop_archived_partition.relation AND proof.day = drop_archived_partition.day;
    IF proven IS NULL THEN
        RAISE EXCEPTION 'nothing proves that the lake holds % of ods.%; reconcile the day first', day, relation;
    END IF;
    -- No row may arrive between counting and dropping.
    EXECUTE format('LOCK TABLE ods.%I IN ACCESS EXCLUSIVE MODE', partition);
    EXECUTE format('SELECT count(*) FROM ods.%I', partition) INTO present;
    IF present <> proven THEN
        RAISE EXCEPTION '% of ods.% has % rows and the lake was proven to hold %; reconcile the day again',
            day, relation, present, proven;
    END IF;
    EXECUTE format('DROP TABLE ods.%I', partition);
END
$$;

REVOKE ALL ON FUNCTION ods.ensure_partitions(date, date), ods.drop_archived_partition(text, date) FROM PUBLIC;
GRANT USAGE ON SCHEMA ods TO feed, cdc, reconcile;

GRANT SELECT, INSERT ON ods.finnhub_trades, ods.finnhub_quotes, ods.feed_gaps, ods.rejected_messages TO feed;
GRANT EXECUTE ON FUNCTION ods.ensure_partitions(date, date) TO feed;

GRANT SELECT ON ods.finnhub_trades, ods.finnhub_quotes, ods.cdc_heartbeat TO cdc;
GRANT INSERT, UPDATE ON ods.cdc_heartbeat TO cdc;

GRANT SELECT ON ods.finnhub_trades, ods.finnhub_quotes, ods.feed_gaps, ods.rejected_messages, ods.cdc_heartbeat,
    ods.archive_proofs TO reconcile;
-- MAINTAIN, for LOCK TABLE: while a reconciliation marks the log, no row may be under way.
GRANT MAINTAIN ON ods.finnhub_trades, ods.finnhub_quotes TO reconcile;
GRANT INSERT, UPDATE ON ods.cdc_heartbeat, ods.archive_proofs TO reconcile;
GRANT EXECUTE ON FUNCTION ods.drop_archived_partition(text, date) TO reconcile;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'finlake_pub') THEN
        CREATE PUBLICATION finlake_pub FOR TABLE ods.finnhub_trades, ods.finnhub_quotes, ods.cdc_heartbeat
            WITH (publish = 'insert, update, delete', publish_via_partition_root = true);
    END IF;
END
$$;

RESET ROLE;
