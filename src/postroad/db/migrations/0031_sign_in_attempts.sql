-- Tries to sign in, counted before the password is checked, so that guesses that come at once count one by one. A row is
-- one subject: a name from one client, a client, or a name, whoever asks. Shared by every entrance and worker.
DROP TABLE sign_in_failure;
CREATE TABLE sign_in_attempt (
    subject     text PRIMARY KEY,
    tries       integer NOT NULL,                             -- failed or under way; never more than `most`
    most        integer NOT NULL,
    is_blocked  boolean NOT NULL DEFAULT false,               -- the last try there was has failed
    ends_at     timestamptz NOT NULL                          -- then the count begins anew
) WITH (fillfactor = 70);

-- From where a principal has signed in rightly: 'client:…', a network as failures are counted by it, or 'device:…', the
-- hash of a browser's cookie. Strangers cannot lock these out.
CREATE TABLE known_origin (
    kind          text NOT NULL,
    principal_id  bigint NOT NULL,
    origin        text NOT NULL,
    last_seen_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, principal_id, origin),
    FOREIGN KEY (kind, principal_id) REFERENCES credential ON DELETE CASCADE
);
CREATE INDEX known_origin_seen ON known_origin (last_seen_at);
