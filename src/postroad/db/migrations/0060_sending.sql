-- The sending engine: who has a chunk of the ledger, what a task may and when, when the engine last looked.

-- A claim writes the chunk alone: the recipients in hand are those of an owned chunk that wait and were due when it was
-- claimed. A write a recipient less, and the same knowledge after a crash. claimed_at is which claim it was: whoever
-- settles or gives back names it, so that an old one cannot end a new one.
DROP INDEX ledger_chunk_owned;
ALTER TABLE ledger_chunk DROP COLUMN lease_until;
ALTER TABLE ledger_chunk ADD COLUMN claimed_at timestamptz;
CREATE INDEX ledger_chunk_owned ON ledger_chunk (owner) WHERE owner IS NOT NULL;

-- Times of day in the platform's zone between which mails of the task begin; a night may lie between them. NULL: always.
ALTER TABLE task ADD COLUMN hours_from time, ADD COLUMN hours_until time,
    ADD CHECK ((hours_from IS NULL) = (hours_until IS NULL));
-- Mails a minute, over all workers; NULL: as receivers allow. A customer's is for all of its tasks together.
ALTER TABLE task ADD COLUMN mails_per_minute integer CHECK (mails_per_minute > 0);
ALTER TABLE customer ADD COLUMN mails_per_minute integer CHECK (mails_per_minute > 0);

-- When some worker last looked after the tasks. If that is long ago (the server was down, or this is a restored backup),
-- what fell due meanwhile is paused and asked about.
CREATE TABLE campaign_watch (
    is_only  boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    seen_at  timestamptz NOT NULL
) WITH (fillfactor = 10);
INSERT INTO campaign_watch (seen_at) VALUES ('-infinity');

-- Who is never written to twice is settled in one update of a row that grew by its server's answer: half of each page is
-- left free, so that the new row finds room in it and no index changes.
CREATE OR REPLACE FUNCTION ledger_shelf(run_id bigint, count bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    shelf bigint := CASE WHEN count >= 100000 THEN run_id
                         ELSE floor(extract(epoch FROM now()) / 604800) END;
    name text := 'recipient_' || shelf;
BEGIN
    IF to_regclass(name) IS NOT NULL THEN RETURN shelf; END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('postroad ledger shelf', 0));
    -- to_regclass would answer from a cache that the lock does not refresh.
    IF EXISTS (SELECT FROM pg_class c WHERE c.relname = name AND c.relispartition) THEN RETURN shelf; END IF;
    EXECUTE format('CREATE TABLE %I (LIKE recipient INCLUDING DEFAULTS INCLUDING CONSTRAINTS, CHECK (shelf = %s)) '
                   'WITH (fillfactor = 45, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.1)',
                   name, shelf);
    EXECUTE format('ALTER TABLE recipient ATTACH PARTITION %I FOR VALUES IN (%s)', name, shelf);
    RETURN shelf;
END $$;
