-- Who calls the JSON API: integrations (programs with a name and a secret of their own) and tokens of any principal.

CREATE TABLE integration (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scopes      text[] NOT NULL,                              -- what its tokens may be for at most
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER integration_principal_removed AFTER DELETE ON integration REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION principal_removed('integration');

CREATE TABLE api_token (
    id                       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_hash               bytea NOT NULL UNIQUE,
    kind                     text NOT NULL,
    principal_id             bigint NOT NULL,
    -- What it was got with: a password (void with its next version), an application password (goes with it), or an
    -- operator's hand (both NULL).
    credential_version       integer,
    application_password_id  bigint REFERENCES application_password ON DELETE CASCADE,
    label                    text NOT NULL DEFAULT '',
    scopes                   text[] NOT NULL,
    created_at               timestamptz NOT NULL DEFAULT now(),
    last_used_at             timestamptz,
    expires_at               timestamptz,                     -- NULL: until it is removed
    FOREIGN KEY (kind, principal_id) REFERENCES credential ON DELETE CASCADE
);
CREATE INDEX api_token_principal ON api_token (principal_id, kind);
CREATE INDEX api_token_application_password ON api_token (application_password_id)
    WHERE application_password_id IS NOT NULL;
CREATE INDEX api_token_expires ON api_token (expires_at) WHERE expires_at IS NOT NULL;

-- How many calls somebody has made in this minute. Unlogged: a crash forgives a minute, and counting costs no flush.
CREATE UNLOGGED TABLE api_call_count (
    kind          text NOT NULL,
    principal_id  bigint NOT NULL,
    account_id    bigint NOT NULL,                            -- acted for; 0: for nobody else
    minute        timestamptz NOT NULL,
    calls         integer NOT NULL,
    PRIMARY KEY (kind, principal_id, account_id)
) WITH (fillfactor = 50);

-- What a call with an idempotency key was answered. No answer yet: somebody is at it, or was when its process died.
CREATE TABLE api_answer (
    kind          text NOT NULL,
    principal_id  bigint NOT NULL,
    account_id    bigint NOT NULL,
    key_hash      bytea NOT NULL,
    request_hash  bytea NOT NULL,
    held_until    timestamptz NOT NULL,                       -- until then whoever began is believed to be at it
    status        smallint,
    location      text,
    body          bytea,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, principal_id, account_id, key_hash)
);
CREATE INDEX api_answer_created ON api_answer (created_at);
