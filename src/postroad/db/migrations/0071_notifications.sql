-- Who is told of new mail, what waits to be told, and what came of it (interface page jdmail-api.md, sections 2 and 4).

-- Of all mail, or that of a domain or of an account.
CREATE TABLE receiver (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind             text NOT NULL CHECK (kind IN ('webhook', 'files')),
    domain_id        bigint REFERENCES domain ON DELETE CASCADE,
    account_id       bigint REFERENCES account ON DELETE CASCADE,
    target           text NOT NULL,                           -- a URL, or a directory
    form             text NOT NULL DEFAULT 'json' CHECK (form IN ('json', 'xml')),
    with_raw         boolean NOT NULL DEFAULT false,          -- the mail itself beside the file
    secret           text,                                    -- of a webhook's signatures
    previous_secret  text,                                    -- signs too, until then
    previous_until   timestamptz,
    is_paused        boolean NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL DEFAULT now(),
    CHECK (domain_id IS NULL OR account_id IS NULL)
);
CREATE INDEX receiver_domain ON receiver (domain_id) WHERE domain_id IS NOT NULL;
CREATE INDEX receiver_account ON receiver (account_id) WHERE account_id IS NOT NULL;

-- What one receiver is told of one account goes in order, so it is claimed as one line. A line stays when nothing
-- waits in it: whether it may be put to rest is told by its version, which grows with everything that is added.
CREATE TABLE notification_line (
    receiver_id  bigint NOT NULL REFERENCES receiver ON DELETE CASCADE,
    account_id   bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    version      bigint NOT NULL DEFAULT 0,
    due_at       timestamptz,                                 -- NULL: nothing waits; while it is claimed, when the claim ends
    claim        bigint NOT NULL DEFAULT 0,
    failures     integer NOT NULL DEFAULT 0,                  -- in a row
    last_error   text,
    PRIMARY KEY (receiver_id, account_id)
) WITH (fillfactor = 70);
CREATE INDEX notification_line_due ON notification_line (receiver_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX notification_line_account ON notification_line (account_id);

CREATE TABLE notification (
    receiver_id  bigint NOT NULL,
    account_id   bigint NOT NULL,
    event_id     bigint NOT NULL,
    message_id   bigint NOT NULL,                             -- its text and files are read when it is told, if it is still there
    facts        jsonb NOT NULL,
    envelope     bytea NOT NULL DEFAULT '',
    arrived_at   timestamptz NOT NULL,
    PRIMARY KEY (receiver_id, account_id, event_id),
    FOREIGN KEY (receiver_id, account_id) REFERENCES notification_line ON DELETE CASCADE
);

-- Without a key to its receiver: whoever settles a line would lock the receiver after it, and whoever removes a
-- receiver locks the lines after that.
CREATE TABLE notification_attempt (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    receiver_id  bigint NOT NULL,
    account_id   bigint NOT NULL,
    event_id     bigint NOT NULL,
    happened_at  timestamptz NOT NULL DEFAULT now(),
    outcome      text NOT NULL CHECK (outcome IN ('delivered', 'failed', 'given up')),
    detail       text NOT NULL DEFAULT ''
);
CREATE INDEX notification_attempt_receiver ON notification_attempt (receiver_id, id);
CREATE INDEX notification_attempt_happened ON notification_attempt (happened_at);
