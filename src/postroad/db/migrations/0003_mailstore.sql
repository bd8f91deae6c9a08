-- Where mail rests. One `message` + `content` row a mail, however many folders and queue rows point at it;
-- `entry` is a mail in a folder.

CREATE SEQUENCE message_id_seq INCREMENT BY 1000;             -- workers take ids in blocks of a thousand

-- Every folder ever made gets a value of its own: a name that is deleted and made again is never mistaken for the
-- old one (RFC 9051 2.3.1.1). Stays below 2^32, as the wire asks.
CREATE SEQUENCE uid_validity_seq MAXVALUE 4294967295;

CREATE TABLE message (
    id               bigint PRIMARY KEY,
    size_bytes       bigint NOT NULL,                         -- of the content, without the prefix
    subject          text NOT NULL DEFAULT '',
    sender           text NOT NULL DEFAULT '',                -- what a list shows: name, or else address
    recipients       text NOT NULL DEFAULT '',                -- the same for To, for Sent and Drafts
    sent_at          timestamptz,
    message_id       text,                                    -- the header's, without angle brackets
    thread           bigint NOT NULL DEFAULT 0,               -- hash of the thread's root message-id
    has_attachments  boolean NOT NULL DEFAULT false,
    priority         smallint NOT NULL DEFAULT 0,
    preview          text NOT NULL DEFAULT '',
    envelope         bytea NOT NULL DEFAULT '',               -- JSON: message/summary.py
    structure        bytea NOT NULL DEFAULT ''                -- JSON with part offsets: message/summary.py
);

-- Apart from `message`, so that a list never reads bodies. Small bodies stay in the row, uncompressed.
CREATE TABLE content (
    message_id    bigint PRIMARY KEY,
    prefix        bytea NOT NULL DEFAULT '',                  -- Return-Path and Received, in front of the body
    trace_offset  integer NOT NULL DEFAULT 0,                 -- where in the prefix Received begins
    body          bytea,
    blob          text,                                       -- key in the blob store when body is NULL
    CHECK ((body IS NULL) <> (blob IS NULL))
);
CREATE INDEX content_blob ON content (blob) WHERE blob IS NOT NULL;
ALTER TABLE content ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE content SET (toast_tuple_target = 8160);

CREATE TABLE folder (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id     bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    name           text NOT NULL,                             -- whole path, levels parted by '/'
    role           text CHECK (role IN ('inbox', 'sent', 'drafts', 'trash', 'junk', 'archive')),
    uid_validity   bigint NOT NULL DEFAULT nextval('uid_validity_seq'),
    uid_next       bigint NOT NULL DEFAULT 1,
    mod_sequence   bigint NOT NULL DEFAULT 1,                 -- the highest one given out
    message_count  bigint NOT NULL DEFAULT 0,
    unseen_count   bigint NOT NULL DEFAULT 0,
    size_bytes     bigint NOT NULL DEFAULT 0,
    is_subscribed  boolean NOT NULL DEFAULT true,
    keywords       text[] NOT NULL DEFAULT '{}',              -- every keyword its entries have ever had, bounded
    expunged_floor bigint NOT NULL DEFAULT 0,                 -- removals up to this mod-sequence are forgotten
    UNIQUE (account_id, name)
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX folder_role ON folder (account_id, role) WHERE role IS NOT NULL;

-- flags: 1 seen, 2 answered, 4 flagged, 8 deleted, 16 draft (mailstore/flags.py)
-- No foreign key to folder: whoever writes an entry holds its folder's row lock in the same transaction, so the check
-- could only cost time (a quarter of the accept rate); `folder_removed` below does what ON DELETE CASCADE would.
CREATE TABLE entry (
    folder_id     bigint NOT NULL,
    uid           bigint NOT NULL,
    account_id    bigint NOT NULL,
    message_id    bigint NOT NULL,
    mod_sequence  bigint NOT NULL,
    flags         smallint NOT NULL DEFAULT 0,
    keywords      text[] NOT NULL DEFAULT '{}',
    received_at   timestamptz NOT NULL,
    size_bytes    bigint NOT NULL,                            -- prefix and content: what a reader downloads
    thread        bigint NOT NULL DEFAULT 0,
    has_attachments boolean NOT NULL DEFAULT false,
    PRIMARY KEY (folder_id, uid)
) WITH (fillfactor = 90);
CREATE INDEX entry_message ON entry (message_id);
CREATE INDEX entry_mod_sequence ON entry (folder_id, mod_sequence);
CREATE INDEX entry_thread ON entry (account_id, thread);
-- The filters of a list: a folder of 100,000 mails with three unread ones answers from three index rows.
CREATE INDEX entry_unseen ON entry (folder_id, uid) WHERE flags & 1 = 0;
CREATE INDEX entry_flagged ON entry (folder_id, uid) WHERE flags & 4 <> 0;
CREATE INDEX entry_attachments ON entry (folder_id, uid) WHERE has_attachments;

-- What was removed, for clients that catch up (RFC 7162 QRESYNC).
CREATE TABLE expunged (
    folder_id     bigint NOT NULL,
    uid           bigint NOT NULL,
    mod_sequence  bigint NOT NULL,
    PRIMARY KEY (folder_id, mod_sequence, uid)
);

-- Messages whose last reference may have gone; a sweeper looks and removes them.
CREATE TABLE message_release (
    message_id   bigint PRIMARY KEY,
    released_at  timestamptz NOT NULL DEFAULT now()
);

-- A folder goes (or its account does, by cascade): its entries go with it, and what they pointed at is released.
CREATE FUNCTION folder_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH gone AS (
        DELETE FROM entry USING removed WHERE entry.folder_id = removed.id RETURNING entry.message_id
    )
    INSERT INTO message_release (message_id) SELECT DISTINCT message_id FROM gone ORDER BY message_id
    ON CONFLICT (message_id) DO UPDATE SET released_at = now();
    DELETE FROM expunged USING removed WHERE expunged.folder_id = removed.id;
    RETURN NULL;
END $$;
CREATE TRIGGER folder_removed AFTER DELETE ON folder
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION folder_removed();

-- Work of the indexer: written at delivery, taken and deleted by a worker after the 250.
CREATE TABLE search_pending (
    message_id  bigint PRIMARY KEY
);

-- What an import has taken already, so that running it again continues where it stopped. `source` is the hash of
-- the mail and the folder it goes to.
CREATE TABLE import_journal (
    account_id   bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    source       bytea NOT NULL,
    imported_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, source)
);
CREATE INDEX import_journal_age ON import_journal USING brin (imported_at);

-- One document a message; the account is a lexeme of its own, so one index serves every account.
CREATE TABLE search_document (
    message_id  bigint PRIMARY KEY,
    document    tsvector NOT NULL
);
CREATE INDEX search_document_gin ON search_document USING gin (document) WITH (fastupdate = on);
