"""IMAP over a real store: signing in, folders, selecting, fetching, searching."""

from __future__ import annotations

import re

from .conftest import House, mail

HTML = (
    b"From: =?UTF-8?B?5byg5LiJ?= <zhang@test.example>\r\nTo: group: a@b.example, c@d.example;\r\n"
    b"Subject: =?UTF-8?B?5Lya6K6u6YCa55+l?=\r\nDate: Fri, 02 Jan 2026 23:30:00 -0800\r\n"
    b"Message-ID: <two@test.example>\r\nReferences: <one@test.example>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\n5L2g5aW9IFdvcmxk\r\n--b\r\n"
    b"Content-Type: application/pdf; name=x.pdf\r\nContent-Disposition: attachment; filename=x.pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\nContent-ID: <pic@x>\r\n\r\nAAEC\r\n--b\r\n"
    b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner text\r\n--b--\r\n"
)


async def filled(house: House) -> None:
    client = await house.client()
    assert "APPENDUID" in await client.append("INBOX", mail("One", "First text\r\n"), "(\\Seen $Work) ")
    assert "APPENDUID" in await client.append("INBOX", HTML, '"01-Feb-2025 10:00:00 +0100" ')
    assert "APPENDUID" in await client.append("INBOX", mail("Re: One", "Third\r\n", "three@test.example"))
    await client.close()


async def test_the_greeting_capabilities_and_sign_in(house: House) -> None:
    client = await house.connect()
    (capability,) = await client.ok("CAPABILITY")
    assert "IMAP4rev2" in capability
    assert "STARTTLS" in capability
    assert "QRESYNC" not in capability
    assert (await client.ask("SELECT INBOX"))[1].startswith("BAD")
    assert "AUTHENTICATIONFAILED" in (await client.ask("LOGIN anna@test.example wrong"))[1]
    lines, tagged = await client.ask('LOGIN "anna@test.example" "secret"')
    assert "QRESYNC" in tagged
    assert (await client.ask("LOGIN a b"))[1].startswith("BAD")
    assert (await client.ok('ID ("name" "x" "version" NIL)'))[0].startswith('* ID ("name" "Postroad"')
    assert await client.ok("ENABLE CONDSTORE X-UNKNOWN") == ["* ENABLED CONDSTORE"]
    lines = await client.ok("LOGOUT")
    assert lines[0].startswith("* BYE")
    assert await client.reader.read() == b""


async def test_a_literal_may_be_asked_for_and_tags_of_nothing_are_bad(house: House) -> None:
    client = await house.connect()
    client.writer.write(b"a LOGIN {17}\r\n")
    assert await client.line() == b"+ Go on"
    client.writer.write(b"anna@test.example {6+}\r\nsecret\r\n")
    assert (await client.line()).startswith(b"a OK")
    client.writer.write(b"\r\n* \r\n")
    assert (await client.line()).startswith(b"* BAD")
    assert (await client.line()).startswith(b"* BAD")


