-- What seals the tokens and envelope senders of campaigns: the newest key seals, all of them open. Made here, so that
-- there is one from the first moment and never two at once. gen_random_uuid draws from the strong source (122 bits each).

CREATE TABLE sealing_key (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key         bytea NOT NULL CHECK (octet_length(key) >= 32),
    created_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO sealing_key (key)
SELECT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');

-- A token names its run by the id alone, and a bounce its recipient by the email_id: both lead to one run.
CREATE UNIQUE INDEX run_id ON run (id);
CREATE INDEX run_email_base ON run (email_base) WHERE email_base IS NOT NULL;
CREATE UNIQUE INDEX link_id ON link (id);
