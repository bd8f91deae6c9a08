-- What an administrator adds to the table of words (campaigns/results/words.py): looked at before the built-in rows, by id.
CREATE TABLE reply_rule (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pattern          text NOT NULL CHECK (pattern <> '' AND length(pattern) <= 200),
    failure          smallint NOT NULL CHECK (failure IN (1, 2, 3, 8, 9)),
    is_temporary     boolean,                                  -- NULL: as the reply's code says
    asks_for_less    boolean NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL DEFAULT now()
);

-- After how many failures of a type, within so many days, nothing more is sent to an address of that customer.
-- A type without a row suppresses nobody. A mailbox that does not exist is not asked again; a full one may be emptied.
CREATE TABLE suppression_rule (
    failure      smallint PRIMARY KEY CHECK (failure IN (1, 2, 3, 8, 9)),
    failures     integer NOT NULL CHECK (failures BETWEEN 1 AND 100),
    within_days  integer NOT NULL DEFAULT 90 CHECK (within_days BETWEEN 1 AND 3650)
);
INSERT INTO suppression_rule (failure, failures, within_days) VALUES (1, 1, 90), (2, 5, 60), (8, 2, 90), (9, 1, 90);
