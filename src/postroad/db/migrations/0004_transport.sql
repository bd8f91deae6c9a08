-- Mail on its way out: an envelope and its recipients. `next_attempt_at` is schedule and lease in one: claiming
-- moves it past the lease, so a worker that dies leaves rows that simply come due again.

CREATE TABLE queue_envelope (
    id              bigint PRIMARY KEY,                       -- of message_id_seq: a mail's first envelope has its id
    message_id      bigint NOT NULL,
    envelope_from   text NOT NULL,                            -- '' is the null sender
    account_id      bigint,                                   -- who submitted it
    return_content  text CHECK (return_content IN ('FULL', 'HDRS')),   -- RFC 3461 RET
    envelope_id     text,                                     -- RFC 3461 ENVID
    is_smtputf8     boolean NOT NULL DEFAULT false,           -- as declared in MAIL
    owns_message    boolean NOT NULL,                         -- no folder and no other envelope has this mail
    size_bytes      bigint NOT NULL,
    recipient_count integer NOT NULL,                         -- as queued
    headers         bytea NOT NULL DEFAULT '',                -- in front of trace and content: DKIM, Delivered-To
    queued_at       timestamptz NOT NULL
);
CREATE INDEX queue_envelope_message ON queue_envelope (message_id);

CREATE TABLE queue_recipient (
    envelope_id      bigint NOT NULL,
    number           integer NOT NULL,                        -- within the envelope, from 0
    recipient        text NOT NULL,
    route            text NOT NULL,                           -- destination domain, or 'relay:host:port'
    notify           smallint,                                -- RFC 3461 NOTIFY: 1 never, 2 success, 4 failure, 8 delay
    original_recipient text,                                  -- RFC 3461 ORCPT: 'rfc822;address', address decoded
    attempts         integer NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz NOT NULL,
    lease_owner      integer,                                 -- queue_worker.owner while an attempt is under way
    is_held          boolean NOT NULL DEFAULT false,
    delay_notified   boolean NOT NULL DEFAULT false,
    last_attempt_at  timestamptz,
    last_code        integer,
    last_status      text,
    last_text        text,
    last_remote      text,
    PRIMARY KEY (envelope_id, number)
) WITH (fillfactor = 70);
-- Is anything due, and what has been due longest.
CREATE INDEX queue_recipient_due ON queue_recipient (next_attempt_at) WHERE NOT is_held;
-- Which routes have something due, by jumping from route to route; and the oldest of one route.
CREATE INDEX queue_recipient_route ON queue_recipient (route, next_attempt_at) WHERE NOT is_held;

-- Rows come and go within seconds: dead ones must not pile up in front of the indexes.
ALTER TABLE queue_recipient SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
ALTER TABLE queue_envelope SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

-- Who leases. A living worker holds the advisory lock (1349676916, owner); one whose lock is free is dead,
-- and its leases end at once instead of running out.
CREATE TABLE queue_worker (
    owner       integer PRIMARY KEY,
    started_at  timestamptz NOT NULL DEFAULT now(),
    missed_at   timestamptz                                   -- first seen without its lock
);
