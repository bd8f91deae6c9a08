-- The view of an account that is removed goes at once when nobody reads it, else later and in a transaction of its own:
-- DROP VIEW waits for readers, and the account's rows are locked meanwhile, and with them every mail to it.

CREATE TABLE oa_view_gone (
    account_id  bigint PRIMARY KEY,
    try_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX oa_view_gone_due ON oa_view_gone (try_at);

CREATE OR REPLACE FUNCTION oa_account_removed() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
DECLARE
    gone bigint;
    is_held boolean := false;   -- one wait is enough, however many go at once
BEGIN
    FOR gone IN SELECT id FROM removed LOOP
        IF NOT is_held THEN
            BEGIN
                EXECUTE format('DROP VIEW IF EXISTS oa.%I', oa_view_name(gone));
                CONTINUE;
            EXCEPTION WHEN lock_not_available THEN
                is_held := true;
            END;
        END IF;
        INSERT INTO oa_view_gone (account_id) VALUES (gone) ON CONFLICT DO NOTHING;
    END LOOP;
    RETURN NULL;
END $$;
