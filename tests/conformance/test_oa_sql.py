"""The SQL of DBMail's and AAMail's documents, as printed there, by the clients people have.

`psql`, a Python driver, and ODBC, each connected with what `mailserver.ini` says and nothing else; and what
the OA's role must not be able to do.
"""

from __future__ import annotations

import asyncio
import configparser
import os
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import pyodbc
import pytest

from postroad.db.binaries import find_binaries
from tests.running import PASSWORD, RunningServer, free_port, reachable_directory, wait_until

Client = Callable[[str], list[tuple[Any, ...]]]

WEBSENT = """
INSERT INTO websent (MailId, Account, Manager, IPaddress, MailSize, MailFrom, MailTo, MailCc, MailBcc,
    MailDate, MailSubject, MailBodyType, MailBodyText, MailBodyHtml, attachmentflag, checkupstatus,
    savetodraft, savetosent, priority, MailStatus, replyto, isneedreceipt, sendtype, Sendtime)
VALUES ('{0}', 'Third@XXX.com', '', '', 0, '"第三" <third@xxx.com>', 'first@xxx.com', '', '',
    '2012-01-01 08:00:00', '写库发送 {0}', 0, '正文', '', 0, 0, 0, 1, 0, 1, '', 0, 0, '2012-01-01 08:00:00')
"""


