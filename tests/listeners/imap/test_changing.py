"""IMAP over a real store: flags, copies, moves, removals, and who is told of them when."""

from __future__ import annotations

import asyncio
import ssl
import zlib

from postroad.mailstore.folders import Role

from .conftest import Client, House, mail


async def filled(house: House, count: int = 3) -> None:
    account = await house.store.database.fetchval("SELECT min(id) FROM account")
    await house.store.fill(account, count)


async def test_flags_are_set_told_and_kept(house: House) -> None:
    await filled(house)
    client = await house.client(select="INBOX")
    assert await client.ok("STORE 1 +FLAGS (\\Flagged \\seen)") == ["* 1 FETCH (FLAGS (\\Seen \\Flagged))"]
    assert await client.ok("STORE 1 -FLAGS.SILENT \\Flagged") == []
    assert await client.ok("FETCH 1 FLAGS") == ["* 1 FETCH (FLAGS (\\Seen))"]
    lines = await client.ok("UID STORE 2 FLAGS ($Forwarded)")
    assert lines[0].startswith("* FLAGS (")
    assert "$forwarded" in lines[0]
    assert lines[-1] == "* 2 FETCH (UID 2 FLAGS ($forwarded))"
    assert (await client.ask("STORE 1 FLAGS (\\Nonsense)"))[1].startswith("NO")
    assert await client.ok("NOOP") == []


async def test_a_change_of_another_session_is_told_but_never_twice(house: House) -> None:
    await filled(house)
    one, two = await house.client(select="INBOX"), await house.client(select="INBOX", worker=1)
    await one.ok("STORE 2 +FLAGS.SILENT (\\Flagged)")
    assert await two.ok("NOOP") == ["* 2 FETCH (FLAGS (\\Flagged))"]
    assert await two.ok("NOOP") == []
    # A silent change of ours does not hide what another did to the same mail just before.
    await one.ok("STORE 2 +FLAGS.SILENT (\\Answered)")
    assert await two.ok("STORE 2 +FLAGS.SILENT (\\Seen)") == [
        "* 2 FETCH (FLAGS (\\Seen \\Answered \\Flagged))"
    ]


async def test_numbers_hold_until_an_expunge_may_be_told(house: House) -> None:
    await filled(house)
    one, two = await house.client(select="INBOX"), await house.client(select="INBOX", worker=1)
    await one.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    assert await one.ok("EXPUNGE") == ["* 1 EXPUNGE"]
    # FETCH by number: no EXPUNGE in it, the gone mail is passed over, the others keep their numbers.
    await asyncio.sleep(1.1)
    assert await two.ok("FETCH 1:3 (UID INTERNALDATE)") != []
    assert await two.ok("FETCH 2:3 UID") == ["* 2 FETCH (UID 2)", "* 3 FETCH (UID 3)"]
    assert await two.ok("NOOP") == ["* 1 EXPUNGE"]
    assert await two.ok("FETCH 1:* UID") == ["* 1 FETCH (UID 2)", "* 2 FETCH (UID 3)"]


async def test_copy_move_and_uidplus(house: House) -> None:
    await filled(house)
    client = await house.client(select="INBOX")
    _, tagged = await client.ask("UID COPY 1:2 Archive")
    assert "[COPYUID " in tagged
    assert tagged.split("]")[0].endswith(" 1:2 1:2")
    assert (await client.ask("COPY 1 Nowhere"))[1].startswith("NO [TRYCREATE]")
    lines = await client.ok("MOVE 2:3 Archive")
    assert lines[0].startswith("* OK [COPYUID ")
    assert lines[1:] == ["* 3 EXPUNGE", "* 2 EXPUNGE"]
    assert await client.ok("STATUS Archive (MESSAGES)") == ["* STATUS Archive (MESSAGES 4)"]
    await client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    assert await client.ok("UID EXPUNGE 9") == []
    assert await client.ok("UID EXPUNGE 1:*") == ["* 1 EXPUNGE"]


async def test_closing_removes_and_unselecting_does_not(house: House) -> None:
    await filled(house, 2)
    client = await house.client(select="INBOX")
    await client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    assert await client.ok("UNSELECT") == []
    assert await client.ok("STATUS INBOX (MESSAGES)") == ["* STATUS INBOX (MESSAGES 2)"]
    await client.ok("SELECT INBOX")
    assert await client.ok("CLOSE") == []
    assert await client.ok("STATUS INBOX (MESSAGES)") == ["* STATUS INBOX (MESSAGES 1)"]


