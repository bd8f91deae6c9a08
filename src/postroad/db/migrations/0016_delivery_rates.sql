-- What may still be sent to sites whose rate is limited, counted by all workers of all servers together: a bucket of tokens
-- each, filled by the time that has passed on the database's clock (transport/delivery/rates.py). Rows are small and
-- rewritten often, so pages keep room for new versions; no index besides the key, or the updates would not be HOT.

CREATE TABLE delivery_rate (
    bucket      text PRIMARY KEY,
    tokens      double precision NOT NULL,      -- as of filled_at
    filled_at   timestamptz NOT NULL,
    depth       double precision NOT NULL,      -- never more tokens than this
    per_second  double precision NOT NULL,      -- how fast it fills
    granted     integer NOT NULL                -- by the last statement; negative: given back
) WITH (fillfactor = 50);
ALTER TABLE delivery_rate SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
