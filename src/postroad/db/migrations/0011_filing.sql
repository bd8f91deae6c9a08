-- Raised by a statement that takes mail as a whole or not at all, when a folder it goes to is not there
-- (mailstore/arrival.py): the SQLSTATE tells it from every other error.
CREATE FUNCTION not_placed() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a folder that a mail goes to is not there' USING ERRCODE = 'PR001';
END $$;

-- Which keywords a folder's mails bear: asked when the folder has seen too many. Few mails bear any.
CREATE INDEX entry_keywords ON entry (folder_id) WHERE keywords <> '{}';

-- How far a sweep that goes through all rows of something, a few at a time, has come. Not in a worker's memory:
-- after a restart it would begin anew, and never come to the end of a large store.
CREATE TABLE sweep_place (
    sweep  text PRIMARY KEY,
    place  bigint NOT NULL
);

-- Whoever removes accounts locks their folders first, in the order that every writer of entries keeps; the
-- cascade would take them as they lie on the disk, and might meet a delivery crosswise.
CREATE FUNCTION lock_folders_of(account_ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM id FROM folder WHERE account_id = ANY (account_ids) ORDER BY id FOR UPDATE;
END $$;