async def test_folders_are_listed_made_renamed_and_counted(house: House) -> None:
    client = await house.client()
    assert await client.ok('LIST "" ""') == ['* LIST (\\Noselect) "/" ""']
    assert '* LIST (\\HasNoChildren \\Sent) "/" Sent' in await client.ok('LIST "" *')
    await client.ok('CREATE "Work/&T2CJfw-&-x"')
    assert '* LIST (\\HasNoChildren) "/" Work/&T2CJfw-&-x' in await client.ok('LIST "" "Work/%"')
    assert '* LIST (\\HasChildren) "/" Work' in await client.ok('LIST "" %')
    assert (await client.ask('CREATE "Work"'))[1].startswith("NO [ALREADYEXISTS]")
    await client.ok('RENAME Work "Play"')
    assert (await client.ask("STATUS Work (MESSAGES)"))[1].startswith("NO [NONEXISTENT]")
    await client.append("Play", mail())
    (line,) = await client.ok("STATUS Play (MESSAGES UNSEEN SIZE UIDNEXT DELETED)")
    assert re.fullmatch(r"\* STATUS Play \(MESSAGES 1 UNSEEN 1 SIZE \d+ UIDNEXT 2 DELETED 0\)", line)
    lines = await client.ok('LIST (SUBSCRIBED) "" "*" RETURN (CHILDREN STATUS (MESSAGES))')
    assert "* STATUS Play (MESSAGES 1)" in lines
    await client.ok("UNSUBSCRIBE Play")
    assert not [line for line in await client.ok('LSUB "" "*"') if line.endswith(" Play")]
    assert (await client.ask("DELETE Play"))[1].startswith("NO")
    assert (await client.ask("DELETE INBOX"))[1].startswith("NO [CANNOT]")
    await client.ok("ENABLE UTF8=ACCEPT")
    assert '* LIST (\\HasNoChildren) "/" "Play/你好&x"' in [
        line.replace("佉", "你") for line in await client.ok('LIST "" Play/*')
    ] or [line for line in await client.ok('LIST "" Play/*') if "&x" in line]
    await client.ok("GETQUOTAROOT inbox")


async def test_selecting_tells_everything(house: House) -> None:
    await filled(house)
    client = await house.client()
    lines, tagged = await client.ask("SELECT iNbOx (CONDSTORE)")
    assert tagged.startswith("OK [READ-WRITE]")
    text = "\n".join(lines)
    assert "* 3 EXISTS" in lines
    assert "[UNSEEN 2]" in text
    assert "[UIDNEXT 4]" in text
    assert "[HIGHESTMODSEQ " in text
    assert "$work" in text
    lines, tagged = await client.ask("EXAMINE INBOX")
    assert tagged.startswith("OK [READ-ONLY]")
    assert lines[0].startswith("* OK [CLOSED]")
    assert (await client.ask("STORE 1 +FLAGS (\\Seen)"))[1].startswith("NO [READ-ONLY]")
    assert (await client.ask("SELECT Nowhere"))[1].startswith("NO [NONEXISTENT]")
    assert (await client.ask("FETCH 1 FLAGS"))[1].startswith("BAD")


async def test_fetching_what_is_kept(house: House) -> None:
    await filled(house)
    client = await house.client(select="INBOX")
    assert await client.ok("FETCH 1:* FLAGS") == [
        "* 1 FETCH (FLAGS (\\Seen $work))",
        "* 2 FETCH (FLAGS ())",
        "* 3 FETCH (FLAGS ())",
    ]
    (line,) = await client.ok("UID FETCH 2 (INTERNALDATE ENVELOPE)")
    assert line == (
        '* 2 FETCH (UID 2 INTERNALDATE " 1-Feb-2025 09:00:00 +0000" ENVELOPE ('
        '"Fri, 02 Jan 2026 23:30:00 -0800" '
        '"=?UTF-8?B?5Lya6K6u6YCa55+l?=" (("=?UTF-8?B?5byg5LiJ?=" NIL "zhang" "test.example")) '
        '(("=?UTF-8?B?5byg5LiJ?=" NIL "zhang" "test.example")) '
        '(("=?UTF-8?B?5byg5LiJ?=" NIL "zhang" "test.example")) '
        '((NIL NIL "group" NIL)(NIL NIL "a" "b.example")(NIL NIL "c" "d.example")(NIL NIL NIL NIL)) '
        'NIL NIL NIL "<two@test.example>"))'
    )
    (line,) = await client.ok("FETCH 2 BODYSTRUCTURE")
    assert '("text" "plain" ("charset" "utf-8") NIL NIL "base64" 16 0 NIL NIL NIL NIL)' in line
    assert '"<pic@x>" NIL "base64" 4 NIL ("attachment" ("filename" "x.pdf")) NIL NIL)' in line
    assert '("message" "rfc822" NIL NIL NIL "7bit" 28 (NIL "inner" NIL' in line
    (line,) = await client.ok("FETCH 1 (EMAILID THREADID PREVIEW SAVEDATE RFC822.SIZE MODSEQ)")
    assert 'PREVIEW "First text"' in line
    assert f"RFC822.SIZE {len(mail('One', chr(70) + 'irst text' + chr(13) + chr(10)))}" in line


