-- Whoever signs in is a principal: a kind and an id within it (directory/principals.py). What is known of all
-- kinds alike hangs on the credential; what only one kind has stands in a table of its own.

ALTER TABLE credential DROP CONSTRAINT credential_account_id_fkey;
ALTER TABLE credential DROP CONSTRAINT credential_pkey;
ALTER TABLE credential RENAME COLUMN account_id TO principal_id;
ALTER TABLE credential
    ADD COLUMN kind text NOT NULL DEFAULT 'account',
    ADD COLUMN name text,                                     -- what one signs in with; NULL: an account, by its address
    ADD COLUMN is_disabled boolean NOT NULL DEFAULT false,    -- accounts have their own
    ADD PRIMARY KEY (kind, principal_id),
    ADD CHECK ((kind = 'account') = (name IS NULL));
ALTER TABLE credential ALTER COLUMN kind DROP DEFAULT;
CREATE UNIQUE INDEX credential_name ON credential (kind, name);

-- An id without a row of its kind must not keep a credential: the table of each kind has this trigger, and everything
-- else goes with the credential. Its argument is the kind.
CREATE FUNCTION principal_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM credential USING removed WHERE kind = TG_ARGV[0] AND principal_id = removed.id;
    RETURN NULL;
END $$;
CREATE TRIGGER account_principal_removed AFTER DELETE ON account REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION principal_removed('account');

ALTER TABLE application_password DROP CONSTRAINT application_password_account_id_fkey;
ALTER TABLE application_password RENAME COLUMN account_id TO principal_id;
ALTER TABLE application_password ADD COLUMN kind text NOT NULL DEFAULT 'account';
ALTER TABLE application_password ALTER COLUMN kind DROP DEFAULT;
ALTER TABLE application_password ADD FOREIGN KEY (kind, principal_id) REFERENCES credential ON DELETE CASCADE;
DROP INDEX application_password_account;
CREATE INDEX application_password_principal ON application_password (principal_id, kind);

ALTER TABLE web_session DROP CONSTRAINT web_session_account_id_fkey;
ALTER TABLE web_session RENAME COLUMN account_id TO principal_id;
ALTER TABLE web_session ADD COLUMN kind text NOT NULL DEFAULT 'account';
ALTER TABLE web_session ALTER COLUMN kind DROP DEFAULT;
ALTER TABLE web_session ADD FOREIGN KEY (kind, principal_id) REFERENCES credential ON DELETE CASCADE;
DROP INDEX web_session_account;
CREATE INDEX web_session_principal ON web_session (principal_id, kind);

-- Who may administer what: the whole server (domain_id NULL) or single domains. Administrators, accounts that were made
-- administrators of their domain, and control accounts.
CREATE TABLE administers (
    kind          text NOT NULL,
    principal_id  bigint NOT NULL,
    domain_id     bigint REFERENCES domain ON DELETE CASCADE,
    created_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (kind, principal_id, domain_id),
    FOREIGN KEY (kind, principal_id) REFERENCES credential ON DELETE CASCADE
);
CREATE INDEX administers_domain ON administers (domain_id);

CREATE TABLE administrator (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    display_name  text NOT NULL DEFAULT '',
    language      text,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER administrator_principal_removed AFTER DELETE ON administrator REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION principal_removed('administrator');

CREATE TABLE control_account (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    commands       text[],                                    -- NULL: every command
    networks       cidr[],                                    -- NULL: from anywhere
    -- In clear, because the protocol's digest is made of it anew for each session; NULL: signs in by password alone.
    digest_secret  text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    CHECK (commands <> '{}' AND networks <> '{}')
);
CREATE TRIGGER control_account_principal_removed AFTER DELETE ON control_account REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION principal_removed('control-account');

-- Who did what, when and from where. Names are kept as they were: an entry outlives its actor.
CREATE TABLE audit_entry (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    happened_at timestamptz NOT NULL DEFAULT now(),
    kind        text NOT NULL,                                -- the actor's kind, or 'operator': a shell on the server
    actor_id    bigint,
    actor_name  text NOT NULL,
    client      text NOT NULL DEFAULT '',                     -- the actor's address; '' on the server itself
    action      text NOT NULL,                                -- 'account.add', 'administrator.remove' …
    subject     text NOT NULL DEFAULT '',                     -- what it was done to
    facts       jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_entry_happened ON audit_entry (happened_at);
CREATE INDEX audit_entry_subject ON audit_entry (subject, id);
CREATE INDEX audit_entry_actor ON audit_entry (kind, actor_id, id);
