-- Contact categories (which are subscription lists too), their contacts, who unsubscribed, who is suppressed, and imports.

CREATE TABLE contact_list (
    customer_id  bigint NOT NULL REFERENCES customer ON DELETE CASCADE,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    subject      text NOT NULL,
    description  text NOT NULL DEFAULT '',
    is_enabled   boolean NOT NULL DEFAULT true,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, id)
);

-- A contact that is removed stays until no run that may still render for it is under way (a client that reuses one list
-- empties it while the mails of the last task are being sent); every reader asks for removed_at IS NULL.
CREATE TABLE contact (
    customer_id  bigint NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY (CACHE 100),
    list_id      bigint NOT NULL DEFAULT 0,                    -- 0: in no category
    created_at   timestamptz NOT NULL DEFAULT now(),
    removed_at   timestamptz,
    birthday     date,
    sex          text NOT NULL DEFAULT '' CHECK (sex IN ('', 'M', 'F')),
    address      text NOT NULL,
    fullname     text NOT NULL DEFAULT '',
    phone        text NOT NULL DEFAULT '',
    area         text NOT NULL DEFAULT '',
    vars         text[] NOT NULL DEFAULT '{}',                 -- var1 … var10, without empty ones at the end
    PRIMARY KEY (customer_id, id)
);
CREATE UNIQUE INDEX contact_address ON contact (customer_id, list_id, lower(address)) WHERE removed_at IS NULL;
CREATE INDEX contact_order ON contact (customer_id, list_id, id) WHERE removed_at IS NULL;
CREATE INDEX contact_removed ON contact (removed_at) WHERE removed_at IS NOT NULL;

-- Addresses that left a list. They are kept beside the contacts, so that emptying a list and filling it again does not
-- subscribe them anew; list_id 0 means every list of the customer.
CREATE TABLE unsubscription (
    customer_id  bigint NOT NULL REFERENCES customer ON DELETE CASCADE,
    list_id      bigint NOT NULL,
    address      text NOT NULL,                                -- lower case
    created_at   timestamptz NOT NULL DEFAULT now(),
    source       text NOT NULL DEFAULT 'api' CHECK (source IN ('api', 'link', 'one-click', 'mail', 'complaint', 'console')),
    run_id       bigint,                                       -- whose mail it was
    PRIMARY KEY (customer_id, list_id, address)
);

-- Addresses that nothing is sent to any more, by a rule on what their servers answered; failure as in recipient.
CREATE TABLE suppression (
    customer_id  bigint NOT NULL REFERENCES customer ON DELETE CASCADE,
    address      text NOT NULL,                                -- lower case
    failure      smallint NOT NULL,
    reason       text NOT NULL DEFAULT '',
    run_id       bigint,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, address)
);

-- A file on its way into a list. The bytes of an upload stand in contact_import_piece until the job has merged them; the
-- contacts, the refused lines and the state of the job are one transaction, so a job is done or was never begun.
CREATE TABLE contact_import (
    customer_id  bigint NOT NULL REFERENCES customer ON DELETE CASCADE,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    list_id      bigint NOT NULL,
    state        text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'reading', 'done', 'failed')),
    file_name    text NOT NULL DEFAULT '',
    size_bytes   bigint NOT NULL DEFAULT 0,
    options      jsonb NOT NULL DEFAULT '{}',                  -- format, separator, mapping of columns
    bytes_read   bigint NOT NULL DEFAULT 0,
    total        bigint NOT NULL DEFAULT 0,
    added        bigint NOT NULL DEFAULT 0,
    repeated     bigint NOT NULL DEFAULT 0,
    refused      bigint NOT NULL DEFAULT 0,
    error        text NOT NULL DEFAULT '',
    attempts     smallint NOT NULL DEFAULT 0,
    lease_until  timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    PRIMARY KEY (customer_id, id)
);
CREATE INDEX contact_import_open ON contact_import (id) WHERE state IN ('waiting', 'reading');

CREATE TABLE contact_import_piece (
    customer_id  bigint NOT NULL,
    import_id    bigint NOT NULL,
    number       integer NOT NULL,
    data         bytea NOT NULL,
    PRIMARY KEY (customer_id, import_id, number),
    FOREIGN KEY (customer_id, import_id) REFERENCES contact_import ON DELETE CASCADE
);
ALTER TABLE contact_import_piece ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE contact_import_refusal (
    customer_id  bigint NOT NULL,
    import_id    bigint NOT NULL,
    line         bigint NOT NULL,
    reason       text NOT NULL,
    content      text NOT NULL,
    PRIMARY KEY (customer_id, import_id, line),
    FOREIGN KEY (customer_id, import_id) REFERENCES contact_import ON DELETE CASCADE
);