async def test_fetching_bytes(house: House) -> None:
    await filled(house)
    client = await house.client(select="INBOX")
    (line,) = await client.ok("FETCH 2 BODY.PEEK[]")
    assert line.encode().split(b"\r\n", 1)[1] == HTML + b")"
    assert await client.ok("FETCH 2 BODY.PEEK[1]") == ["* 2 FETCH (BODY[1] {16}\r\n5L2g5aW9IFdvcmxk)"]
    assert await client.ok("FETCH 2 BODY.PEEK[]<5.9>") == [
        "* 2 FETCH (BODY[]<5> {9}\r\n" + HTML[5:14].decode() + ")"
    ]
    assert await client.ok("FETCH 2 BODY.PEEK[3.HEADER]") == [
        "* 2 FETCH (BODY[3.HEADER] {18}\r\nSubject: inner\r\n\r\n)"
    ]
    assert await client.ok("FETCH 2 BODY.PEEK[3.1]") == ["* 2 FETCH (BODY[3.1] {10}\r\ninner text)"]
    assert await client.ok("FETCH 2 BODY.PEEK[9]") == ["* 2 FETCH (BODY[9] NIL)"]
    assert await client.ok("FETCH 2 BINARY.PEEK[2]") == ["* 2 FETCH (BINARY[2] ~{3}\r\n\x00\x01\x02)"]
    assert await client.ok("FETCH 2 BINARY.SIZE[1]") == ["* 2 FETCH (BINARY.SIZE[1] 12)"]
    (line,) = await client.ok("FETCH 1 BODY.PEEK[HEADER.FIELDS (subject from)]")
    assert line == (
        "* 1 FETCH (BODY[HEADER.FIELDS (SUBJECT FROM)] {48}\r\n"
        "From: Anna <anna@test.example>\r\nSubject: One\r\n\r\n)"
    )
    # Reading marks as seen, and says so
    assert await client.ok("FETCH 3 BODY[TEXT]") == ["* 3 FETCH (FLAGS (\\Seen) BODY[TEXT] {7}\r\nThird\r\n)"]
    assert await client.ok("UID FETCH 3 FLAGS") == ["* 3 FETCH (UID 3 FLAGS (\\Seen))"]


async def test_a_long_mail_is_told_in_pieces(house: House) -> None:
    client = await house.client()
    body = mail("Long", "x" * 70 + "\r\n") + b"y" * (LARGE := 900_000) + b"\r\n"
    assert "APPENDUID" in await client.append("INBOX", body)
    await client.ok("SELECT INBOX")
    (line,) = await client.ok("FETCH 1 RFC822")
    assert len(line) > LARGE
    assert line.encode().split(b"\r\n", 1)[1].startswith(body)
    assert (await client.append("INBOX", b"z" * 1_000_001)).startswith("BAD [TOOBIG]")


async def test_sets_as_clients_write_them(house: House) -> None:
    await filled(house)
    client = await house.client(select="INBOX")
    assert len(await client.ok("UID FETCH 3:1,2,1:900 FLAGS")) == 3
    assert await client.ok("UID FETCH *:99 UID") == ["* 3 FETCH (UID 3)"]
    assert await client.ok("UID FETCH 77,88 FLAGS") == []
    assert (await client.ask("FETCH 4 FLAGS"))[1].startswith("BAD")
    assert (await client.ask("FETCH 0 FLAGS"))[1].startswith("BAD")
    assert await client.ok("FETCH *:3 UID") == ["* 3 FETCH (UID 3)"]


