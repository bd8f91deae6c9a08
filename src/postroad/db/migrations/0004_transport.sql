-- Mail on its way out: an envelope and its recipients. `next_attempt_at` is schedule and lease in one: claiming
-- moves it past the lease, so a worker that dies leaves rows that simply come due again.

CREATE SEQUENCE queue_id_seq INCREMENT BY 1000;               -- ids in blocks, as for messages

CREATE TABLE queue_envelope (
    id             bigint PRIMARY KEY,
    message_id     bigint NOT NULL,
    envelope_from  text NOT NULL,                             -- '' is the null sender
    account_id     bigint,                                    -- who submitted it
    return_content text CHECK (return_content IN ('FULL', 'HDRS')),   -- RFC 3461 RET
    envelope_id    text,                                      -- RFC 3461 ENVID
    needs_smtputf8 boolean NOT NULL DEFAULT false,
    is_8bit        boolean NOT NULL DEFAULT false,
    headers        bytea NOT NULL DEFAULT '',                 -- in front of trace and content: DKIM, List-…
    language       text,                                      -- of notices to the sender
    queued_at      timestamptz NOT NULL
);
CREATE INDEX queue_envelope_message ON queue_envelope (message_id);

CREATE TABLE queue_recipient (
    id               bigint PRIMARY KEY,
    envelope_id      bigint NOT NULL,
    recipient        text NOT NULL,
    route            text NOT NULL,                           -- destination domain, or 'relay:host:port'
    notify           text,                                    -- RFC 3461 NOTIFY
    original_recipient text,                                  -- RFC 3461 ORCPT
    attempts         integer NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz NOT NULL,
    lease_owner      text,
    is_held          boolean NOT NULL DEFAULT false,
    delay_notified   boolean NOT NULL DEFAULT false,
    last_attempt_at  timestamptz,
    last_code        integer,
    last_status      text,
    last_text        text,
    last_remote      text
) WITH (fillfactor = 70);
CREATE INDEX queue_recipient_due ON queue_recipient (next_attempt_at) WHERE NOT is_held;
CREATE INDEX queue_recipient_route ON queue_recipient (route, next_attempt_at) WHERE NOT is_held;
CREATE INDEX queue_recipient_envelope ON queue_recipient (envelope_id);
