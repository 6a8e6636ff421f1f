-- speed.stock_realtime (table)
ALTER TABLE speed.stock_realtime${local}${on_cluster} COMMENT COLUMN `flaw` 'Why a row is kept out of everything computed: price_not_positive, volume_negative, past_time, future_time; else empty';
