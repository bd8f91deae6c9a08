-- What happened: written in the transaction of the thing that happened, read by upper floors.
-- `xact` lets a reader stop before the oldest transaction still in flight, so that a late commit is never skipped.

CREATE TABLE event (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xact        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind        text NOT NULL,
    account_id  bigint,
    payload     jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX event_created_at ON event USING brin (created_at);

CREATE TABLE event_consumer (
    name           text PRIMARY KEY,
    last_event_id  bigint NOT NULL DEFAULT 0,
    updated_at     timestamptz NOT NULL DEFAULT now()
);
