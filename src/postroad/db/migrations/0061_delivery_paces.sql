-- How fast receivers that asked for less are sent to, by the bucket of their rule (shaping.py): lowered when they ask, raised
-- slowly when they have not, gone when it says no more than the rule does.

CREATE TABLE delivery_pace (
    bucket            text PRIMARY KEY,
    mails_per_minute  integer NOT NULL CHECK (mails_per_minute > 0),
    lowered_at        timestamptz NOT NULL DEFAULT now(),
    changed_at        timestamptz NOT NULL DEFAULT now(),
    reply             text NOT NULL DEFAULT ''                 -- what was said last
);
