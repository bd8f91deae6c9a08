-- What happened: written in the transaction of the thing that happened, read by upper floors.
-- Readers go by (xact, id) and stop before the oldest transaction still in flight. By id alone a late commit would
-- be skipped: ids are drawn before commits, and not in their order.

CREATE TABLE event (
    xact        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id          bigint GENERATED ALWAYS AS IDENTITY,
    kind        text NOT NULL,
    account_id  bigint,
    payload     jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (xact, id)
);
CREATE INDEX event_created_at ON event USING brin (created_at);

-- How far each reader has come.
CREATE TABLE event_consumer (
    name        text PRIMARY KEY,
    last_xact   xid8 NOT NULL DEFAULT '0',
    last_id     bigint NOT NULL DEFAULT 0,
    updated_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
