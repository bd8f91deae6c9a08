"""`ctrlclnt` against the control server: the twelve cases of the document, and what each command does."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postroad.config import Ctrl
from postroad.directory.addresses import domains
from postroad.directory.errors import AccountDisabled
from postroad.mailstore.folders import Role
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import Envelope, EnvelopeRecipient, SessionInfo
from postroad.protocols.smtp.envelope import Principal as Sender
from postroad.protocols.smtp.envelope import Role as Door
from postroad.protocols.smtp.replies import SmtpReply
from tests.bridges.jdmail.room import (
    CASES,
    DONE,
    OPERATOR,
    PASSWORD,
    QUICK_KEYS,
    Ran,
    Room,
    block,
    open_room,
    refused,
    run_client,
)

LOCK = refused("Resource lock entry not found")
SYNTAX = refused("Bad CTRL command syntax")
MAIL = "From: {}\r\nTo: b@d1.test\r\nSubject: x\r\nMessage-ID: <1@elsewhere.test>\r\n\r\nText\r\n"


@pytest.fixture
async def room(database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Room]:
    monkeypatch.setattr(domains, "_ALGORITHMS", QUICK_KEYS)
    async with open_room(database_dsn, tmp_path) as room:
        yield room


async def deliver(room: Room, recipient: str, sender: str = "a@elsewhere.test", as_account: str = "") -> None:
    """A mail comes in by SMTP, or is submitted by an account. Raises `SmtpReply`."""
    principal = None
    if as_account:
        account = await room.parts.accounts.get_by_address(Address.parse(as_account))
        principal = Sender(account.id, account.address)
    door = Door.SUBMISSION if as_account else Door.MX
    session = SessionInfo(door, "192.0.2.9", "client.test", True, principal=principal)
    acceptance = room.parts.transport.acceptance
    empty = Envelope(Address.parse(sender), ())
    await acceptance.sender(empty, session)
    to = EnvelopeRecipient(Address.parse(recipient))
    await acceptance.recipient(empty, to, session)
    await acceptance.accept(Envelope(Address.parse(sender), (to,)), MAIL.format(sender).encode(), session)


async def mails_of(room: Room, address: str) -> int:
    """How many mails are in an inbox."""
    account = await room.parts.accounts.get_by_address(Address.parse(address))
    return (await room.parts.folders.get_by_role(account.id, Role.INBOX)).message_count


async def test_the_twelve_cases_of_the_document(room: Room) -> None:
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))  # bound and not listening: whoever connects is refused
    for flags in CASES:

        async def ask(
            *command: str, flags: list[str] = flags, user: str = "admin", password: str = PASSWORD
        ) -> Ran:
            return await room.client(flags, *command, user=user, password=password)

        access = ["-u", "admin", "-p", PASSWORD, *flags, "noop"]
        nobody = ["-s", "127.0.0.1", "-n", str(closed.getsockname()[1]), *access]
        assert await asyncio.to_thread(run_client, nobody) == block(
            -217, "Error connecting to remote address"
        )
        nowhere = ["-s", "192.168.0.1281", *access]
        assert run_client(nowhere) == block(-40, "Invalid server address", "192.168.0.1281")
        assert await ask("noop", user="nobody") == LOCK
        assert await ask("noop", password="wrong") == LOCK
        assert await ask("domainadd", "d1.test") == DONE
        assert await ask("domainadd", "d1.test") == LOCK
        for command in (
            ["useradd", "no.test", "a", "p", "U"],
            ["userpasswd", "no.test", "a", "p"],
            ["userdel", "no.test", "a"],
        ):
            assert await ask(*command) == refused("POP3 domain not handled")
        assert await ask("useradd", "d1.test", "wang", "123456", "U") == DONE
        assert await ask("useradd", "d1.test", "wang", "123456", "U") == refused("User already exist")
        assert await ask("useradd", "d1.test", "li", "", "U") == SYNTAX
        assert await ask("useradd", "d1.test", "li", "U") == SYNTAX
        assert await ask("useradd", "d1.test", "li", "123456") == SYNTAX
        assert await ask("userpasswd", "d1.test", "li", "123456") == refused("Record not found in TAB file")
        assert await ask("userpasswd", "d1.test", "wang", "") == SYNTAX
        assert await ask("userpasswd", "d1.test", "wang", "123456") == DONE
        assert await ask("userdel", "d1.test", "li") == refused("User not found")
        assert await ask("userdel", "d1.test", "wang") == DONE
        assert await ask("domaindel", "d1.test") == DONE
    closed.close()


async def test_the_true_texts_by_setting(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domains, "_ALGORITHMS", QUICK_KEYS)
    settings = Ctrl(document_texts=False, any_password=False, new_account_kilobytes=10000)
    async with open_room(database_dsn, tmp_path, settings) as room:
        assert await room.client([], "noop", password="wrong") == refused("Bad controller login")
        assert await room.ask("domainadd", "d1.test") == DONE
        assert await room.ask("domainadd", "d1.test") == refused("Already exist")
        assert await room.ask("useradd", "d1.test", "wang", "123456", "U") == refused("Invalid password")
        assert await room.ask("useradd", "d1.test", "wang", "better-Than-that", "U") == DONE
        assert ("MaxMBSize", "10000") in await room.rows("uservars", "d1.test", "wang")


async def test_an_account_is_there_everywhere_at_once(room: Room) -> None:
    await room.ask("domainadd", "d1.test")
    await room.ask("aliasdomainadd", "d1.test", "d2.test")
    assert await room.ask("useradd", "D1.test", "Wang", "123456", "U") == DONE
    assert await room.ask("useradd", "d2.test", "li", "123456", "U") == DONE  # made in the real domain
    check = room.parts.sign_in.check
    assert (await check("wang@d1.test", "123456", "192.0.2.1", "imap")).name == "wang@d1.test"
    await deliver(room, "wang@d1.test")
    await deliver(room, "li@d2.test")
    assert await mails_of(room, "wang@d1.test") == await mails_of(room, "li@d1.test") == 1
    await deliver(room, "b@elsewhere.test", sender="wang@d1.test", as_account="wang@d1.test")
    ldap = await room.parts.database.fetch("SELECT * FROM oa.ldap ORDER BY 1")
    assert len(ldap) == 2
    stat = await room.pairs("userstat", "d2.test", "wang")
    assert stat["RealAddress"] == "wang@d1.test"
    assert int(stat["MailboxSize"]) > len(MAIL)
    assert (stat["MailboxMessages"], stat["LastLoginIP"]) == ("1", "192.0.2.1")
    assert await room.ask("userpasswd", "d2.test", "wang", "654321") == DONE
    await check("wang@d1.test", "654321", "192.0.2.1", "pop3")
    assert await room.ask("userauth", "d1.test", "wang", "654321") == DONE
    assert await room.ask("userauth", "d1.test", "wang", "123456") == refused("Invalid password")
    assert await room.ask("userauth", "no.test", "wang", "123456") == refused("Record not found in TAB file")
    assert await room.ask("userdel", "d2.test", "wang") == refused("User not found")
    assert await room.ask("userdel", "d1.test", "wang") == DONE
    with pytest.raises(SmtpReply, match="not known"):
        await deliver(room, "wang@d1.test")
    assert await room.rows("userlist") == [("d1.test", "li", "", "U")]
    assert await room.ask("domaindel", "d2.test") == refused("POP3 domain not handled")
    assert await room.ask("domaindel", "d1.test") == DONE
    assert (
        await room.rows("domainlist")
        == await room.rows("aliasdomainlist")
        == await room.rows("userlist")
        == []
    )


async def test_variables_that_mean_something(room: Room) -> None:
    await room.ask("domainadd", "d1.test")
    await room.ask("useradd", "d1.test", "wang", "123456", "U")
    assert await room.rows("uservars", "d1.test", "wang") == [
        ("RealName", "??"), ("HomePage", "??"), ("Address", "??"), ("Telephone", "??"),
        ("MaxMBSize", "0"), ("SmtpPerms", "MR"), ("ReceiveEnable", "1"), ("PopEnable", "1"),
    ]  # fmt: skip

    async def setting(*pairs: str) -> Ran:
        return await room.ask("uservarsset", "d1.test", "wang", *pairs)

    assert await setting("RealName", "Wang Xiao", "Department", "Sales", "HomePage", ".|rm") == DONE
    rows = await room.pairs("uservars", "d1.test", "wang")
    assert (rows["RealName"], rows["Department"], "HomePage" in rows) == ("Wang Xiao", "Sales", False)
    address = Address.parse("wang@d1.test")
    assert (await room.parts.accounts.get_by_address(address)).display_name == "Wang Xiao"
    assert await setting("Department", ".|rm", "Nothing", ".|rm") == DONE
    assert "Department" not in await room.pairs("uservars", "d1.test", "wang")

    assert await setting("ReceiveEnable", "0") == DONE
    with pytest.raises(SmtpReply, match="closed"):
        await deliver(room, "wang@d1.test")
    await room.parts.sign_in.check("wang@d1.test", "123456", "192.0.2.1", "imap")
    assert await setting("ReceiveEnable", "1", "PopEnable", "0") == DONE
    await deliver(room, "wang@d1.test")
    with pytest.raises(AccountDisabled):
        await room.parts.sign_in.check("wang@d1.test", "123456", "192.0.2.1", "imap")
    assert await room.ask("userauth", "d1.test", "wang", "123456") == refused("Invalid password")
    assert await setting("PopEnable", "1", "SmtpPerms", "R") == DONE
    with pytest.raises(SmtpReply):
        await deliver(room, "b@elsewhere.test", sender="wang@d1.test", as_account="wang@d1.test")
    assert await setting("SmtpPerms", "MRT") == DONE
    await deliver(room, "b@elsewhere.test", sender="wang@d1.test", as_account="wang@d1.test")
    assert (await room.pairs("uservars", "d1.test", "wang"))["SmtpPerms"] == "MRT"
    assert await setting("MaxMBSize", "1") == DONE
    account = await room.parts.accounts.get_by_address(address)
    assert account.quota_bytes == 1024
    assert await setting("MaxMBSize", "many") == refused("Unable to write file")
    assert await setting("MaxMBSize") == SYNTAX
    assert await setting("A", "1", "B") == SYNTAX
    assert await setting('a\\"b', "1") == refused("Bad characters in command line")
    assert await setting(*(str(number) for number in range(202))) == refused("Unable to write file")


async def test_aliases_and_the_catch_all(room: Room) -> None:
    await room.ask("domainadd", "d1.test")
    await room.ask("domainadd", "d2.test")
    await room.ask("useradd", "d1.test", "wang", "123456", "U")
    assert await room.ask("aliasadd", "d1.test", "sales", "wang") == DONE
    assert await room.ask("aliasadd", "d2.test", "info", "wang@d1.test") == DONE
    assert await room.ask("aliasadd", "d1.test", "sales", "wang") == refused("Alias already exist")
    assert await room.ask("aliasadd", "d1.test", "wang", "wang") == refused("User already exist")
    assert await room.ask("aliasadd", "d1.test", "x", "nobody") == refused("Record not found in TAB file")
    assert await room.ask("aliasadd", "d1.test", "a*", "wang") == refused("Name does not respect RFC822")
    assert await room.ask("useradd", "d1.test", "sales", "123456", "U") == refused("Alias already exist")
    assert await room.ask("aliasadd", "d2.test", "*", "wang@d1.test") == DONE
    assert await room.ask("aliasadd", "d2.test", "*", "wang@d1.test") == refused("Alias already exist")
    for recipient in ("sales@d1.test", "info@d2.test", "anybody@d2.test"):
        await deliver(room, recipient)
    assert await mails_of(room, "wang@d1.test") == 3
    assert await room.rows("aliaslist") == [
        ("d1.test", "sales", "wang"), ("d2.test", "info", "wang@d1.test"), ("d2.test", "*", "wang@d1.test"),
    ]  # fmt: skip
    assert await room.rows("aliaslist", "d1.*", "*", "w*") == [("d1.test", "sales", "wang")]
    assert (await room.pairs("userstat", "d1.test", "sales"))["RealAddress"] == "wang@d1.test"
    assert await room.ask("aliasdel", "d2.test", "*") == DONE
    assert await room.ask("aliasdel", "d2.test", "*") == refused("Alias not found")
    assert await room.ask("aliasdel", "d1.test", "sales") == DONE
    assert await room.ask("aliasdel", "d1.test", "sales") == refused("Alias not found")
    with pytest.raises(SmtpReply):
        await deliver(room, "anybody@d2.test")


async def test_mailing_lists(room: Room) -> None:
    await room.ask("domainadd", "d1.test")
    for name in ("wang", "li", "zhao"):
        await room.ask("useradd", "d1.test", name, "123456", "U")
    assert await room.ask("useradd", "d1.test", "all", "123456", "M") == DONE
    assert await room.ask("useradd", "d1.test", "all", "123456", "U") == refused("User already exist")
    assert ("d1.test", "all", "", "M") in await room.rows("userlist", "d1.test", "al?")

    async def add(*arguments: str) -> Ran:
        return await room.ask("mluseradd", "d1.test", *arguments)

    assert await add("all", "wang@d1.test") == DONE
    assert await add("all", "li@d1.test", "R") == DONE
    assert await add("all", "zhao@d1.test", "RA", "more") == DONE
    assert await add("all", "Wang@d1.test") == refused("Mailing list user already exist")
    assert await add("all", "no address") == refused("Bad tag ( From: , etc ... ) address")
    assert await add("wang", "li@d1.test") == refused("User is not a mailing list")
    assert await add("none", "li@d1.test") == refused("Record not found in TAB file")
    members = [("li@d1.test", "R"), ("wang@d1.test", "RW"), ("zhao@d1.test", "RA")]
    assert await room.rows("mluserlist", "d1.test", "all") == members
    await deliver(room, "all@d1.test", sender="wang@d1.test", as_account="wang@d1.test")
    with pytest.raises(SmtpReply, match="may not write"):
        await deliver(room, "all@d1.test", sender="li@d1.test", as_account="li@d1.test")
    await deliver(room, "all@d1.test", sender="zhao@d1.test", as_account="zhao@d1.test")
    assert await mails_of(room, "li@d1.test") == 2
    assert await room.ask("mluserdel", "d1.test", "all", "li@d1.test") == DONE
    assert await room.ask("mluserdel", "d1.test", "all", "li@d1.test") == refused(
        "Mailing list user not found"
    )
    assert await room.ask("userdel", "d1.test", "all") == DONE
    assert await room.ask("mluserlist", "d1.test", "all") == refused("Record not found in TAB file")


async def test_names_and_patterns(room: Room) -> None:
    for name in ("d1.test", "under_score.test", "-dash.test"):
        ran = await room.ask("domainadd", name)
        assert ran == (DONE if not name.startswith("-") else refused("Invalid host name")), name
    assert await room.ask("domainadd", "a b.test") == refused("Invalid host name")
    for name in ("a..b", ""):
        assert await room.ask("domainadd", name) == refused("Bad tag ( From: , etc ... ) address")
    for name in ("a b", "a@b", "", ".a", "a..b", "a(b)"):
        assert await room.ask("useradd", "d1.test", name, "p", "U") == refused(
            "Name does not respect RFC822"
        ), name
    for name in ("b", "a", "c+d", "e.f"):
        assert await room.ask("useradd", "d1.test", name, "p", "U") == DONE
    listed = [name for _, name, _, _ in await room.rows("userlist", "d1.test")]
    assert listed == ["b", "a", "c+d", "e.f"]  # in the order of creation
    assert [row[1] for row in await room.rows("userlist", "*", "[a-b]")] == ["b", "a"]
    assert await room.rows("userlist", "d1.test", "A") == [("d1.test", "a", "", "U")]
    assert await room.rows("userlist", "other.test") == await room.rows("userlist", "", "") == []
    assert await room.rows("domainlist", "d?.test", "x*") == [("d1.test",)]
    assert await room.ask("aliasdomainadd", "d1.test", "*.d1.test") == refused("Invalid host name")
    assert await room.ask("aliasdomainadd", "no.test", "x.test") == refused("POP3 domain not handled")
    assert await room.ask("aliasdomainadd", "d1.test", "x.test") == DONE
    assert await room.ask("aliasdomainadd", "x.test", "y.test") == refused("POP3 domain not handled")
    assert await room.ask("aliasdomainadd", "d1.test", "x.test") == refused("Domain alias already exist")
    assert await room.ask("domainadd", "x.test") == refused("Resource lock entry not found")
    assert await room.rows("aliasdomainlist", "d1.*", "x*") == [("d1.test", "x.test")]
    assert await room.rows("aliasdomainlist", "*", "*", "*") == []
    assert await room.ask("aliasdomaindel", "x.test") == DONE
    assert await room.ask("aliasdomaindel", "d1.test") == refused("Domain alias not found")


async def test_what_there_is_none_of_is_refused_and_not_kept(room: Room) -> None:
    await room.ask("domainadd", "d1.test")
    await room.ask("useradd", "d1.test", "wang", "p", "U")
    link = ("d1.test", "wang", "pop.example.com", "user")
    for command, text in {
        ("poplnkadd", *link, "secret", "CLR"): "Error writing POP3 links file",
        ("poplnkdel", *link): "POP3 link not found",
        ("poplnkenable", "1", *link): "POP3 link not found",
        ("exaliasadd", "wang@d1.test", "wang@example.com"): "Error writing External-Alias file",
        ("exaliasadd", "wang", "wang@example.com"): "Bad tag ( From: , etc ... ) address",
        ("exaliasdel", "wang@example.com"): "External alias not found",
        ("exaliaslist", "*"): "Bad tag ( From: , etc ... ) address",
        ("custdomget", "d1.test"): "Not a custom domain",
        ("usergetmproc", "d1.test", "wang"): "User mail processing file not present",
        ("usergetmproc", "d1.test", "li", "UD"): "Record not found in TAB file",
        ("filelist", "../etc", "*"): "Error in relative path syntax",
        ("filelist", "domains", "*"): "Listing directory not found",
        ("cfgfileget", "ctrlaccounts.tab"): "Error in relative path syntax",
        ("frozsubmit", "0", "0", "1A"): "Unable to move file",
        ("frozgetmsg", "0", "0", "1A"): "Unable to open file",
        ("frozgetlog", "0", "0", "nonsense"): "Unable to open file",
        ("nonsense",): "Bad CTRL command syntax",
        ("noop", "x"): "Bad CTRL command syntax",
    }.items():  # fmt: skip
        assert await room.ask(*command) == refused(text), command
    for empty in ("poplnklist", "exaliaslist", "custdomlist", "frozlist"):
        assert await room.ask(empty) == DONE
    assert await room.ask("frozdel", "0", "0", "1A") == DONE
    assert await room.ask("etrn", "d1.test", "*.example.com") == DONE
    rules = ("usersetmproc", "d1.test", "wang")
    assert await room.client([], *rules, stdin=b'"mailbox"\n') == DONE
    assert await room.client([], *rules, stdin=b"") == DONE
    assert await room.client([], *rules, stdin=b'"redirect"\t"x@y"\n') == refused("Invalid file structure")
    assert await room.client([], "custdomset", "d1.test") == DONE
    assert await room.client([], "custdomset", "d1.test", stdin=b"x\n") == refused("Unable to write file")
    assert await room.client([], "custdomset", "a b", stdin=b"x\n") == refused("Invalid host name")


async def test_held_mail_is_frozen_mail(room: Room) -> None:
    await room.ask("domainadd", "d1.test")
    await room.ask("useradd", "d1.test", "wang", "p", "U")
    await deliver(room, "b@elsewhere.test", sender="wang@d1.test", as_account="wang@d1.test")
    from postroad.transport.queue.queued_mails import Selection

    await room.parts.transport.queued_mails.hold(Selection())
    (row,) = await room.rows("frozlist")
    assert len(row) == 9
    msgid, level1, level2, sender, recipient = row[:5]
    assert (sender, recipient, row[8]) == ("<wang@d1.test>", "<b@elsewhere.test>", "froz")
    place = (level1, level2, msgid)
    message = await room.ask("frozgetmsg", *place)
    assert "Subject: x\n" in message.out and message.out.endswith("\n\nText\n")
    assert (await room.ask("frozgetlog", *place)).out.startswith("queued ")
    assert await room.ask("frozsubmit", *place) == DONE
    assert await room.rows("frozlist") == []
    assert await room.ask("frozsubmit", *place) == refused("Unable to move file")
    await room.parts.transport.queued_mails.hold(Selection())
    assert await room.ask("frozdel", *place) == DONE
    assert await room.rows("frozlist") == []
    assert await room.parts.transport.queued_mails.list() == []


async def test_what_a_control_account_may(room: Room) -> None:
    accounts = room.parts.control_accounts
    await room.ask("domainadd", "d1.test")
    await room.ask("domainadd", "d2.test")
    await room.ask("useradd", "d2.test", "wang", "p", "U")
    await accounts.add("one", PASSWORD, OPERATOR, domains=["d1.test"])
    await accounts.add("lists", PASSWORD, OPERATOR, commands=["userlist", "noop"])
    await accounts.add("away", PASSWORD, OPERATOR, networks=["192.0.2.0/24"])
    await accounts.add("clear", PASSWORD, OPERATOR, takes_digest=False)

    async def as_one(*command: str) -> Ran:
        return await room.client([], *command, user="one")

    gone = refused("POP3 domain not handled")
    assert await as_one("useradd", "d1.test", "li", "p", "U") == DONE
    assert await as_one("useradd", "d2.test", "li", "p", "U") == gone
    for command in (("domainadd", "d3.test"), ("domaindel", "d1.test"), ("domaindel", "d2.test")):
        assert await as_one(*command) == gone
    assert await as_one("userdel", "d2.test", "wang") == gone
    assert (await as_one("domainlist")).out == '"d1.test"\n'
    assert (await as_one("userlist")).out == '"d1.test"\t"li"\t""\t"U"\n'
    assert await as_one("userstat", "d2.test", "wang") == refused("Record not found in TAB file")
    assert await as_one("aliasadd", "d1.test", "x", "wang@d2.test") == refused("Record not found in TAB file")
    assert await as_one("frozlist") == SYNTAX
    assert (await room.client([], "userlist", user="lists")).code == 0
    assert await room.client([], "useradd", "d1.test", "x", "p", "U", user="lists") == SYNTAX
    assert await room.client([], "noop", user="away") == LOCK
    assert await room.client([], "noop", user="clear") == LOCK
    assert await room.client(["-c"], "noop", user="clear") == DONE
    assert await room.client(["-S"], "noop", user="CLEAR") == DONE
    log = {
        (each.actor.name, each.action, each.subject)
        for each in await room.parts.audit.list(action="control.")
    }
    assert ("one", "control.useradd", "li@d1.test") in log
    assert ("one", "control.useradd", "li@d2.test") not in log


async def test_a_control_account_that_is_removed_can_do_nothing_from_then_on(room: Room) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", room.port)
    banner = await reader.readline()
    stamp = banner[banner.index(b"<") : banner.index(b">") + 1]
    digest = hashlib.md5(stamp + PASSWORD.encode()).hexdigest().upper()
    writer.write(b'"Admin"\t"#%s"\r\n"domainlist"\r\n' % digest.encode())
    assert await reader.readline() == b"+00000 OK\r\n"
    assert await reader.readline() == b"+00100 OK\r\n"
    assert await reader.readline() == b".\r\n"
    await room.parts.control_accounts.set_password("admin", "another-Secret-1", OPERATOR)
    writer.write(b'"domainlist"\r\n')
    assert await reader.readline() == b"-00105 Bad controller login\r\n"
    writer.write(b"quit\r\n")
    assert await reader.read() == b"+00000 OK\r\n"
    writer.close()


async def test_a_digest_is_good_for_one_banner(room: Room) -> None:
    stamps = set()
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", room.port)
        banner = await reader.readline()
        stamps.add(banner[banner.index(b"<") : banner.index(b">") + 1])
        assert banner.rstrip().endswith(b"-0000")
        writer.close()
    assert len(stamps) == 3


async def test_guesses_count_with_all_other_doors(room: Room) -> None:
    for _ in range(4):
        assert await room.client([], "noop", password="wrong") == LOCK
    tries = await room.parts.database.fetchval(
        "SELECT tries FROM sign_in_attempt WHERE subject = 'pair:control-account:admin from loopback'"
    )
    assert tries == 4
    await room.parts.database.execute(
        "UPDATE sign_in_attempt SET is_blocked = true, tries = most, ends_at = now() + interval '1 hour'"
    )
    assert await room.client([], "noop") == refused("Server too busy, retry later")


async def test_nobody_who_may_not_connect_sees_a_banner(room: Room) -> None:
    await room.parts.control_accounts.remove("admin", OPERATOR)
    assert await room.client([], "noop") == refused("Server does not like Your IP")  # there is no account
    await room.parts.control_accounts.add("away", PASSWORD, OPERATOR, networks=["192.0.2.0/24"])
    assert await room.client([], "noop") == refused("Server does not like Your IP")


async def test_two_at_once_make_one(room: Room) -> None:
    await room.ask("domainadd", "d1.test")
    ran = await asyncio.gather(*(room.ask("useradd", "d1.test", "wang", "p", "U") for _ in range(4)))
    assert sorted(each.code for each in ran) == [0, 4, 4, 4]
    assert len(await room.rows("userlist")) == 1


async def test_a_database_that_is_away_is_told(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    from postroad.db.pool import DatabaseUnavailable
    from postroad.directory.addresses.inventory import Inventory

    async def away(*_: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(Inventory, "domains", away)
    assert await room.ask("domainlist") == refused("Server too busy, retry later")
    assert await room.ask("noop") == DONE
