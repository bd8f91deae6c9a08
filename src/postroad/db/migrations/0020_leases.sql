-- Leases last as long as their worker lives; no clock ends one. `next_attempt_at` is only when a recipient is due.
-- New rows are due by the database's time, which is also that of everything else here.

ALTER TABLE queue_envelope ALTER COLUMN queued_at SET DEFAULT now();
ALTER TABLE queue_recipient ALTER COLUMN next_attempt_at SET DEFAULT now();

-- What is leased is out of both: a mail that is delivered at once never enters them.
DROP INDEX queue_recipient_due;
DROP INDEX queue_recipient_route;
CREATE INDEX queue_recipient_due ON queue_recipient (next_attempt_at) WHERE NOT is_held AND lease_owner IS NULL;
CREATE INDEX queue_recipient_route ON queue_recipient (route, next_attempt_at)
    WHERE NOT is_held AND lease_owner IS NULL;
-- Whose leases have to end.
CREATE INDEX queue_recipient_leased ON queue_recipient (lease_owner) WHERE lease_owner IS NOT NULL;

-- `seen_at` is the last sign of life. An operator who holds or drops mail raises `recalled`; a worker that begins
-- none of it any more sets `answered` to the same.
ALTER TABLE queue_worker
    ADD COLUMN seen_at  timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN recalled bigint NOT NULL DEFAULT 0,
    ADD COLUMN answered bigint NOT NULL DEFAULT 0;
