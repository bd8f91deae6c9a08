-- The password of the OA's role: one for all servers of this database, which each write it into their mailserver.ini.

CREATE TABLE oa_role (
    is_only   boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    password  text NOT NULL
);
