-- Signing on from other systems' pages: the MD5 of a password instead of it, and tickets that are good once.

-- Argon2id of the password's MD5 in lower-case hex; NULL until the password is next set or given. It is as slow to
-- guess at as password_hash is.
ALTER TABLE credential ADD COLUMN md5_hash text;

-- Tickets that were used, until they would have run out by themselves.
CREATE TABLE sign_on_ticket (
    integration  text NOT NULL,
    ticket_id    text NOT NULL,                               -- the ticket's `jti`
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (integration, ticket_id)
);
CREATE INDEX sign_on_ticket_expiry ON sign_on_ticket (expires_at);
