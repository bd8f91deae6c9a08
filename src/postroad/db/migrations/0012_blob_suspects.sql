-- Blobs that no mail names, and when that was first seen. One is removed when a later sweep still finds it so: by
-- age alone, a clock that jumps ahead would make an orphan of the blob of a mail that is just being taken.
CREATE TABLE blob_suspect (
    key      text PRIMARY KEY,
    seen_at  timestamptz NOT NULL DEFAULT now()
);
