-- What OA systems read and write by SQL: the interface of DBMail and AAMail, sections 4 and 5 of their documents.
-- Everything in the schema `oa` is readable by PUBLIC, but only the OA's own role gets USAGE of the schema
-- (bridges/oa/role.py): so the 50,000th view needs no GRANT, and the role may have any name. Helpers that the role
-- must not see stand in `public`.

CREATE SCHEMA oa;
ALTER DEFAULT PRIVILEGES IN SCHEMA oa GRANT SELECT ON TABLES TO PUBLIC;

-- The zone that dates are shown in, written by the server when it starts.
CREATE TABLE oa_house (
    is_only  boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    zone     text NOT NULL
);
INSERT INTO oa_house (zone) VALUES ('UTC');

-- `message` by LEFT JOIN, so that a count never touches it: the planner drops a join on a unique key nobody reads.
-- `isread` is the very expression of the index entry_unseen, so that new mail is counted from unread mails alone.
CREATE VIEW oa_received AS
SELECT f.account_id,
       upper(to_hex(e.message_id)) AS mailid,
       a.address AS account,
       f.name AS folder,
       CASE WHEN x.address IS NULL OR x.address = m.sender THEN m.sender
            ELSE '"' || replace(m.sender, '"', '''') || '" <' || x.address || '>' END AS mailfrom,
       (SELECT string_agg((p ->> 1) || '@' || (p ->> 2), ',')
        FROM json_array_elements(x.envelope -> 5) AS p WHERE p ->> 2 <> '') AS mailto,
       (SELECT string_agg((p ->> 1) || '@' || (p ->> 2), ',')
        FROM json_array_elements(x.envelope -> 6) AS p WHERE p ->> 2 <> '') AS mailcc,
       m.subject AS mailsubject,
       to_char(e.received_at AT TIME ZONE (SELECT zone FROM oa_house), 'YYYY-MM-DD HH24:MI:SS') AS maildate,
       e.size_bytes::integer AS mailsize,
       e.flags & 1 AS isread,
       CASE WHEN e.has_attachments THEN 2 ELSE 0 END AS attachmentflag,
       m.priority::integer AS priority
FROM account a
JOIN folder f ON f.account_id = a.id
JOIN entry e ON e.folder_id = f.id
LEFT JOIN message m ON m.id = e.message_id
LEFT JOIN LATERAL (
    SELECT j.envelope, (j.envelope #>> '{2,0,1}') || '@' || (j.envelope #>> '{2,0,2}') AS address
    FROM (SELECT CASE WHEN m.envelope <> '' THEN convert_from(m.envelope, 'UTF8')::json END AS envelope) AS j
) AS x ON true
WHERE f.role IS NULL OR f.role NOT IN ('sent', 'drafts', 'trash');

-- A barrier: no condition of the OA's is tried on mails that the view leaves out (an error would tell of them).
CREATE VIEW oa.webreceive WITH (security_barrier) AS
SELECT mailid, account, folder, mailfrom, mailto, mailcc, mailsubject, maildate, mailsize, isread, attachmentflag, priority
FROM oa_received;

CREATE VIEW oa.ldap WITH (security_barrier) AS
SELECT a.id AS accseqno, a.address AS account, a.display_name AS name, d.name AS domain,
       CASE WHEN a.is_disabled THEN 0 ELSE 1 END AS enabled
FROM account a JOIN domain d ON d.id = a.domain_id;

-- One view an account, X + six digits (more past 999,999) + mail, there and gone with the account.
CREATE FUNCTION oa_view_name(account_id bigint) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT 'x' || lpad(account_id::text, greatest(6, length(account_id::text)), '0') || 'mail' $$;

CREATE FUNCTION oa_add_view(account_id bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE VIEW oa.%I WITH (security_barrier) AS SELECT mailid, account, folder, mailfrom, mailto, '
                   'mailcc, mailsubject, maildate, mailsize, isread, attachmentflag, priority '
                   'FROM public.oa_received WHERE account_id = %s', public.oa_view_name(account_id), account_id);
END $$;

CREATE FUNCTION oa_account_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM oa_add_view(id) FROM added;
    RETURN NULL;
END $$;
CREATE FUNCTION oa_account_removed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    gone bigint;
BEGIN
    FOR gone IN SELECT id FROM removed LOOP
        EXECUTE format('DROP VIEW IF EXISTS oa.%I', oa_view_name(gone));
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER oa_account_added AFTER INSERT ON account
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION oa_account_added();
CREATE TRIGGER oa_account_removed AFTER DELETE ON account
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION oa_account_removed();
SELECT oa_add_view(id) FROM account;

-- A row is one mail to encode and send. mailstatus: 1 to be sent, 2 in hand (it waits for its time or for its approval),
-- 0 handed to the queue, -1 refused. Columns in the documents' order, so that an INSERT without names works too.
CREATE TABLE oa.websent (
    mailid          varchar(16) PRIMARY KEY,
    account         varchar(255) NOT NULL,
    manager         varchar(255) DEFAULT '',
    ipaddress       varchar(64) DEFAULT '',
    mailsize        integer DEFAULT 0,
    mailfrom        varchar(255) DEFAULT '',
    mailto          text DEFAULT '',
    mailcc          text DEFAULT '',
    mailbcc         text DEFAULT '',
    maildate        varchar(32) DEFAULT '',
    mailsubject     text DEFAULT '',
    mailbodytype    integer DEFAULT 0,
    mailbodytext    text DEFAULT '',
    mailbodyhtml    text DEFAULT '',
    attachmentflag  integer DEFAULT 0,
    checkupstatus   integer DEFAULT 0,
    savetodraft     integer DEFAULT 0,
    savetosent      integer DEFAULT 0,
    priority        integer DEFAULT 0,
    mailstatus      integer DEFAULT 1,
    replyto         varchar(255) DEFAULT '',
    isneedreceipt   integer DEFAULT 0,
    sendtype        integer DEFAULT 0,
    sendtime        varchar(32) DEFAULT '',
    errorinfo       text DEFAULT '',
    processedtime   varchar(32) DEFAULT ''
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
CREATE INDEX websent_new ON oa.websent (mailid) WHERE mailstatus = 1;
CREATE INDEX websent_approval ON oa.websent (lower(manager), mailid) WHERE mailstatus = 2 AND checkupstatus <> 0;

CREATE TABLE oa.websentattach (
    mailid       varchar(255) DEFAULT '',
    attachid     varchar(16),
    account      varchar(255) DEFAULT '',
    location     integer DEFAULT 0,
    direction    integer DEFAULT 0,
    attachtype   integer DEFAULT 0,
    contenttype  varchar(255) DEFAULT 'application/octet-stream',
    attachsize   integer,
    attachname   varchar(255) DEFAULT '',
    starttime    varchar(32) DEFAULT '',
    content      bytea,                                       -- instead of a .dat file
    maild        varchar(255) DEFAULT '',                     -- the documents' spelling of mailid
    PRIMARY KEY (mailid, attachid)
);
ALTER TABLE oa.websentattach ALTER COLUMN content SET STORAGE EXTERNAL;   -- files are mostly compressed already
GRANT INSERT ON oa.websent, oa.websentattach TO PUBLIC;       -- of those who may use the schema

CREATE FUNCTION oa_websentattach_spelling() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(NEW.mailid, '') = '' THEN NEW.mailid := NEW.maild; END IF;
    NEW.maild := NEW.mailid;
    RETURN NEW;
END $$;
CREATE TRIGGER oa_websentattach_spelling BEFORE INSERT ON oa.websentattach
    FOR EACH ROW EXECUTE FUNCTION oa_websentattach_spelling();

-- What is known of rows beside what the OA may see: when a scheduled one is due, and when a row was done with.
CREATE TABLE oa_websent_state (
    mailid   varchar(16) PRIMARY KEY,
    due_at   timestamptz,
    done_at  timestamptz
);
CREATE INDEX oa_websent_state_due ON oa_websent_state (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX oa_websent_state_done ON oa_websent_state (done_at) WHERE done_at IS NOT NULL;

-- Somebody approved: it is to be sent again.
CREATE FUNCTION oa_websent_approved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.mailstatus := 1;
    RETURN NEW;
END $$;
CREATE TRIGGER oa_websent_approved BEFORE UPDATE OF checkupstatus ON oa.websent
    FOR EACH ROW WHEN (OLD.checkupstatus <> 0 AND NEW.checkupstatus = 0 AND NEW.mailstatus = 2)
    EXECUTE FUNCTION oa_websent_approved();

-- The one NOTIFY inside a transaction of the house's tables: it is the OA's own transaction, and equal ones become one.
CREATE FUNCTION oa_websent_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('postroad_oa_websent', '');
    RETURN NULL;
END $$;
CREATE TRIGGER oa_websent_written AFTER INSERT OR UPDATE OF checkupstatus ON oa.websent
    FOR EACH STATEMENT EXECUTE FUNCTION oa_websent_written();
