-- What readers did with the mails of a run: links, and a row an open or click. Totals are counted from the rows.

CREATE TABLE link (
    customer_id  bigint NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    run_id       bigint NOT NULL,
    url          text NOT NULL,
    PRIMARY KEY (customer_id, id),
    FOREIGN KEY (customer_id, run_id) REFERENCES run ON DELETE CASCADE
);
CREATE UNIQUE INDEX link_url ON link (customer_id, run_id, md5(url));

CREATE TABLE user_agent (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text     text NOT NULL,
    browser  text NOT NULL DEFAULT '',
    os       text NOT NULL DEFAULT '',
    device   text NOT NULL DEFAULT ''                          -- 'pc' or 'mobile'
);
CREATE UNIQUE INDEX user_agent_text ON user_agent (md5(text));

-- kind: 0 a person's, 1 a machine's (a mail provider's proxy that loads pictures before anybody reads), 2 a scanner's or a
-- prefetch. Reports count 0; the others are kept and shown apart.
CREATE TABLE hit (
    customer_id    bigint NOT NULL,
    id             bigint GENERATED ALWAYS AS IDENTITY (CACHE 100),
    run_id         bigint NOT NULL,
    number         integer NOT NULL,                           -- the recipient
    link_id        bigint,                                     -- NULL: an open
    hit_at         timestamptz NOT NULL,
    user_agent_id  bigint,
    ip             inet,
    kind           smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (customer_id, id)
);
CREATE INDEX hit_recipient ON hit (customer_id, run_id, number, hit_at);
CREATE INDEX hit_link ON hit (customer_id, run_id, link_id, number) WHERE link_id IS NOT NULL;
