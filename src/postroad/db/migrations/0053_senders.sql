-- Domains that customers send from, and the mailboxes in them, which sign in to SMTP with passwords of their own.

-- customer_id 0 marks a domain of the platform, which every customer may send from; hence no foreign key.
CREATE TABLE sender_domain (
    customer_id  bigint NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    name         text NOT NULL,                                -- canonical
    is_verified  boolean NOT NULL DEFAULT false,
    findings     jsonb NOT NULL DEFAULT '{}',                  -- what the last look at the DNS showed
    checked_at   timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, id),
    UNIQUE (customer_id, name)
);
-- The DNS cannot tell two customers of one platform apart: who was verified first has the domain.
CREATE UNIQUE INDEX sender_domain_verified ON sender_domain (name) WHERE is_verified;

CREATE TABLE sender_mailbox (
    customer_id  bigint NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    domain_id    bigint NOT NULL,
    address      text NOT NULL UNIQUE,                         -- lower case
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, id),
    FOREIGN KEY (customer_id, domain_id) REFERENCES sender_domain ON DELETE CASCADE
);
CREATE INDEX sender_mailbox_domain ON sender_mailbox (customer_id, domain_id, address);
