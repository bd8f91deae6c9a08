-- How many copies mails from outside have become by way of a list, since when: a list is an amplifier for whoever may
-- claim to be a member. A row a list that gets such mail.
CREATE TABLE distribution_list_load (
    list_id bigint PRIMARY KEY REFERENCES distribution_list ON DELETE CASCADE,
    since   timestamptz NOT NULL,
    copies  bigint NOT NULL
);