async def test_several_mails_are_appended_all_or_none(house: House) -> None:
    client = await house.client(select="Drafts")
    one, two = mail("One"), mail("Two")
    command = b"APPEND Drafts (\\Draft) {%d+}\r\n%s (\\Seen) {%d+}\r\n%s" % (len(one), one, len(two), two)
    lines, tagged = await client.ask(command)
    assert lines == ["* 2 EXISTS"]
    assert tagged.split("]")[0].endswith(" 1:2")
    assert await client.ok("FETCH 1:2 FLAGS") == ["* 1 FETCH (FLAGS (\\Draft))", "* 2 FETCH (FLAGS (\\Seen))"]
    assert (await client.append("Nowhere", one)).startswith("NO [TRYCREATE]")
    assert (await client.append("Drafts", b"")).startswith("OK")
    await house.store.database.execute("UPDATE account SET quota_bytes = 1000")
    command = b"APPEND Drafts {%d+}\r\n%s {%d+}\r\n%s" % (len(one), one, 900, b"x" * 900)
    assert (await client.ask(command))[1].startswith("NO [OVERQUOTA]")
    assert await client.ok("STATUS Drafts (MESSAGES)") == ["* STATUS Drafts (MESSAGES 3)"]
    await house.store.database.execute("UPDATE account SET quota_bytes = 500")
    assert (await client.ask("COPY 1:3 Sent"))[1].startswith("NO [OVERQUOTA]")
    assert await client.ok("STATUS Sent (MESSAGES)") == ["* STATUS Sent (MESSAGES 0)"]
    assert (await client.ok('GETQUOTA ""'))[0].startswith('* QUOTA "" (STORAGE 1 0)')


async def test_replacing_a_draft(house: House) -> None:
    client = await house.client(select="Drafts")
    await client.append("Drafts", mail("Old"))
    new = mail("New")
    lines = await client.ok(b"UID REPLACE 1 Drafts (\\Draft) {%d+}\r\n%s" % (len(new), new))
    assert lines[0].startswith("* OK [APPENDUID ")
    assert "* 1 EXPUNGE" in lines
    assert await client.ok("UID SEARCH ALL") == ["* SEARCH 2"]


async def test_condstore(house: House) -> None:
    await filled(house)
    client = await house.client(select="INBOX", enable="CONDSTORE")
    other = await house.client(select="INBOX")
    (line,) = await client.ok("FETCH 2 MODSEQ")
    before = int(line.split("(")[-1].rstrip(")"))
    await other.ok("STORE 2 +FLAGS.SILENT (\\Seen)")
    lines, tagged = await client.ask(f"STORE 1:3 (UNCHANGEDSINCE {before}) +FLAGS.SILENT (\\Flagged)")
    assert tagged.startswith("OK [MODIFIED 2")
    lines = await client.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {before})")
    assert any(line.startswith("* 2 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (") for line in lines)
    (line,) = await client.ok(f"SEARCH MODSEQ {before + 1}")
    assert " 2" in line
    assert "(MODSEQ " in line


async def test_qresync_tells_what_vanished_and_changed(house: House) -> None:
    await filled(house, 5)
    client = await house.client(enable="QRESYNC")
    lines = await client.ok("SELECT INBOX")
    text = " ".join(lines)
    validity = int(text.split("[UIDVALIDITY ")[1].split("]")[0])
    known = int(text.split("[HIGHESTMODSEQ ")[1].split("]")[0])
    await client.ok("UNSELECT")
    other = await house.client(select="INBOX")
    await other.ok("STORE 4 +FLAGS.SILENT (\\Seen)")
    await other.ok("STORE 2:3 +FLAGS.SILENT (\\Deleted)")
    await other.ok("EXPUNGE")
    lines = await client.ok(f"SELECT INBOX (QRESYNC ({validity} {known} 1:5 (1,2 1,2)))")
    assert "* VANISHED (EARLIER) 2:3" in lines
    assert [line for line in lines if line.startswith("* 2 FETCH (UID 4 FLAGS (\\Seen) MODSEQ (")]
    # With another UIDVALIDITY nothing is told but the folder itself.
    assert not [
        line
        for line in await client.ok(f"SELECT INBOX (QRESYNC ({validity + 1} {known}))")
        if "VANISHED" in line
    ]
    await other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    await other.ok("EXPUNGE")
    assert await client.ok("NOOP") == ["* VANISHED 1"]
    assert await client.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {known} VANISHED)")
    await client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    lines, tagged = await client.ask("EXPUNGE")
    assert lines == ["* VANISHED 4"]
    assert tagged.startswith("OK [HIGHESTMODSEQ ")