class Oa:
    """An OA's programmer: the server's data directory, and nothing else."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.file = server.data_dir / "mailserver.ini"
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(self.file, encoding="utf-8")
        self.database = parser["Database"]

    def psql(
        self, statement: str, user: str = "", database: str = "", stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a statement by psql."""
        own = self.database
        return subprocess.run(
            [
                *(str(find_binaries() / "psql"), "--no-psqlrc", "--no-password", "-At", "-F", "\t"),
                *("-v", "ON_ERROR_STOP=1", "-h", own["DataSource"], "-p", own["Port"]),
                *("-U", user or own["UserId"], "-d", database or own["DatabaseName"], "-c", statement),
            ],
            env={"PGPASSWORD": own["Password"], "PATH": os.environ["PATH"]},
            input=stdin,
            capture_output=True,
            text=True,
        )

    def by_psql(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows psql prints; numbers as numbers."""
        result = self.psql(statement)
        assert result.returncode == 0, result.stderr
        rows = [line.split("\t") for line in result.stdout.splitlines() if not line.startswith("INSERT")]
        return [tuple(int(cell) if cell.lstrip("-").isdigit() else cell for cell in row) for row in rows]

    def by_python(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows a Python driver gives."""

        async def run() -> list[tuple[Any, ...]]:
            own = self.database
            connection = await asyncpg.connect(
                host=own["DataSource"],
                port=int(own["Port"]),
                database=own["DatabaseName"],
                user=own["UserId"],
                password=own["Password"],
            )
            try:
                return [tuple(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()

        return asyncio.run(run())

    def by_odbc(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows ODBC gives."""
        own = self.database
        with pyodbc.connect(
            f"DRIVER={{{own['Driver']} Unicode}};SERVER={own['DataSource']};PORT={own['Port']};"
            f"DATABASE={own['DatabaseName']};UID={own['UserId']};PWD={own['Password']}",
            autocommit=True,
        ) as connection:
            cursor = connection.execute(statement)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []


@pytest.fixture(scope="module")
def oa() -> Iterator[Oa]:
    """A server with three accounts, of which the third has two mails."""
    with reachable_directory("postroad-oa-") as directory:
        server = RunningServer(directory, sections={"oa": {"sql_listen": f"127.0.0.1:{free_port()}"}})
        with server:
            server.add_domain("xxx.com", "first", "second", "third")
            for number in range(2):
                with smtplib.SMTP("127.0.0.1", server.ports["smtp"]) as client:
                    text = f"From: a@b.example\r\nSubject: {number}\r\n\r\nHello\r\n"
                    client.sendmail("a@b.example", ["third@xxx.com"], text)
            yield Oa(server)


@pytest.fixture(params=["psql", "python", "odbc"])
def client(oa: Oa, request: pytest.FixtureRequest) -> Client:
    """Each of the clients."""
    chosen: Client = getattr(oa, f"by_{request.param}")
    return chosen


def status(oa: Oa, mail_id: str) -> int:
    """A row's MailStatus."""
    return int(oa.by_psql(f"select MailStatus from websent where MailId='{mail_id}'")[0][0])


# -- the documents' statements


def test_dbmail_counts_all_mails_and_new_ones(client: Client) -> None:
    assert client("select accseqno from ldap where account='third@xxx.com'") == [(3,)]
    assert client("select count(*) from X000003mail where account='third@xxx.com'") == [(2,)]
    assert client("select count(*) from X000003mail where account='third@xxx.com' and isread=0") == [(2,)]


def test_aamail_counts_all_mails_and_new_ones(client: Client) -> None:
    assert client("select count(*) from webreceive where account='third@xxx.com'") == [(2,)]
    assert client("select count(*) from Webreceive where account='third@xxx.com' and isread=0") == [(2,)]


def test_every_column_of_a_mail(client: Client) -> None:
    rows = client(
        "select mailid, account, folder, mailfrom, mailto, mailcc, mailsubject, maildate, mailsize, isread, "
        "attachmentflag, priority from webreceive where account='third@xxx.com' order by mailsubject"
    )
    assert [row[1:4] for row in rows] == [("third@xxx.com", "INBOX", "a@b.example")] * 2
    assert [str(row[6]) for row in rows] == ["0", "1"]
    assert len(rows[0][7]) == len("2012-01-01 08:00:00")
    assert all(row[8] > 50 and row[9:] == (0, 0, 0) for row in rows)


def test_a_row_of_websent_with_every_column_of_the_table_is_a_mail(
    oa: Oa, client: Client, request: pytest.FixtureRequest
) -> None:
    mail_id = f"AA120101{abs(hash(request.node.name)) % 10**8:08d}"
    client(WEBSENT.format(mail_id))
    wait_until(lambda: status(oa, mail_id) == 0, 20, "the row was not sent")
    found = client(
        "select mailfrom, isread from webreceive where account='first@xxx.com' "
        f"and mailsubject='写库发送 {mail_id}'"
    )
    assert found == [('"第三" <third@xxx.com>', 0)]


def test_an_attachment_by_file_and_row_as_the_documents_say(oa: Oa, client: Client) -> None:
    taken = int(client("select count(*) from websentattach")[0][0])
    mail_id = f"AA120101000001{taken:02d}"
    file = oa.server.data_dir / "mail" / "000000" / f"{mail_id}_0001.dat"
    file.write_bytes(b"\r\n\r\n" + b"spreadsheet")
    client(
        "INSERT INTO websentattach (Maild, AttachId, Account, Location, Direction, Attachtype, ContentType, "
        f"AttachSize, AttachName, StartTime) VALUES ('{mail_id}', '0001', 'third@xxx.com', 0, 0, 0, "
        "'application/octet-stream', 11, 'yyy.xls', '')"
    )
    client(
        f"INSERT INTO websent (MailId, Account, MailTo, MailSubject, attachmentflag) "
        f"VALUES ('{mail_id}', 'third@xxx.com', 'first@xxx.com', 'with {mail_id}', 2)"
    )
    wait_until(lambda: status(oa, mail_id) == 0, 20, "the row was not sent")
    assert client(f"select attachmentflag from X000001mail where mailsubject='with {mail_id}'") == [(2,)]


def test_an_account_has_its_relation_from_its_first_to_its_last_moment(oa: Oa) -> None:
    oa.server.command("account", "add", "brief@xxx.com", "--password-stdin", stdin=f"{PASSWORD}\n")
    number = oa.by_psql("select accseqno from ldap where account='brief@xxx.com'")[0][0]
    assert oa.by_psql(f"select count(*) from X{number:06d}mail") == [(0,)]
    oa.server.command("account", "remove", "brief@xxx.com", "--yes")
    assert "does not exist" in oa.psql(f"select count(*) from X{number:06d}mail").stderr
    assert not oa.by_psql("select accseqno from ldap where account='brief@xxx.com'")


# -- the files


def test_mailserver_ini_has_the_documents_keys_and_is_closed_to_others(oa: Oa) -> None:
    assert oa.file.stat().st_mode & 0o777 == 0o640
    assert list(oa.database) == [
        *("datasource", "databasename", "authsspi", "userid", "password", "driver", "port")
    ]
    assert (oa.database["AuthSSPI"], oa.database["Driver"]) == ("0", "PostgreSQL")
    assert (oa.server.data_dir / "oa-sql-password").stat().st_mode & 0o777 == 0o600


def test_database_dbi_names_what_the_role_sees(oa: Oa) -> None:
    text = (oa.server.data_dir / "resource" / "database.dbi").read_text()
    for name in ("TABLE oa.websent ", "TABLE oa.websentattach ", "VIEW oa.webreceive ", "VIEW oa.ldap "):
        assert f"CREATE {name}" in text
    assert "oa_role" not in text


# -- the prison

FORBIDDEN = {
    "another schema": "SELECT * FROM public.account",
    "credentials": "SELECT * FROM public.credential",
    "its own stored password": "SELECT * FROM public.oa_role",
    "password hashes": "SELECT rolpassword FROM pg_authid",
    "the view behind": "SELECT * FROM public.oa_received",
    "updating": "UPDATE websent SET mailstatus = 1",
    "approving": "UPDATE websent SET checkupstatus = 0",
    "deleting": "DELETE FROM websentattach",
    "truncating": "TRUNCATE websent",
    "writing to a view": "INSERT INTO ldap (account) VALUES ('x@xxx.com')",
    "updating a view": "UPDATE webreceive SET isread = 1",
    "deleting from a view": "DELETE FROM X000003mail",
    "a table": "CREATE TABLE mine (a int)",
    "a table in public": "CREATE TABLE public.mine (a int)",
    "a temporary table": "CREATE TEMP TABLE mine (a int)",
    "a schema": "CREATE SCHEMA mine",
    "a function": "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "an extension": "ALTER EXTENSION plpgsql UPDATE",
    "code": "DO $$ BEGIN END $$",
    "reading a file": "SELECT pg_read_file('/etc/passwd')",
    "listing files": "SELECT pg_ls_dir('.')",
    "copying to a file": "COPY websent TO '/tmp/oa'",
    "copying from a file": "COPY websent FROM '/etc/passwd'",
    "copying to a program": "COPY websent TO PROGRAM 'id'",
    "a large object": "SELECT lo_from_bytea(0, 'x')",
    "an imported file": "SELECT lo_import('/etc/passwd')",
    "a lock of ours": "SELECT pg_advisory_lock(1)",
    "a shared lock of ours": "SELECT pg_try_advisory_xact_lock_shared(1, 1)",
    "becoming somebody": "SET ROLE postroad",
    "another session": "SET SESSION AUTHORIZATION postroad",
    "a setting of the server": "ALTER SYSTEM SET fsync = off",
    "a role": "CREATE ROLE mine",
    "its own limit": "ALTER ROLE postroad_oa CONNECTION LIMIT 1000",
    "its own rights": "GRANT postroad TO postroad_oa",
    "more temporary files": "SET temp_file_limit = -1",
    "a helper": "SELECT public.oa_add_view(1)",
    "locking a table": "BEGIN; LOCK TABLE websent IN ACCESS EXCLUSIVE MODE",
    "a trigger": "CREATE TRIGGER t AFTER UPDATE ON websent EXECUTE FUNCTION unique_key_recheck()",
}


@pytest.mark.parametrize("statement", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_the_role_can_do_nothing_else(oa: Oa, statement: str) -> None:
    result = oa.psql(statement)
    assert result.returncode != 0, result.stdout
    assert any(word in result.stderr for word in ("permission denied", "must be", "must have", "cannot"))


def test_mails_that_a_view_leaves_out_are_not_told_by_errors_either(oa: Oa) -> None:
    oa.by_psql(
        "INSERT INTO websent (MailId, Account, MailTo, MailSubject, savetosent) "
        "VALUES ('AAsecret', 'second@xxx.com', 'first@xxx.com', 'a secret', 1)"
    )
    wait_until(lambda: status(oa, "AAsecret") == 0, 20, "the row was not sent")
    # A subject in Sent would be "invalid input syntax for type integer".
    assert oa.by_psql("SELECT count(*) FROM X000002mail WHERE mailsubject::int > 0") == [(0,)]


def test_no_other_role_and_no_other_database_by_tcp(oa: Oa) -> None:
    assert "no pg_hba.conf entry" in oa.psql("SELECT 1", user="postroad").stderr
    assert "no pg_hba.conf entry" in oa.psql("SELECT 1", database="postgres").stderr


def test_what_others_do_is_not_shown(oa: Oa) -> None:
    shown = oa.by_psql("SELECT DISTINCT query FROM pg_stat_activity WHERE usename <> current_user")
    assert shown in ([], [("<insufficient privilege>",)])
    assert oa.by_psql("SHOW statement_timeout") == [("30s",)]
    assert oa.by_psql("SELECT count(*) FROM pg_stats") == [
        tuple(
            oa.by_psql(
                "SELECT count(*) FROM pg_stats WHERE schemaname IN ('oa', 'pg_catalog', 'information_schema')"
            )[0]
        )
    ]


def test_a_wrong_password_is_refused(oa: Oa) -> None:
    own = oa.database
    with pytest.raises(pyodbc.Error, match="password authentication failed"):
        pyodbc.connect(
            f"DRIVER={{PostgreSQL Unicode}};SERVER={own['DataSource']};PORT={own['Port']};"
            f"DATABASE={own['DatabaseName']};UID={own['UserId']};PWD=wrong"
        )


def test_the_role_may_not_open_endless_connections(oa: Oa) -> None:
    async def run() -> None:
        own = oa.database
        opened: list[Any] = []

        async def open_one() -> None:
            opened.append(
                await asyncpg.connect(
                    host=own["DataSource"],
                    port=int(own["Port"]),
                    database=own["DatabaseName"],
                    user=own["UserId"],
                    password=own["Password"],
                )
            )

        try:
            with pytest.raises(asyncpg.TooManyConnectionsError):
                for _ in range(30):
                    await open_one()
        finally:
            for connection in opened:
                await connection.close()

    asyncio.run(run())
