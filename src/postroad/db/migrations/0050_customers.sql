-- Who uses the campaign platform: customers, and managers with their sub-accounts. Every table of the campaign side
-- begins its keys with customer_id, so that it can be partitioned or distributed by it; ids are never reused.
-- How they sign in is the directory's (principals); here is what they are and what they may.

CREATE TABLE customer (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username      text NOT NULL CHECK (username <> '' AND length(username) <= 100),
    is_manager    boolean NOT NULL DEFAULT false,
    manager_id    bigint REFERENCES customer,                  -- whose sub-account this is
    company       text NOT NULL DEFAULT '',
    contact       text NOT NULL DEFAULT '',
    phone         text NOT NULL DEFAULT '',
    mobile        text NOT NULL DEFAULT '',
    email         text NOT NULL DEFAULT '',
    im            text NOT NULL DEFAULT '',
    address       text NOT NULL DEFAULT '',
    is_enabled    boolean NOT NULL DEFAULT true,               -- the service; a disabled one can still be read
    service_type  text NOT NULL DEFAULT 'all' CHECK (service_type IN ('all', 'day')),
    send_type     text NOT NULL DEFAULT 'local' CHECK (send_type IN ('remote', 'local')),
    begins_on     date NOT NULL DEFAULT CURRENT_DATE,
    ends_on       date,                                        -- the last day of the service; NULL: no end
    daily_volume  bigint NOT NULL DEFAULT 0 CHECK (daily_volume >= 0),   -- for service_type 'day'
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX customer_username ON customer (lower(username));
CREATE INDEX customer_manager ON customer (manager_id) WHERE manager_id IS NOT NULL;

-- Volume bought or given, for service_type 'all'. What was used is never written: it is counted from the recipients.
CREATE TABLE credit (
    customer_id  bigint NOT NULL REFERENCES customer ON DELETE CASCADE,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    amount       bigint NOT NULL,
    note         text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, id)
);

-- Calls that an hourly limit counts; rows older than the window are swept.
CREATE TABLE counted_call (
    customer_id  bigint NOT NULL,
    kind         text NOT NULL,
    called_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX counted_call_window ON counted_call (customer_id, kind, called_at);
