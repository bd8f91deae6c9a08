-- What the control protocol sets of accounts and lists (interface page ctrl-protocol.md, 6.2 and 6.4).

-- Single doors of an account; `is_disabled` shuts them all.
ALTER TABLE account
    ADD COLUMN may_sign_in boolean NOT NULL DEFAULT true,
    ADD COLUMN takes_mail  boolean NOT NULL DEFAULT true,
    ADD COLUMN may_send    boolean NOT NULL DEFAULT true;

-- Facts about an account that no column has; NULL: a variable that every account begins with, removed.
CREATE TABLE account_variable (
    account_id  bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    name        text NOT NULL,
    value       text,
    PRIMARY KEY (account_id, name)
);

ALTER TABLE distribution_list_member
    ADD COLUMN receives boolean NOT NULL DEFAULT true,        -- the list's mail
    ADD COLUMN posts    text NOT NULL DEFAULT 'always' CHECK (posts IN ('always', 'signed-in', 'never'));
