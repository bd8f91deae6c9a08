"""Real IMAP clients against two workers over one store: imaplib, curl, mbsync, offlineimap and more."""

from __future__ import annotations

import asyncio
import imaplib
import os
import shutil
from pathlib import Path

import pytest

from tests.listeners.conftest import certificate as certificate
from tests.listeners.imap.conftest import House
from tests.listeners.imap.conftest import budget as budget
from tests.listeners.imap.conftest import house as house
from tests.mailstore.conftest import mail

USER, PASSWORD = "anna@test.example", "secret"
MAILS = 30

pytestmark = pytest.mark.timeout(300)


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on this system")
    return found


async def run(*command: str, home: Path) -> bytes:
    """Run a client to its end; what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "HOME": str(home), "FETCHMAILHOME": str(home)},
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode(errors="replace")[-3000:]
    return said


async def filled(house: House, count: int = MAILS) -> None:
    account = await house.store.database.fetchval("SELECT min(id) FROM account")
    await house.store.fill(account, count)


async def test_imaplib_does_what_it_knows(house: House) -> None:
    def work() -> None:
        client = imaplib.IMAP4("127.0.0.1", house.ports[0], timeout=60)
        client.login(USER, PASSWORD)
        assert client.create("Work")[0] == "OK"
        assert client.append("Work", "(\\Seen)", None, mail("One"))[0] == "OK"
        assert client.select("Work") == ("OK", [b"1"])
        status, found = client.uid("SEARCH", "SUBJECT", '"One"')
        assert (status, found) == ("OK", [b"1"])
        status, fetched = client.fetch("1", "(FLAGS BODY.PEEK[])")
        assert status == "OK"
        assert isinstance(fetched[0], tuple)
        assert fetched[0][1] == mail("One")
        assert client.store("1", "+FLAGS", "(\\Deleted)")[0] == "OK"
        assert client.copy("1", "INBOX")[0] == "OK"
        assert client.expunge() == ("OK", [b"1"])
        assert client.sort("DATE", "UTF-8", "ALL")[0] == "OK"
        assert client.namespace()[0] == "OK"
        assert client.getquotaroot("INBOX")[0] == "OK"
        client.close()
        # At the end: imaplib of Python 3.11 then writes "UTF8 (" into the literal of APPEND.
        assert client.enable("UTF8=ACCEPT")[0] == "OK"
        client.logout()

    await asyncio.to_thread(work)


async def test_curl_lists_reads_searches_and_stores(house: House, tmp_path: Path) -> None:
    await filled(house, 3)
    curl = [program("curl"), "--silent", "--show-error", "--insecure", "--user", f"{USER}:{PASSWORD}"]
    base = f"imap://127.0.0.1:{house.ports[0]}"
    assert b'"/" Sent' in await run(*curl, f"{base}/", home=tmp_path)
    read = await run(*curl, "--ssl-reqd", f"{base}/INBOX;UID=2", home=tmp_path)
    assert read.endswith(mail("Mail 1", message_id="1@test.example"))
    found = await run(*curl, f"{base}/INBOX?SUBJECT%20%22Mail%202%22", home=tmp_path)
    assert found.strip() == b"* SEARCH 3"
    (tmp_path / "new.eml").write_bytes(mail("New"))
    await run(*curl, "--upload-file", str(tmp_path / "new.eml"), f"{base}/Drafts", home=tmp_path)
    client = await house.client()
    assert await client.ok("STATUS Drafts (MESSAGES)") == ["* STATUS Drafts (MESSAGES 1)"]


async def test_mbsync_keeps_both_sides_alike(house: House, tmp_path: Path) -> None:
    mbsync = program("mbsync")
    await filled(house)
    local = tmp_path / "mail"
    local.mkdir()
    (tmp_path / "rc").write_text(
        f"IMAPAccount a\nHost 127.0.0.1\nPort {house.ports[0]}\nUser {USER}\nPass {PASSWORD}\nSSLType None\n"
        "AuthMechs PLAIN\n\n"
        "IMAPStore far\nAccount a\n\n"
        f"MaildirStore near\nPath {local}/\nInbox {local}/INBOX\nSubFolders Verbatim\n\n"
        "Channel c\nFar :far:\nNear :near:\nPatterns INBOX Archive\nCreate Both\nExpunge Both\nSyncState *\n"
    )
    sync = [mbsync, "-c", str(tmp_path / "rc"), "-a"]
    await run(*sync, home=tmp_path)
    near = sorted((local / "INBOX" / "cur").iterdir()) + sorted((local / "INBOX" / "new").iterdir())
    assert len(near) == MAILS
    # Changes on both sides: one read and one removed here, one flagged and one added there.
    near[0].rename(local / "INBOX" / "cur" / (near[0].name.split(":")[0] + ":2,S"))
    near[1].unlink()
    client = await house.client(select="INBOX", worker=1)
    await client.ok(f"STORE {MAILS} +FLAGS (\\Flagged)")
    await client.append("INBOX", mail("Another", message_id="another@test.example"))
    await run(*sync, home=tmp_path)
    await run(*sync, home=tmp_path)
    await client.ok("NOOP")
    (seen,) = await client.ok("UID SEARCH SEEN")
    assert len(seen.split()) == 3  # * SEARCH and one UID
    (everything,) = await client.ok("UID SEARCH ALL")
    assert len(everything.split()) - 2 == MAILS
    near = [*(local / "INBOX" / "cur").iterdir(), *(local / "INBOX" / "new").iterdir()]
    assert len(near) == MAILS
    assert len([each for each in near if "F" in each.name.partition(":2,")[2]]) == 1
    assert any(b"Subject: Another" in each.read_bytes() for each in near)


async def test_offlineimap_brings_everything(house: House, tmp_path: Path) -> None:
    offlineimap = program("offlineimap")
    await filled(house, 5)
    (tmp_path / "rc").write_text(
        f"[general]\nmetadata = {tmp_path}/meta\naccounts = a\nui = quiet\n"
        "[Account a]\nlocalrepository = l\nremoterepository = r\n"
        f"[Repository l]\ntype = Maildir\nlocalfolders = {tmp_path}/mail\n"
        f"[Repository r]\ntype = IMAP\nremotehost = 127.0.0.1\nremoteport = {house.ports[0]}\nssl = no\n"
        f"starttls = no\nauth_mechanisms = PLAIN\nremoteuser = {USER}\nremotepass = {PASSWORD}\n"
        "folderfilter = lambda name: name == 'INBOX'\n"
    )
    await run(offlineimap, "-c", str(tmp_path / "rc"), "-o", home=tmp_path)
    found = [each for each in (tmp_path / "mail").rglob("*") if each.is_file()]
    assert len([each for each in found if each.parent.name in ("cur", "new")]) == 5


async def test_fetchmail_takes_what_is_unread(house: House, tmp_path: Path) -> None:
    fetchmail = program("fetchmail")
    await filled(house, 3)
    (tmp_path / "rc").write_text(
        f'poll 127.0.0.1 protocol IMAP service {house.ports[0]} user "{USER}" password "{PASSWORD}" '
        f'sslproto "" no rewrite keep mda "cat >> {tmp_path}/mbox"\n'
    )
    (tmp_path / "rc").chmod(0o600)
    fetch = [fetchmail, "--fetchmailrc", str(tmp_path / "rc"), "--pidfile", str(tmp_path / "pid"), "--silent"]
    await run(*fetch, home=tmp_path)
    assert (tmp_path / "mbox").read_text().count("Subject: Mail") == 3
    client = await house.client(select="INBOX")
    assert await client.ok("SEARCH UNSEEN") == ["* SEARCH"]


async def test_getmail_takes_each_mail_once(house: House, tmp_path: Path) -> None:
    getmail = program("getmail")
    await filled(house, 2)
    (tmp_path / "rc").write_text(
        f"[retriever]\ntype = SimpleIMAPRetriever\nserver = 127.0.0.1\nport = {house.ports[0]}\n"
        f'username = {USER}\npassword = {PASSWORD}\nmailboxes = ("INBOX",)\n'
        "[destination]\ntype = MDA_external\npath = /bin/dd\nallow_root_commands = true\n"
        f'arguments = ("of={tmp_path}/mbox", "oflag=append", "conv=notrunc", "status=none")\n'
        "[options]\nread_all = false\ndelete = false\n"
    )
    for _ in range(2):
        await run(getmail, f"--getmaildir={tmp_path}", "--rcfile=rc", home=tmp_path)
    assert (tmp_path / "mbox").read_text().count("Subject: Mail") == 2
