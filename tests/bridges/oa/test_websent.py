"""Rows of `websent` become mails: what arrives, and what is refused and told (section 5 of the documents)."""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
from email.message import EmailMessage
from typing import Any

import pytest

from postroad.bridges.oa.outgoing import Outgoing
from postroad.bridges.oa.retention import WebsentRetention
from postroad.message.address import Address
from tests.bridges.oa.conftest import Oa
from tests.transport.conftest import entered

ANNA = "anna@here.example"


def read(content: bytes) -> EmailMessage:
    """Read a raw mail with the standard library."""
    return email.message_from_bytes(content, policy=email.policy.default)


async def inbox(oa: Oa, address: str = ANNA, role: str = "inbox") -> list[bytes]:
    """What an account of the house finds."""
    rows = await oa.house.database.fetch(
        "SELECT c.prefix || c.body AS mail FROM entry e JOIN folder f ON f.id = e.folder_id "
        "JOIN account a ON a.id = f.account_id JOIN content c ON c.message_id = e.message_id "
        "WHERE a.address = $1 AND f.role = $2 ORDER BY e.uid",
        address,
        role,
    )
    return [row["mail"] for row in rows]


async def test_a_short_insert_is_a_text_mail(oa: Oa) -> None:
    await oa.write(MailSubject="你好", MailBodyText="第一行\r\n第二行")
    mail = read(await oa.arrived())
    assert (mail["From"], mail["To"], mail["Subject"]) == (ANNA, "bert@there.example", "你好")
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().splitlines() == ["第一行", "第二行"]
    row = await oa.row()
    assert (row["mailstatus"], row["errorinfo"]) == (0, "")
    assert len(row["processedtime"]) == 19
    assert not await inbox(oa, role="sent")


async def test_html_with_two_attachments_and_chinese_names(oa: Oa) -> None:
    mail_id = "AA12010100000001"
    first, second = b"\r\n\r\nbytes that begin like the prefix\0", bytes(range(256)) * 300
    oa.file(mail_id, "0001", first)
    oa.file(mail_id, "0002", second)
    await oa.attach(
        mail_id, "0001", "合同（终稿）.doc", AttachSize=len(first), ContentType="application/msword"
    )
    await oa.attach(mail_id, "0002", "报价 单.xls", AttachSize=len(second), Account=ANNA)
    await oa.write(
        mail_id,
        Account="ANNA@Here.Example",
        MailFrom='"张三" < anna@here.example>',
        MailTo='"李四" <bert@there.example>, 王五 <cleo@there.example>',
        MailCc="dora@there.example",
        MailBcc="emil@there.example",
        MailDate="2026-01-02 08:09:10",
        MailSubject="合同与报价",
        MailBodyType=1,
        MailBodyHtml="<p>您好，<b>请看附件</b>。</p>",
        attachmentflag=2,
        savetosent=1,
        priority=1,
        replyto='"办公室" <office@here.example>',
        isneedreceipt=1,
    )
    mail = read(await oa.arrived(4))
    assert mail["From"] == "张三 <anna@here.example>"
    assert mail["To"] == "李四 <bert@there.example>, 王五 <cleo@there.example>"
    assert mail["Cc"] == "dora@there.example"
    assert mail["Bcc"] is None
    assert sorted(oa.sink.recipients) == [
        f"{name}@there.example" for name in ("bert", "cleo", "dora", "emil")
    ]
    assert mail["Date"] == "Fri, 02 Jan 2026 08:09:10 +0800"
    assert mail["Reply-To"] == "办公室 <office@here.example>"
    assert mail["Disposition-Notification-To"] == "张三 <anna@here.example>"
    assert mail["X-Priority"].startswith("1")
    html = mail.get_body(("html",))
    assert html is not None
    assert "<b>请看附件</b>" in html.get_content()
    files = list(mail.iter_attachments())
    assert [(file.get_filename(), file.get_content_type()) for file in files] == [
        ("合同（终稿）.doc", "application/msword"),
        ("报价 单.xls", "application/octet-stream"),
    ]
    assert [file.get_content() for file in files] == [first, second]
    assert len(await inbox(oa, role="sent")) == 1


async def test_attachments_in_the_table_instead_of_files(oa: Oa) -> None:
    await oa.attach("AA1", "0001", "../../etc/passwd", Content=b"\0\1\2", AttachSize=3)
    await oa.write("AA1", attachmentflag=2)
    mail = read(await oa.arrived())
    (file,) = mail.iter_attachments()
    assert file.get_content() == b"\0\1\2"
    assert "/" not in str(file.get_filename())