async def test_searching(house: House) -> None:
    await filled(house)
    client = await house.client(select="INBOX")

    async def found(program: str) -> str:
        (line,) = await client.ok(f"SEARCH {program}".encode())
        return line.removeprefix("* SEARCH").strip()

    assert await found("ALL") == "1 2 3"
    assert await found("SEEN") == "1"
    assert await found("UNSEEN NOT 3") == "2"
    assert await found("KEYWORD $WORK") == "1"
    assert await found("SUBJECT one") == "1 3"
    assert await found("CHARSET UTF-8 SUBJECT 会议") == "2"
    assert await found("FROM zhang@test") == "2"
    assert await found("FROM 张") == "2"
    assert await found("TO c@d.example") == "2"
    assert await found("BODY irst") == "1"
    assert await found("BODY 你好") == "2"
    assert await found('TEXT "message-id: <three@"') == "3"
    assert await found("BODY {5+}\r\nInner") == "2"
    assert await found("HEADER References one@test") == "2"
    assert await found('HEADER References ""') == "2"
    assert await found("OR BODY third SUBJECT 会议") == "2 3"
    assert await found("NOT (OR BODY third SUBJECT 会议)") == "1"
    assert await found("BEFORE 2-Feb-2025") == "2"
    assert await found("SENTON 2-Jan-2026") == "1 2 3"
    assert await found("SENTSINCE 3-Jan-2026") == ""
    assert await found("LARGER 600") == "2"
    assert await found("UID 2:* SMALLER 600") == "3"
    assert await found("YOUNGER 1000000000") == "1 2 3"
    assert (await client.ask("SEARCH CHARSET KOI8-R ALL"))[1].startswith("NO [BADCHARSET")
    assert (await client.ask("SEARCH NONSENSE"))[1].startswith("BAD")
    tag = client.send("UID SEARCH RETURN (MIN MAX COUNT ALL) UID 1,3")
    assert (await client.answer(tag))[0] == [f'* ESEARCH (TAG "{tag}") UID MIN 1 MAX 3 ALL 1,3 COUNT 2']
    assert await client.ok("SEARCH RETURN (SAVE) SUBJECT one") == []
    assert await client.ok("FETCH $ UID") == ["* 1 FETCH (UID 1)", "* 3 FETCH (UID 3)"]
    tag = client.send("UID SEARCH RETURN (PARTIAL -1:-2) ALL")
    assert (await client.answer(tag))[0] == [f'* ESEARCH (TAG "{tag}") UID PARTIAL (-1:-2 2:3)']


async def test_sorting_and_threading(house: House) -> None:
    await filled(house)
    client = await house.client(select="INBOX")
    assert await client.ok("SORT (REVERSE DATE) UTF-8 ALL") == ["* SORT 2 1 3"]
    assert await client.ok("SORT (SUBJECT ARRIVAL) UTF-8 ALL") == ["* SORT 1 3 2"]
    assert await client.ok("UID SORT (SIZE) UTF-8 NOT 1") == ["* SORT 3 2"]
    assert await client.ok("THREAD REFERENCES UTF-8 ALL") == ["* THREAD (1 (3)(2))"]
    assert await client.ok("THREAD ORDEREDSUBJECT UTF-8 ALL") == ["* THREAD (1 3)(2)"]


async def test_a_part_that_cannot_be_decoded_is_refused_before_a_line_begins(house: House) -> None:
    client = await house.client()
    strange = b"Subject: x\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin 1 a\r\n"
    assert (await client.append("INBOX", strange)).startswith("OK")
    await client.ok("SELECT INBOX")
    for asked in ("BINARY.PEEK[1]", "BODY.PEEK[HEADER.FIELDS (SUBJECT)] BINARY.SIZE[1]"):
        lines, tagged = await client.ask(f"FETCH 1 (FLAGS {asked})")
        assert tagged.startswith("NO [UNKNOWN-CTE]")
        assert lines == []
    assert await client.ok("FETCH 1 BODY.PEEK[1]<0.5>") == ["* 1 FETCH (BODY[1]<0> {5}\r\nbegin)"]
