-- Events are read in the order of their ids. What keeps a late commit from being skipped is no longer the oldest
-- transaction of the whole cluster (a stranger's, in another database, held everybody back) but the locks of those
-- who are writing events here: see events/reader.py. So positions are ids alone, and mean the same after a restore.

-- Old positions were (xact, id): each reader goes on before the first event that it has not seen by that order. It
-- may see a few again, and skips none.
ALTER TABLE event_consumer ADD COLUMN position bigint NOT NULL DEFAULT 0;
UPDATE event_consumer c SET position = coalesce(
    (SELECT min(e.id) - 1 FROM event e WHERE (e.xact, e.id) > (c.last_xact, c.last_id)),
    (SELECT max(e.id) FROM event e),
    0
);
ALTER TABLE event_consumer DROP COLUMN last_xact, DROP COLUMN last_id;

ALTER TABLE event DROP CONSTRAINT event_pkey;
ALTER TABLE event DROP COLUMN xact;
ALTER TABLE event ADD PRIMARY KEY (id);
