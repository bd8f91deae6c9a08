"""Export to Maildir, import from Maildir and mbox: nothing lost, nothing twice."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.mailstore.entries import Entry
from postroad.mailstore.errors import BadFolderName
from postroad.mailstore.exporting import Export
from postroad.mailstore.flags import Flag, FlagChange
from postroad.mailstore.folder_names import folder_name
from postroad.mailstore.folders import Role
from postroad.mailstore.importing import Import, ImportProgress, NothingToImport, clean_folder_name
from postroad.mailstore.maildir import (
    directory_name,
    flags_of_file,
    folder_of_directory,
    info,
    utf7_decode,
    utf7_encode,
)
from postroad.mailstore.mbox import NotAnMbox, split_mbox
from postroad.mailstore.source import BadMail, SourceMail

from .conftest import Store, mail

FROM = b"From anna@test.example Fri Jan  2 03:04:05 2026\n"


def importing(store: Store) -> Import:
    return Import(store.database, store.messages, store.folders, store.changes, store.clock)


def exporting(store: Store) -> Export:
    return Export(store.database, store.messages, store.folders)


async def everything(store: Store, account: int) -> list[tuple[object, ...]]:
    """What an account holds, apart from ids."""
    found: list[tuple[object, ...]] = []
    for folder in await store.folders.list(account):
        for entry in await store.entries.page(account, folder.id, limit=1000):
            content = await store.messages.content(entry.message_id)
            found.append(
                (folder.name, content.prefix + content.body, entry.flags, entry.keywords, entry.received_at)
            )
    return sorted(found, key=repr)


@given(st.text(max_size=60))
def test_utf7_round_trips(text: str) -> None:
    try:
        text.encode("utf-16-be")
    except UnicodeEncodeError:
        return
    encoded = utf7_encode(text)
    assert utf7_decode(encoded) == text
    assert encoded.isascii() and "." not in encoded and (encoded.isprintable() or not encoded)


@pytest.mark.parametrize(
    ("text", "encoded"),
    [("台北", "&U,BTFw-"), ("A&B", "A&-B"), ("v1.0", "v1&AC4-0"), ("~peter/mail", "~peter/mail")],
)
def test_utf7_as_the_standard_has_it(text: str, encoded: str) -> None:
    assert utf7_encode(text) == encoded
    assert utf7_decode(encoded) == text


@given(st.text(max_size=80))
def test_folder_names_survive_as_directories(text: str) -> None:
    try:
        name = folder_name(text)
    except BadFolderName:
        assert folder_name(clean_folder_name(text))
        return
    directory = directory_name(name)
    assert len(directory.encode()) <= 255 and "/" not in directory
    if "~" not in directory:
        assert folder_of_directory(directory) == name


@given(st.integers(0, 31), st.sets(st.sampled_from("abcdefg")))
def test_flags_survive_as_letters(bits: int, words: set[str]) -> None:
    letters = {f"word-{letter}": letter for letter in "abcdefg"}
    keywords = tuple(sorted(f"word-{letter}" for letter in words))
    name = "1.2.host" + info(Flag(bits), keywords, letters)
    assert flags_of_file(name, {letter: word for word, letter in letters.items()}) == (Flag(bits), keywords)


async def filled(store: Store) -> int:
    account = await store.account()
    inbox = await store.inbox(account)
    for number in range(4):
        store.clock.move(hours=1)
        await store.deliver([account], mail(f"mail {number}", message_id=f"{number}@x"))
    await store.deliver([account], mail("large", "文" * 10_000))
    await store.deliver([account], mail("same"))
    await store.deliver([account], mail("same"))
    await store.entries.set_flags(
        account, inbox, [1, 2], FlagChange.adding(Flag.SEEN | Flag.ANSWERED, ["work"])
    )
    await store.entries.set_flags(account, inbox, [2], FlagChange.adding(Flag.FLAGGED, ["$label1"]))
    deep = await store.folders.create(account, "客户.cn/A & B/" + "长" * 60)
    await store.entries.copy(account, inbox, [2, 3], deep.id)
    sent = (await store.folders.get_by_role(account, Role.SENT)).id
    await store.append.put(account, sent, mail("out"), Flag.SEEN)
    return account


async def test_what_is_exported_comes_back_the_same(store: Store, tmp_path: Path) -> None:
    account, other = await filled(store), await store.account("other")
    report = await exporting(store).run(account, tmp_path / "out")
    assert (report.written, report.skipped_count) == (10, 0)
    taken = await importing(store).run(other, tmp_path / "out")
    assert (taken.imported, taken.bad_count) == (10, 0)
    assert await everything(store, other) == await everything(store, account)


async def test_both_can_be_run_again(store: Store, tmp_path: Path) -> None:
    account, other = await filled(store), await store.account("other")
    await exporting(store).run(account, tmp_path / "out")
    await importing(store).run(other, tmp_path / "out")
    inbox = await store.inbox(account)
    await store.entries.set_flags(account, inbox, [3], FlagChange.adding(Flag.DELETED))
    await store.deliver([account], mail("new one"))
    again = await exporting(store).run(account, tmp_path / "out")
    assert (again.written, again.kept) == (1, 10)
    assert len(os.listdir(tmp_path / "out" / "cur")) == 8
    taken = await importing(store).run(other, tmp_path / "out")
    assert (taken.imported, taken.known) == (1, 10)
    assert len(await everything(store, other)) == 11


async def test_a_missing_blob_is_reported(store: Store, tmp_path: Path) -> None:
    store.is_damaged = True
    account = await filled(store)
    await store.blobs.delete(
        [await store.database.fetchval("SELECT blob FROM content WHERE blob IS NOT NULL")]
    )
    report = await exporting(store).run(account, tmp_path / "out")
    assert (report.written, report.skipped_count, len(report.skipped)) == (9, 1, 1)


MBOX = (
    FROM + b"Subject: one\nStatus: RO\nX-Status: F\n\nFirst line\n>From the start\n>>From twice\nFrom here "
    b"on it is prose\n\n"
    b"From prose, too, at noon\n\n"
    b"From - Sat Jan  3 10:00:00 2026 +0800\r\nSubject: two\r\nX-Mozilla-Status: 0003\r\n\r\nCRLF "
    b"inside\r\n\r\n"
    b"From 1234@xxx Sun Jan 04 00:00:00 +0000 2026\nSubject: three\nX-Gmail-Labels: "
    b"=?utf-8?Q?=E6=94=B6=E4=BB=B6?=,Unread,Starred\n\nx\n"
)


def test_mbox_is_split_where_mails_begin() -> None:
    mails = [each for each in split_mbox(io.BytesIO(MBOX), "test", "INBOX") if isinstance(each, SourceMail)]
    assert [each.body.split(b"\r\n")[0] for each in mails] == [
        b"Subject: one",
        b"Subject: two",
        b"Subject: three",
    ]
    assert mails[0].body.endswith(
        b"\r\n\r\nFirst line\r\nFrom the start\r\n>From twice\r\nFrom here on it is prose\r\n\r\n"
        b"From prose, too, at noon\r\n"
    )
    assert mails[1].body.endswith(b"\r\n\r\nCRLF inside\r\n")
    assert [each.flags for each in mails] == [
        Flag.SEEN | Flag.FLAGGED,
        Flag.SEEN | Flag.ANSWERED,
        Flag.FLAGGED,
    ]
    assert [each.received_at.isoformat() for each in mails if each.received_at] == [
        "2026-01-02T03:04:05+00:00",
        "2026-01-03T02:00:00+00:00",
        "2026-01-04T00:00:00+00:00",
    ]
    assert sum(each.source_bytes for each in mails) == len(MBOX)


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_escaped_mails_come_out_of_an_mbox_as_they_went_in(bodies: list[bytes]) -> None:
    box = b""
    expected = []
    for body in bodies:
        text = body.replace(b"\r", b"").replace(b"\0", b"") + b"\n"
        expected.append(text.replace(b"\n", b"\r\n"))
        lines = [
            b">" + line if line.lstrip(b">").startswith(b"From ") else line
            for line in text.splitlines(keepends=True)
        ]
        box += FROM + b"".join(lines) + b"\n"
    mails = [each for each in split_mbox(io.BytesIO(box), "test", "INBOX") if isinstance(each, SourceMail)]
    assert [each.body for each in mails] == expected


@given(st.binary(max_size=300))
def test_any_bytes_are_split_without_error(data: bytes) -> None:
    mails = list(split_mbox(io.BytesIO(FROM + data), "test", "INBOX"))
    assert sum(each.source_bytes for each in mails) == len(FROM) + len(data)


def test_oversized_mails_are_passed_over_and_the_next_is_read() -> None:
    box = FROM + b"x" * 5000 + b"\n\n" + FROM + b"Subject: small\n\nok\n"
    large, small = split_mbox(io.BytesIO(box), "test", "INBOX", max_mail=1000)
    assert isinstance(large, BadMail) and isinstance(small, SourceMail)
    assert large.source_bytes + small.source_bytes == len(box)
    with pytest.raises(NotAnMbox):
        list(split_mbox(io.BytesIO(b"Subject: no\n\n"), "test", "INBOX"))
    assert list(split_mbox(io.BytesIO(b""), "test", "INBOX")) == []


async def test_an_mbox_file_is_imported_once(store: Store, tmp_path: Path) -> None:
    account = await store.account()
    path = tmp_path / "archive"
    path.write_bytes(MBOX + b"\n" + FROM + b"Subject: twin\n\n\n" + FROM + b"Subject: twin\n\n\n")
    told: list[ImportProgress] = []
    report = await importing(store).run(account, path, "旧邮件/2025", told.append)
    assert (report.imported, report.known, report.bad_count) == (5, 0, 0)
    assert told[-1].done_bytes == told[-1].total_bytes == path.stat().st_size
    again = await importing(store).run(account, path, "旧邮件/2025")
    assert (again.imported, again.known) == (0, 5)
    folder = await store.folders.get_by_name(account, "旧邮件/2025")
    entries = await store.entries.page(account, folder.id)
    assert [entry.subject for entry in entries] == ["twin", "twin", "three", "two", "one"]
    assert entries[4].flags == Flag.SEEN | Flag.FLAGGED


async def test_a_directory_of_mbox_files(store: Store, tmp_path: Path) -> None:
    account = await store.account()
    (tmp_path / "Work.sbd").mkdir()
    (tmp_path / "Sent.mbox").mkdir()
    for name in ("Inbox", "Work", "Work.sbd/2024", "Sent.mbox/mbox", "Deleted Items"):
        (tmp_path / name).write_bytes(FROM + b"Subject: " + name.encode() + b"\n\n")
    (tmp_path / "Inbox.msf").write_text("not a mailbox")
    assert (await importing(store).run(account, tmp_path)).imported == 5
    held = {str(row[0]) for row in await everything(store, account)}
    assert held == {"INBOX", "Work", "Work/2024", "Sent", "Trash"}


async def test_strange_maildirs(store: Store, tmp_path: Path) -> None:
    account = await store.account()
    for name in (
        "cur",
        "new",
        "tmp",
        ".中文.直接/cur",
        ".&Bad;-/cur",
        "Nested/Deep/cur",
        ".a%b/cur",
        ".too/new",
    ):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / "new" / "1.host").write_bytes(mail("new").replace(b"\r\n", b"\n"))
    (tmp_path / "cur" / "2.host;2,FS").write_bytes(mail("flagged"))
    (tmp_path / "cur" / "3.host:2,Sab").write_bytes(b"")
    (tmp_path / "dovecot-keywords").write_text("0 bad keyword\n1 $Label2\n99 x\nnonsense\n")
    (tmp_path / "cur" / "4.host:2,").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".中文.直接" / "cur" / "1.x").write_bytes(mail("utf-8"))
    (tmp_path / ".&Bad;-" / "cur" / "1.x").write_bytes(mail("bad utf-7"))
    (tmp_path / "Nested" / "Deep" / "cur" / "1.x").write_bytes(mail("nested"))
    (tmp_path / ".a%b" / "cur" / "1.x").write_bytes(mail("wildcard"))
    report = await importing(store).run(account, tmp_path)
    assert (report.imported, report.bad_count) == (7, 1)
    held = {str(row[0]) for row in await everything(store, account)}
    assert held == {"INBOX", "中文/直接", "&Bad;-", "Nested/Deep", "a_b"}

    async def entry(subject: str) -> Entry:
        inbox = await store.inbox(account)
        return next(each for each in await store.entries.page(account, inbox) if each.subject == subject)

    assert (await entry("flagged")).flags == Flag.FLAGGED | Flag.SEEN
    assert (await entry("")).keywords == ("$label2",)
    new = await entry("new")
    assert (await store.messages.content(new.message_id)).body == mail("new")


async def test_more_keywords_than_fit_are_left_out(store: Store, tmp_path: Path) -> None:
    account = await store.account()
    inbox = await store.inbox(account)
    await store.fill(account, 1)
    await store.entries.set_flags(
        account, inbox, [1], FlagChange.adding(Flag(0), [f"k{n}" for n in range(100)])
    )
    (tmp_path / "cur").mkdir()
    (tmp_path / "dovecot-keywords").write_text("0 more\n")
    (tmp_path / "cur" / "1.host:2,Sa").write_bytes(mail("x"))
    assert (await importing(store).run(account, tmp_path)).imported == 1
    assert (await store.entries.get(account, inbox, 2)).keywords == ()


async def test_what_is_no_store_is_refused(store: Store, tmp_path: Path) -> None:
    account = await store.account()
    (tmp_path / "text").write_text("hello")
    for path in (tmp_path / "text", tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NothingToImport):
            await importing(store).run(account, path)
    (tmp_path / "empty").write_bytes(b"")
    assert (await importing(store).run(account, tmp_path / "empty")).imported == 0
