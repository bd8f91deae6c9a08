-- Who exists. Addresses and domain names are stored in their canonical form (message/address.py: Address.key).

CREATE TABLE domain (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    alias_of    bigint REFERENCES domain ON DELETE CASCADE,   -- every address here is the same name there
    catch_all   text,                                         -- address that gets what nobody else gets
    postmaster  text,                                         -- who reads postmaster@ and abuse@; NULL: directory/resolver.py
    created_at  timestamptz NOT NULL DEFAULT now(),
    CHECK (alias_of IS NULL OR alias_of <> id)
);
CREATE INDEX domain_alias_of ON domain (alias_of) WHERE alias_of IS NOT NULL;

-- One name, one meaning: every address of ours is here once, whatever it stands for. Kept by triggers (below), so that
-- no way of writing accounts, aliases and lists can give one address two of them.
CREATE TABLE local_address (
    address  text PRIMARY KEY,
    kind     text NOT NULL CHECK (kind IN ('account', 'alias', 'list'))
);

CREATE TABLE account (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain_id     bigint NOT NULL REFERENCES domain,
    address       text NOT NULL UNIQUE,
    display_name  text NOT NULL DEFAULT '',
    mobile        text,                                       -- E.164
    language      text,                                       -- 'zh', 'en', or NULL: by the browser
    quota_bytes   bigint CHECK (quota_bytes > 0),             -- NULL: no limit
    is_disabled   boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX account_domain ON account (domain_id, address);

-- `version` grows with every change of the password: whatever was remembered for an older one is void.
CREATE TABLE credential (
    account_id     bigint PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    password_hash  text NOT NULL,
    version        integer NOT NULL DEFAULT 1,
    changed_at     timestamptz NOT NULL DEFAULT now()
);

-- Random tokens, so a fast hash is enough (SHA-256).
CREATE TABLE application_password (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id    bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    label         text NOT NULL,
    token_hash    bytea NOT NULL UNIQUE,
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_used_at  timestamptz
);
CREATE INDEX application_password_account ON application_password (account_id);

CREATE TABLE alias (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain_id   bigint NOT NULL REFERENCES domain ON DELETE CASCADE,
    address     text NOT NULL UNIQUE,
    targets     text[] NOT NULL CHECK (cardinality(targets) BETWEEN 1 AND 1000),
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX alias_domain ON alias (domain_id, address);
CREATE INDEX alias_targets ON alias USING gin (targets);

CREATE TABLE distribution_list (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain_id    bigint NOT NULL REFERENCES domain ON DELETE CASCADE,
    address      text NOT NULL UNIQUE,
    name         text NOT NULL DEFAULT '',
    posting      text NOT NULL DEFAULT 'members' CHECK (posting IN ('anyone', 'members', 'owners')),
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX distribution_list_domain ON distribution_list (domain_id, address);

CREATE TABLE distribution_list_member (
    list_id   bigint NOT NULL REFERENCES distribution_list ON DELETE CASCADE,
    address   text NOT NULL,
    is_owner  boolean NOT NULL DEFAULT false,
    PRIMARY KEY (list_id, address)
);
CREATE INDEX distribution_list_member_address ON distribution_list_member (address);

-- Once a statement, not once a row: an import of 100,000 accounts pays for one more INSERT … SELECT.
CREATE FUNCTION local_address_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO local_address (address, kind) SELECT address, TG_ARGV[0] FROM added;
    RETURN NULL;
END $$;
CREATE FUNCTION local_address_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM local_address USING removed WHERE local_address.address = removed.address;
    RETURN NULL;
END $$;
CREATE FUNCTION local_address_renamed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE local_address SET address = NEW.address WHERE address = OLD.address;
    RETURN NULL;
END $$;

CREATE TRIGGER account_added AFTER INSERT ON account REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION local_address_added('account');
CREATE TRIGGER account_removed AFTER DELETE ON account REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION local_address_removed();
CREATE TRIGGER account_renamed AFTER UPDATE OF address ON account
    FOR EACH ROW WHEN (OLD.address <> NEW.address) EXECUTE FUNCTION local_address_renamed();

CREATE TRIGGER alias_added AFTER INSERT ON alias REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION local_address_added('alias');
CREATE TRIGGER alias_removed AFTER DELETE ON alias REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION local_address_removed();
CREATE TRIGGER alias_renamed AFTER UPDATE OF address ON alias
    FOR EACH ROW WHEN (OLD.address <> NEW.address) EXECUTE FUNCTION local_address_renamed();

CREATE TRIGGER distribution_list_added AFTER INSERT ON distribution_list REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION local_address_added('list');
CREATE TRIGGER distribution_list_removed AFTER DELETE ON distribution_list REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION local_address_removed();
CREATE TRIGGER distribution_list_renamed AFTER UPDATE OF address ON distribution_list
    FOR EACH ROW WHEN (OLD.address <> NEW.address) EXECUTE FUNCTION local_address_renamed();

-- Failed sign-ins by account and by client address, shared by every door and worker.
CREATE TABLE sign_in_failure (
    subject       text PRIMARY KEY,                           -- 'account:…' or 'client:…'
    failures      integer NOT NULL,
    window_start  timestamptz NOT NULL,
    blocked_until timestamptz
);

CREATE TABLE web_session (
    token_hash          bytea PRIMARY KEY,
    account_id          bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    credential_version  integer NOT NULL,
    csrf_token          text NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    last_seen_at        timestamptz NOT NULL DEFAULT now(),
    expires_at          timestamptz NOT NULL
);
CREATE INDEX web_session_account ON web_session (account_id);
CREATE INDEX web_session_expiry ON web_session (expires_at);

-- DKIM keys of a domain; the newest of each algorithm signs, older ones stay published until removed.
CREATE TABLE dkim_key (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain_id    bigint NOT NULL REFERENCES domain ON DELETE CASCADE,
    selector     text NOT NULL,
    algorithm    text NOT NULL CHECK (algorithm IN ('rsa-sha256', 'ed25519-sha256')),
    private_key  bytea NOT NULL,                              -- PKCS #8 PEM
    created_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (domain_id, selector)
);
