-- Tasks as they were asked for, their runs, and the ledger: one row a recipient.
-- The page has three ids for them (part B): task.id is its send_id, run.id its track_id, run_day.id its task_id. They are
-- drawn from different ranges, so that a mix-up is found out.

CREATE TABLE task (
    customer_id       bigint NOT NULL REFERENCES customer ON DELETE CASCADE,
    id                bigint GENERATED ALWAYS AS IDENTITY,
    ident             text NOT NULL,
    state             smallint NOT NULL CHECK (state BETWEEN -5 AND 4),   -- part C.2
    reason            text NOT NULL DEFAULT '',                -- why it cannot run, is paused or was stopped
    sender_kind       text NOT NULL CHECK (sender_kind IN ('all', 'domain', 'address')),
    sender_domain     text NOT NULL DEFAULT '',
    sender_address    text NOT NULL DEFAULT '',
    sender_name       text NOT NULL DEFAULT '',
    reply_to          text NOT NULL DEFAULT '',
    range_start       integer NOT NULL DEFAULT 1 CHECK (range_start > 0),
    range_end         integer NOT NULL DEFAULT 0 CHECK (range_end >= 0),   -- the last address; 0 = all
    selected          integer NOT NULL DEFAULT 0,              -- addresses that were chosen when it was added
    send_at           timestamptz NOT NULL,
    started_at        timestamptz,
    ended_at          timestamptz,
    has_unsubscribe   boolean NOT NULL DEFAULT true,           -- a link in the text; the header is always there
    track             smallint NOT NULL DEFAULT 0 CHECK (track IN (0, 1, 2)),
    track_domain      text NOT NULL DEFAULT '',
    created_at        timestamptz NOT NULL DEFAULT now(),
    deleted_at        timestamptz,
    PRIMARY KEY (customer_id, id),
    UNIQUE (customer_id, ident)
);
CREATE INDEX task_open ON task (send_at) WHERE state IN (-5, 1, 2);
CREATE INDEX task_send_at ON task (customer_id, send_at);

-- Names are kept as they were, for the reports of what is gone since.
CREATE TABLE task_list (
    customer_id  bigint NOT NULL,
    task_id      bigint NOT NULL,
    position     smallint NOT NULL,
    list_id      bigint NOT NULL,
    list_name    text NOT NULL,
    PRIMARY KEY (customer_id, task_id, position),
    FOREIGN KEY (customer_id, task_id) REFERENCES task ON DELETE CASCADE
);
CREATE INDEX task_list_list ON task_list (customer_id, list_id);

CREATE TABLE task_template (
    customer_id    bigint NOT NULL,
    task_id        bigint NOT NULL,
    position       smallint NOT NULL,
    template_id    bigint NOT NULL,
    template_name  text NOT NULL,
    version_id     bigint,                                     -- from the moment the task begins
    PRIMARY KEY (customer_id, task_id, position),
    FOREIGN KEY (customer_id, task_id) REFERENCES task ON DELETE CASCADE
);
CREATE INDEX task_template_template ON task_template (customer_id, template_id);

-- A task's run, made with the task. A run of kind smtp has no task: it is what a customer submitted on one day.
CREATE TABLE run (
    customer_id  bigint NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY (START WITH 500000001),
    task_id      bigint,
    kind         text NOT NULL DEFAULT 'web' CHECK (kind IN ('web', 'smtp')),
    shelf        bigint,                                       -- where its recipients stand; NULL: not expanded yet
    email_base   bigint,                                       -- email_id = email_base + recipient.number
    recipients   integer NOT NULL DEFAULT 0,
    expanded_at  timestamptz,
    finished_at  timestamptz,                                  -- every recipient is in a final state
    is_counted   boolean NOT NULL DEFAULT false,               -- run_count holds its figures
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, id),
    FOREIGN KEY (customer_id, task_id) REFERENCES task ON DELETE CASCADE
);
CREATE UNIQUE INDEX run_task ON run (customer_id, task_id) WHERE task_id IS NOT NULL;

-- Recipients are counted on the day of their first final state, in the platform's zone.
CREATE TABLE run_day (
    customer_id  bigint NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY (START WITH 1000000001),
    run_id       bigint NOT NULL,
    day          date NOT NULL,
    PRIMARY KEY (customer_id, id),
    UNIQUE (customer_id, run_id, day),
    FOREIGN KEY (customer_id, run_id) REFERENCES run ON DELETE CASCADE
);
CREATE INDEX run_day_day ON run_day (customer_id, day);

