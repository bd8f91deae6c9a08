"""A thousand rows, two servers, one of them killed: a thousand mails, none twice, none lost."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from contextlib import suppress

import pytest

from postroad.db.binaries import find_binaries
from postroad.db.cluster import Cluster
from tests.running import RunningServer, reachable_directory, wait_until

ROWS = 1000


@pytest.mark.timeout(180)
def test_a_thousand_rows_while_one_of_two_servers_is_killed() -> None:
    with reachable_directory("postroad-once-") as directory:
        first = RunningServer(directory / "first")
        with first:
            first.add_domain("xxx.com", "sender", "reader")
            dsn = Cluster(first.data_dir).dsn

            def ask(statement: str) -> list[str]:
                done = subprocess.run(
                    [str(find_binaries() / "psql"), dsn, "-At", "-v", "ON_ERROR_STOP=1", "-c", statement],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                return done.stdout.splitlines()

            def sent() -> int:
                return int(ask("SELECT count(*) FROM oa.websent WHERE mailstatus = 0")[0])

            second = RunningServer(directory / "second", database=dsn)
            second.start()
            try:
                ask(
                    "INSERT INTO oa.websent (mailid, account, mailto, mailsubject, mailbodytext) "
                    "SELECT 'AA' || lpad(n::text, 8, '0'), 'sender@xxx.com', 'reader@xxx.com', 'mail ' || n, "
                    f"repeat('x', 4000) FROM generate_series(1, {ROWS}) n"
                )
                wait_until(lambda: sent() > 0, 30, "nothing is sent")
                for worker in second.workers():
                    with suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)
                second.kill()
                wait_until(lambda: sent() == ROWS, 60, "the server that lives does not send the rest")
            finally:
                if second.is_running:
                    second.stop()
            subjects = Counter(ask("SELECT mailsubject FROM oa.webreceive WHERE account = 'reader@xxx.com'"))
            assert len(subjects) == ROWS
            assert set(subjects.values()) == {1}
            assert first.command("verify")["problems"] == []


@pytest.mark.timeout(180)
def test_a_restored_backup_serves_the_oa_as_before() -> None:
    with reachable_directory("postroad-oa-backup-") as directory:
        first = RunningServer(directory / "first")
        with first:
            first.add_domain("xxx.com", "sender", "reader")
            before = (first.data_dir / "mailserver.ini").read_text()
            first.command("backup", str(directory / "backup"))
        second = RunningServer(directory / "second")
        second.command("restore", str(directory / "backup"))
        with second:
            second.add_domain("yyy.com", "later")
            after = (second.data_dir / "mailserver.ini").read_text()
            own = dict(line.split("=", 1) for line in after.splitlines() if "=" in line)
            assert f"Password={own['Password']}\n" in before
            done = subprocess.run(
                [
                    *(str(find_binaries() / "psql"), "-At", "-v", "ON_ERROR_STOP=1"),
                    *(
                        "-h",
                        own["DataSource"],
                        "-p",
                        own["Port"],
                        "-U",
                        own["UserId"],
                        "-d",
                        own["DatabaseName"],
                    ),
                    *("-c", "insert into websent (MailId, Account, MailTo) values ('AA1', 'a@b', 'c@d')"),
                    *("-c", "select count(*) from ldap", "-c", "select count(*) from X000001mail"),
                    *("-c", "select count(*) from X000003mail"),
                ],
                env={"PGPASSWORD": own["Password"], "PATH": os.environ["PATH"]},
                capture_output=True,
                text=True,
            )
            assert done.stdout.split() == ["INSERT", "0", "1", "3", "0", "0"], done.stderr