async def test_a_scheduled_one_waits_for_its_time_in_the_servers_zone(oa: Oa) -> None:
    await oa.write(Sendtime="2999-01-01 08:00:00")
    await oa.send()
    row = await oa.row()
    assert row["mailstatus"] == 2
    due = await oa.house.database.fetchval("SELECT due_at FROM oa_websent_state")
    assert due.isoformat() == "2999-01-01T00:00:00+00:00"
    await oa.house.database.execute("UPDATE oa_websent_state SET due_at = now()")
    await oa.house.database.execute("UPDATE oa.websent SET sendtime = '2020-01-01 08:00:00'")
    await oa.arrived()
    assert (await oa.row())["mailstatus"] == 0


async def test_one_bad_recipient_among_good_ones_is_bounced_to_the_account(oa: Oa) -> None:
    await oa.write(MailTo="bert@there.example, nobody@here.example, unknown.u@there.example, not-an-address")
    await oa.arrived()
    assert (await oa.row())["mailstatus"] == 0

    async def all_told() -> bool:
        return len(await inbox(oa)) == 3

    await oa.house.until(all_told)
    parts = [part for notice in await inbox(oa) for part in read(notice).walk()]
    told = "".join(part.get_content() for part in parts if part.get_content_type() == "text/plain")
    for bad in ("nobody@here.example", "unknown.u@there.example", "not-an-address"):
        assert bad in told
    assert oa.sink.recipients == ["bert@there.example"]


async def test_local_recipients_find_it_in_their_inbox(oa: Oa) -> None:
    await oa.house.account("bo@here.example")
    await oa.write(MailTo="BO@here.example", MailBodyText="hello")
    await oa.send()
    (mail,) = await inbox(oa, "bo@here.example")
    assert mail.startswith(b"Return-Path: <anna@here.example>\r\nReceived: by ")
    count = await oa.house.database.fetchrow(
        "SELECT count(*) AS all, count(*) FILTER (WHERE isread = 0) AS new, min(mailfrom) AS sender, "
        "min(mailto) AS recipient FROM oa.webreceive WHERE account = 'bo@here.example'"
    )
    assert count is not None
    assert tuple(count) == (1, 1, ANNA, "BO@here.example")


async def test_a_draft_is_kept_and_not_sent(oa: Oa) -> None:
    await oa.write(savetodraft=1, MailBcc="secret@there.example")
    await oa.send()
    (draft,) = await inbox(oa, role="drafts")
    assert b"Bcc: secret@there.example\r\n" in draft
    assert not oa.sink.mails


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown account": ({"Account": "ghost@here.example"}, "unknown account"),
    "something that is no account": ({"Account": "ghost"}, "unknown account"),
    "a forbidden sender": ({"MailFrom": "Boss <boss@there.example>"}, "may not write mail From"),
    "a sender that is none": ({"MailFrom": "<@>"}, "MailFrom"),
    "no recipient": ({"MailTo": " , "}, "no recipient"),
    "no valid recipient": ({"MailTo": "abc, x@@y"}, "no valid recipient"),
    "an unknown recipient": ({"MailTo": "ghost@here.example"}, "is not known here"),
    "a bad date": ({"MailDate": "yesterday"}, "MailDate"),
    "a date of no calendar": ({"Sendtime": "2026-02-30 00:00:00"}, "Sendtime"),
    "a subject that is too long": ({"MailSubject": "x" * 1024}, "MailSubject"),
    "a mail that is too large": ({"MailBodyText": "x" * 2_000_001}, "larger"),
    "attachments that are not told of": ({"attachmentflag": 2}, "websentattach has none"),
}


@pytest.mark.parametrize(("columns", "reason"), REFUSED.values(), ids=REFUSED.keys())
async def test_refused(oa: Oa, columns: dict[str, Any], reason: str) -> None:
    await oa.write(**columns)
    assert reason in await oa.refused()
    notices = await inbox(oa)
    if "Account" in columns:
        assert not notices
    else:
        (notice,) = notices
        told = read(notice)
        assert told["Auto-Submitted"] == "auto-generated"
        assert "AA26010100000001" in told.get_content()
        assert told["From"].startswith("Mail Delivery System")


async def test_a_disabled_account_is_refused_and_finds_the_notice_later(oa: Oa) -> None:
    await oa.house.database.execute("UPDATE account SET is_disabled = true")
    await oa.write()
    assert "disabled" in await oa.refused()
    assert len(await inbox(oa)) == 1


@pytest.mark.parametrize("case", ["missing", "size", "link", "prefix", "pipe", "id", "number"])
async def test_a_file_that_is_not_what_it_should_be(oa: Oa, case: str) -> None:
    mail_id = "AA-1" if case == "id" else "AA1"
    oa.files.make()
    file = oa.files.directory / "AA1_0001.dat"
    if case == "size":
        oa.file("AA1", "0001", b"four")
    elif case == "link":
        (oa.files.directory / "real").write_bytes(b"\r\n\r\nfive!")
        file.symlink_to(oa.files.directory / "real")
    elif case == "prefix":
        file.write_bytes(b"five!")
    elif case == "pipe":
        os.mkfifo(file)
    await oa.attach(mail_id, "../1" if case == "number" else "0001", "a.txt", AttachSize=5)
    await oa.write(mail_id, attachmentflag=2)
    assert "attachment" in await oa.refused(mail_id)


