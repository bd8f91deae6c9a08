-- Templates. What a template says is a version that never changes: a task that has begun keeps the version it began with.

CREATE TABLE template (
    customer_id   bigint NOT NULL REFERENCES customer ON DELETE CASCADE,
    id            bigint GENERATED ALWAYS AS IDENTITY,
    name          text NOT NULL,
    version_id    bigint,                                      -- the newest
    check_state   smallint NOT NULL DEFAULT -1 CHECK (check_state IN (-1, 0, 1)),   -- being checked, refused, passed
    colour        text NOT NULL DEFAULT '' CHECK (colour IN ('', 'red', 'green', 'yellow', 'red_pass')),
    findings      jsonb NOT NULL DEFAULT '[]',                 -- why: [{level, code, message, …}]
    size_bytes    bigint,                                      -- of a whole mail; NULL: not measured yet
    lease_until   timestamptz,                                 -- somebody checks it
    content_type  smallint NOT NULL DEFAULT 1,                 -- 1 HTML, 2 an uploaded message
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    deleted_at    timestamptz,
    PRIMARY KEY (customer_id, id)
);
CREATE INDEX template_unchecked ON template (updated_at) WHERE check_state = -1 AND deleted_at IS NULL;

CREATE TABLE template_version (
    customer_id     bigint NOT NULL,
    id              bigint GENERATED ALWAYS AS IDENTITY,
    template_id     bigint NOT NULL,
    encoding        text NOT NULL DEFAULT 'base64' CHECK (encoding IN ('base64', 'quoted-printable')),
    subjects        text[] NOT NULL,
    subject_ids     bigint[] NOT NULL,
    html            text NOT NULL,
    plain           text NOT NULL DEFAULT '',
    attachment_ids  bigint[] NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, id),
    FOREIGN KEY (customer_id, template_id) REFERENCES template ON DELETE CASCADE,
    CHECK (cardinality(subjects) = cardinality(subject_ids) AND cardinality(subjects) > 0)
);
CREATE INDEX template_version_template ON template_version (customer_id, template_id);
CREATE SEQUENCE template_subject_id;

CREATE TABLE template_attachment (
    customer_id   bigint NOT NULL,
    id            bigint GENERATED ALWAYS AS IDENTITY,
    template_id   bigint NOT NULL,
    name          text NOT NULL,
    content_type  text NOT NULL DEFAULT 'application/octet-stream',
    content       bytea NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, id),
    FOREIGN KEY (customer_id, template_id) REFERENCES template ON DELETE CASCADE
);
CREATE INDEX template_attachment_template ON template_attachment (customer_id, template_id);
ALTER TABLE template_attachment ALTER COLUMN content SET STORAGE EXTERNAL;