-- The next email_id. A block for a whole run is drawn in a short transaction of its own before the run is expanded.
CREATE TABLE email_id (
    is_only  boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    next     bigint NOT NULL
);
INSERT INTO email_id (next) VALUES (0);

-- The ledger. Nothing that changes is indexed, so every update is HOT: the fill factor leaves room for the versions of a
-- row in its own page. Who is to be sent to next is found through ledger_chunk, never by a scan.
-- state: 0 waits, 1 in hand, 2 delivered, 3 failed for good, 4 cancelled (it was never sent). 2, 3 and 4 are final;
-- a bounce that comes later turns 2 into 3, on the same day. failure: part C.1 (1, 2, 3, 5, 8, 9), 0 = none.
-- doubts counts the times it was in hand when a worker died: its server may have got the mail then.
-- A shelf is a partition: a week's small runs, or one large run. It is dropped as a whole when its time is over.
CREATE TABLE recipient (
    customer_id  bigint NOT NULL,
    run_id       bigint NOT NULL,
    shelf        bigint NOT NULL,
    contact_id   bigint NOT NULL,
    due_at       timestamptz,                                  -- when to try again; NULL: at once
    changed_at   timestamptz,                                  -- when the state was reached, by the database
    number       integer NOT NULL,                             -- from 1, by domain; templates are dealt out by it
    day          date,                                         -- which day counts it
    state        smallint NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 4),
    failure      smallint NOT NULL DEFAULT 0 CHECK (failure IN (0, 1, 2, 3, 5, 8, 9)),
    attempts     smallint NOT NULL DEFAULT 0,
    doubts       smallint NOT NULL DEFAULT 0,
    code         smallint,                                     -- the last reply of its server
    address      text NOT NULL,
    reply        text,
    PRIMARY KEY (customer_id, run_id, number, shelf)
) PARTITION BY LIST (shelf);
-- "Did li@… get it?": eight bytes a row instead of the address, which stands in the row anyway.
CREATE INDEX recipient_address ON recipient (hashtextextended(lower(address), 0));

-- Consecutive numbers of one domain: the unit that workers claim, so many of a site, under a lease. due_at is the
-- earliest that any of its waiting recipients is due; a chunk with none left is deleted.
CREATE TABLE ledger_chunk (
    customer_id   bigint NOT NULL,
    run_id        bigint NOT NULL,
    first_number  integer NOT NULL,
    last_number   integer NOT NULL,
    domain        text NOT NULL,
    due_at        timestamptz NOT NULL DEFAULT now(),
    owner         bigint,                                      -- which process has it
    lease_until   timestamptz,
    PRIMARY KEY (customer_id, run_id, first_number)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX ledger_chunk_free ON ledger_chunk (run_id, domain, due_at) WHERE owner IS NULL;
CREATE INDEX ledger_chunk_owned ON ledger_chunk (lease_until) WHERE owner IS NOT NULL;

-- Make sure that there is a shelf for `count` recipients of the run, and return it. A table is attached, not created as a
-- partition: that takes no lock that readers or writers of the ledger wait for.
CREATE FUNCTION ledger_shelf(run_id bigint, count bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    shelf bigint := CASE WHEN count >= 100000 THEN run_id
                         ELSE floor(extract(epoch FROM now()) / 604800) END;
    name text := 'recipient_' || shelf;
BEGIN
    IF to_regclass(name) IS NOT NULL THEN RETURN shelf; END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('postroad ledger shelf', 0));
    -- to_regclass would answer from a cache that the lock does not refresh.
    IF EXISTS (SELECT FROM pg_class c WHERE c.relname = name AND c.relispartition) THEN RETURN shelf; END IF;
    EXECUTE format('CREATE TABLE %I (LIKE recipient INCLUDING DEFAULTS INCLUDING CONSTRAINTS, CHECK (shelf = %s)) '
                   'WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.1)',
                   name, shelf);
    EXECUTE format('ALTER TABLE recipient ATTACH PARTITION %I FOR VALUES IN (%s)', name, shelf);
    RETURN shelf;
END $$;

-- Figures of a finished run, by SELECT count(*) from its recipients. Whoever changes a recipient of a finished run locks
-- the run, clears is_counted and deletes these rows in the same transaction; the next reader counts anew.
CREATE TABLE run_count (
    customer_id  bigint NOT NULL,
    run_id       bigint NOT NULL,
    day          date NOT NULL,
    state        smallint NOT NULL,
    failure      smallint NOT NULL,
    count        bigint NOT NULL,
    PRIMARY KEY (customer_id, run_id, day, state, failure),
    FOREIGN KEY (customer_id, run_id) REFERENCES run ON DELETE CASCADE
);