async def test_one_that_needs_approval_waits_for_its_manager(oa: Oa) -> None:
    boss = Address.parse("boss@here.example")
    await oa.write("AA1", checkupstatus=1, Manager="Boss@Here.Example", MailSubject="please")
    await oa.write("AA2", checkupstatus=1, Manager="boss@here.example")
    await oa.send()
    assert not oa.sink.mails
    assert [mail.mail_id for mail in await oa.approvals.waiting(boss)] == ["AA1", "AA2"]
    stranger = Address.parse(ANNA)
    assert not await oa.approvals.waiting(stranger)
    assert not await oa.approvals.approve(stranger, "AA1")
    assert not await oa.approvals.reject(stranger, "AA1", "")
    assert await oa.approvals.approve(boss, "AA1")
    assert not await oa.approvals.approve(boss, "AA1")
    assert b"Subject: please" in await oa.arrived()
    assert await oa.approvals.reject(boss, "AA2", "预算不足")
    assert not await oa.approvals.waiting(boss)
    row = await oa.row("AA2")
    assert row["mailstatus"] == -1
    assert "预算不足" in row["errorinfo"]
    assert "预算不足" in read((await inbox(oa))[0]).get_content()
    assert len(oa.sink.mails) == 1


async def test_rows_go_with_their_files_after_thirty_days(oa: Oa, retention: WebsentRetention) -> None:
    oa.file("AA1", "0001", b"x")
    await oa.attach("AA1", "0001", "x", AttachSize=1)
    await oa.write("AA1", attachmentflag=2)
    await oa.write("AA2", MailStatus=0)
    await oa.write("AA3", checkupstatus=1)
    await oa.arrived()
    await retention.sweep()
    assert (oa.files.directory / "AA1_0001.dat").exists()
    oa.house.clock.move(days=31)
    assert await retention.sweep() == 2
    assert not list(oa.files.directory.iterdir())
    rows = await oa.house.database.fetch("SELECT mailid FROM oa.websent")
    assert [row["mailid"] for row in rows] == ["AA3"]
    assert not await oa.house.database.fetchval("SELECT count(*) FROM oa.websentattach")


async def test_two_workers_take_each_row_once(oa: Oa) -> None:
    await oa.house.account("bo@here.example")
    await oa.house.database.execute(
        "INSERT INTO oa.websent (mailid, account, mailto, mailsubject) "
        "SELECT 'AA' || n, 'anna@here.example', 'bo@here.example', 'number ' || n "
        "FROM generate_series(1, 500) n"
    )
    async with entered([oa.house.worker(oa.sink)]) as (other,):
        second = Outgoing(oa.make(other), None)

        async def drain(outgoing: Outgoing) -> None:
            while await outgoing.send_batch():
                pass

        await asyncio.gather(drain(oa.outgoing), drain(second), drain(oa.outgoing))
    mails = await inbox(oa, "bo@here.example")
    assert len(mails) == 500
    assert len({read(mail)["Subject"] for mail in mails}) == 500
    assert await oa.house.database.fetchval("SELECT count(*) FROM oa.websent WHERE mailstatus = 0") == 500


async def test_a_worker_hears_of_a_row_that_waited_for_the_poll(oa: Oa) -> None:
    work = asyncio.create_task(oa.outgoing.run())
    try:
        await oa.write()
        await oa.sink.wait_for(1)
    finally:
        work.cancel()
        await asyncio.wait([work])


@pytest.mark.parametrize(
    ("columns", "is_html", "body"),
    [
        ({"MailBodyType": 1, "MailBodyText": "<p>您好</p>"}, True, "<p>您好</p>"),
        ({"MailBodyType": 1, "MailBodyText": "<p>您好</p>", "MailBodyHtml": ""}, True, "<p>您好</p>"),
        ({"MailBodyType": 0, "MailBodyHtml": "<p>您好</p>"}, True, "<p>您好</p>"),
        ({"MailBodyType": 0, "MailBodyHtml": "3 < 5, 您好"}, False, "3 < 5, 您好"),
        ({"MailBodyHtml": "您好"}, False, "您好"),
        ({"MailBodyType": 1, "MailBodyText": "您好", "MailBodyHtml": "<p>再见</p>"}, True, "<p>再见</p>"),
        ({"MailBodyType": 0, "MailBodyText": "您好", "MailBodyHtml": "<p>再见</p>"}, False, "您好"),
    ],
)
async def test_a_body_in_the_other_column_is_sent(
    oa: Oa, columns: dict[str, Any], is_html: bool, body: str
) -> None:
    await oa.write(**{"MailBodyText": None, **columns})
    mail = read(await oa.arrived())
    html = mail.get_body(("html",))
    assert (html is not None) == is_html
    shown = html if html is not None else mail.get_body(("plain",))
    assert shown is not None and body in shown.get_content()
