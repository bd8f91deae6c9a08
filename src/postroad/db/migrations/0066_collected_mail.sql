-- Mail to addresses that a room above transport takes for itself (returned mail of campaigns): committed with the 250,
-- read and removed by that room. Only the beginning of each is kept: what is to be read stands there.

CREATE TABLE collected_mail (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipient     text NOT NULL,                               -- as the envelope said it
    sender        text,                                        -- NULL: the null sender
    content       bytea NOT NULL,
    collected_at  timestamptz NOT NULL DEFAULT now(),
    due_at        timestamptz NOT NULL DEFAULT now(),          -- when to look at it, again or for the first time
    attempts      smallint NOT NULL DEFAULT 0
);
CREATE INDEX collected_mail_due ON collected_mail (due_at);
ALTER TABLE collected_mail ALTER COLUMN content SET STORAGE EXTERNAL;