async def test_uidonly(house: House) -> None:
    await filled(house, 2)
    client = await house.client(select="INBOX", enable="UIDONLY")
    assert await client.ok("UID FETCH 1:* FLAGS") == ["* 1 UIDFETCH (FLAGS ())", "* 2 UIDFETCH (FLAGS ())"]
    assert (await client.ask("FETCH 1 FLAGS"))[1].startswith("BAD [UIDREQUIRED]")
    await client.ok("UID STORE 1 +FLAGS.SILENT (\\Deleted)")
    assert await client.ok("EXPUNGE") == ["* VANISHED 1"]


async def test_idle_hears_of_everything_from_every_worker(house: House) -> None:
    await filled(house, 2)
    client = await house.client(select="INBOX", worker=1)
    tag = client.send("IDLE")
    assert (await client.line()).startswith(b"+ ")
    await filled(house, 1)  # its sink announces to nobody: only a look finds it
    other = await house.client(select="INBOX")
    await other.ok("STORE 1 +FLAGS.SILENT (\\Seen)")
    assert {await client.line(), await client.line()} == {b"* 3 EXISTS", b"* 1 FETCH (FLAGS (\\Seen))"}
    await other.ok("STORE 2 +FLAGS.SILENT (\\Deleted)")
    assert b"\\Deleted" in await client.line()
    await other.ok("EXPUNGE")
    assert await client.line() == b"* 2 EXPUNGE"
    client.writer.write(b"DONE\r\n")
    assert (await client.answer(tag))[1].startswith("OK")
    assert (await client.ask("NOOP"))[1].startswith("OK")


async def test_a_folder_that_is_deleted_ends_sessions_in_it(house: House) -> None:
    client = await house.client()
    await client.ok("CREATE Gone")
    other = await house.client(select="Gone")
    tag = other.send("IDLE")
    await other.line()
    await client.ok("DELETE Gone")
    assert (await other.line()).startswith(b"* BYE")
    await other.answer(tag)
    assert await other.reader.read() == b""


async def test_starttls_and_compression(house: House) -> None:
    client = await house.connect()
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    await client.ok("STARTTLS")
    await client.writer.start_tls(context)
    (line,) = await client.ok("CAPABILITY")
    assert "STARTTLS" not in line
    await client.ok("LOGIN anna@test.example secret")
    await client.ok("COMPRESS DEFLATE")
    deflater, inflater = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
    client.writer.write(deflater.compress(b"x NOOP\r\n") + deflater.flush(zlib.Z_SYNC_FLUSH))
    said = b""
    while b"\r\n" not in said:
        said += inflater.decompress(await client.reader.read(1000))
    assert said.startswith(b"x OK")


async def test_draining_says_goodbye(house: House) -> None:
    client = await house.client(select="INBOX")
    idle = await house.client(select="INBOX")
    idle.send("IDLE")
    await idle.line()
    await house.listeners[0].drain(5)
    for each in (client, idle):
        assert (await each.line()).startswith(b"* BYE [UNAVAILABLE]")


async def test_a_mail_that_is_cut_off_is_not_stored(house: House) -> None:
    client = await house.client()
    client.writer.write(b"a APPEND INBOX {1000}\r\n")
    assert (await client.line()).startswith(b"+")
    client.writer.write(b"half of it")
    await client.close()
    other = await house.client()
    assert await other.ok("STATUS INBOX (MESSAGES)") == ["* STATUS INBOX (MESSAGES 0)"]
    # LOGOUT inside a literal is part of the literal.
    assert await other.ok(b"APPEND INBOX {10+}\r\na LOGOUT\r\n") == []


async def test_renaming_the_inbox_moves_its_mails(house: House) -> None:
    await filled(house, 2)
    client: Client = await house.client()
    await client.ok("RENAME INBOX Old")
    assert await client.ok("STATUS Old (MESSAGES)") == ["* STATUS Old (MESSAGES 2)"]
    assert await client.ok("STATUS INBOX (MESSAGES)") == ["* STATUS INBOX (MESSAGES 0)"]
    account = await house.store.database.fetchval("SELECT min(id) FROM account")
    assert (await house.store.folders.get_by_role(account, Role.INBOX)).name == "INBOX"
