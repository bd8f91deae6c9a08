"""Writing: drafts that lose nothing, answers, files, sending."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from postroad.config import Web
from postroad.db.pool import Database
from postroad.mailstore.flags import Flag
from postroad.mailstore.folders import Role
from postroad.message.summary import summarise
from postroad.web.mail.composing import MAX_UPLOADS
from tests.web.client import Visitor
from tests.web.conftest import LIN, Lin
from tests.web.house import House, open_house
from tests.web.mails import mail

FORM = {
    "to": "Bert <bert@demo.example>",
    "subject": "报价",
    "html": "<div>您好, <b>Bert</b></div>",
    "is_rich": "1",
    "mode": "new",
}


async def the_only(house: House, account_id: int, role: Role) -> bytes:
    """The content of the one mail in a folder."""
    [entry] = await house.entries.page(account_id, await house.folder(account_id, role))
    return (await house.messages.content(entry.message_id)).body


async def test_a_draft_is_kept_whole_and_each_save_takes_the_place_of_the_last(
    house: House, lin: Lin
) -> None:
    first = (await lin.visitor.act("/mail/compose/save", {**FORM, "bcc": "c@x.example"})).json()
    second = (
        await lin.visitor.act("/mail/compose/save", {**FORM, "subject": "新", "draft": first["draft"]})
    ).json()
    assert first["draft"] != second["draft"]
    content = summarise(await the_only(house, lin.id, Role.DRAFTS))
    assert content.subject == "新"
    page = (await lin.visitor.get(f"/mail/compose?draft={second['draft']}")).text
    assert "bert@demo.example" in page
    assert "您好, &lt;b&gt;Bert&lt;/b&gt;" in page
    gone = await lin.visitor.act("/mail/compose/save", {**FORM, "draft": first["draft"]})
    assert gone.status == 409
    await lin.visitor.act("/mail/compose/discard", {"draft": second["draft"]})
    assert await house.entries.page(lin.id, await house.folder(lin.id, Role.DRAFTS)) == []


async def test_files_stay_with_the_draft_until_they_are_removed(house: House, lin: Lin) -> None:
    first = (await lin.visitor.upload("/mail/compose/attachments", FORM, "报价单.txt", b"one" * 1000)).json()
    assert [(file["name"], file["size"]) for file in first["attachments"]] == [("报价单.txt", 3000)]
    fields = {**FORM, "draft": first["draft"], "keep": first["attachments"][0]["section"]}
    second = (
        await lin.visitor.upload("/mail/compose/attachments", fields, "b.bin", bytes(range(256)))
    ).json()
    assert [file["name"] for file in second["attachments"]] == ["报价单.txt", "b.bin"]
    fields = {**FORM, "draft": second["draft"], "keep": second["attachments"][1]["section"]}
    third = (await lin.visitor.act("/mail/compose/save", fields)).json()
    assert [file["name"] for file in third["attachments"]] == ["b.bin"]


async def test_a_sent_mail_arrives_lies_in_sent_and_its_draft_is_gone(house: House, lin: Lin) -> None:
    bert = await house.account("bert@demo.example", "Bert")
    draft = (
        await lin.visitor.upload(
            "/mail/compose/attachments", {**FORM, "bcc": "bert@demo.example"}, "a.txt", b"file"
        )
    ).json()
    fields = {**FORM, "bcc": LIN, "draft": draft["draft"], "keep": draft["attachments"][0]["section"]}
    answer = await lin.visitor.act("/mail/compose/send", fields)
    assert answer.status == 200, answer.text
    content = await the_only(house, bert, Role.INBOX)
    summary = summarise(content)
    assert (summary.subject, summary.has_attachments) == ("报价", True)
    assert str(summary.header_from[0]) == f"林晓 <{LIN}>"
    assert b"\nBcc:" not in content
    assert await house.entries.page(lin.id, await house.folder(lin.id, Role.DRAFTS)) == []
    [sent] = await house.entries.page(lin.id, await house.folder(lin.id, Role.SENT))
    assert sent.is_seen
    assert len(await house.entries.page(lin.id, lin.inbox)) == 1  # the blind copy


async def test_an_answer_keeps_the_thread_and_marks_the_answered_mail(house: House, lin: Lin) -> None:
    await house.account("bert@demo.example", "Bert")
    uid = await house.deliver(
        lin.id,
        mail(
            "Question",
            "What is it?\n",
            sender="bert@demo.example",
            to=f"{LIN}, c@x.example",
            message_id="q@x.example",
        ),
    )
    source = f"{lin.inbox}.{uid}"
    page = (await lin.visitor.get(f"/mail/compose?mode=reply&source={source}")).text
    assert 'value="Re: Question"' in page
    assert 'name="to" value="bert@demo.example"' in page
    assert "What is it?" in page
    everybody = (await lin.visitor.get(f"/mail/compose?mode=reply-all&source={source}")).text
    assert 'name="cc" value="c@x.example"' in everybody
    fields = {**FORM, "subject": "Re: Question", "source": source, "mode": "reply", "to": "bert@demo.example"}
    saved = (await lin.visitor.act("/mail/compose/save", fields)).json()
    answer = await lin.visitor.act("/mail/compose/send", {**fields, "source": "", "draft": saved["draft"]})
    assert answer.json()["next"] == f"/mail/message/{lin.inbox}/{uid}"
    assert Flag.ANSWERED in (await house.entries.get(lin.id, lin.inbox, uid)).flags
    sent = summarise(await the_only(house, lin.id, Role.SENT))
    assert sent.in_reply_to == ["q@x.example"]
    assert sent.thread_root == "q@x.example"


async def test_a_forward_takes_the_files_along(house: House, lin: Lin) -> None:
    bert = await house.account("bert@demo.example", "Bert")
    uid = await house.deliver(
        lin.id,
        mail(
            "Contract",
            html="<p>See file</p>",
            message_id="f@x.example",
            files=(("c.pdf", "application/pdf", b"%PDF-1.7"),),
        ),
    )
    source = f"{lin.inbox}.{uid}"
    page = (await lin.visitor.get(f"/mail/compose?mode=forward&source={source}")).text
    section = re.search(r'data-section="([^"]+)"', page)
    assert section and "c.pdf" in page
    fields = {**FORM, "subject": "Fwd: Contract", "source": source, "mode": "forward", "keep": section[1]}
    assert (await lin.visitor.act("/mail/compose/send", fields)).status == 200
    content = await the_only(house, bert, Role.INBOX)
    assert b"c.pdf" in content
    assert "$forwarded" in (await house.entries.get(lin.id, lin.inbox, uid)).keywords


async def test_what_cannot_be_sent_is_said_and_the_draft_stays(house: House, lin: Lin) -> None:
    saved = (await lin.visitor.act("/mail/compose/save", FORM)).json()
    fields = {**FORM, "draft": saved["draft"]}
    nobody = await lin.visitor.act("/mail/compose/send", {**fields, "to": ""})
    assert (nobody.status, nobody.json()["field"]) == (422, "to")
    bad = await lin.visitor.act("/mail/compose/send", {**fields, "to": "oops, Bert <bert@demo.example>"})
    assert bad.status == 422
    assert "“oops”" in bad.json()["error"]
    unknown = await lin.visitor.act("/mail/compose/send", {**fields, "to": "nobody@demo.example"})
    assert unknown.status == 422
    assert "nobody@demo.example" in unknown.json()["error"]
    assert len(await house.entries.page(lin.id, await house.folder(lin.id, Role.DRAFTS))) == 1
    assert await house.entries.page(lin.id, await house.folder(lin.id, Role.SENT)) == []


async def test_a_draft_with_half_an_address_is_kept_and_says_that_it_is_not_whole(lin: Lin) -> None:
    answer = await lin.visitor.act("/mail/compose/save", {**FORM, "to": "Bert <bert@demo.example>, 王"})
    assert answer.status == 200
    assert answer.json()["is_whole"] is False


async def test_what_is_written_is_cleaned_before_it_is_kept(house: House, lin: Lin) -> None:
    html = '<div onclick="x()">a</div><script>x()</script><img src="https://track.example/x.gif">'
    await lin.visitor.act("/mail/compose/save", {**FORM, "html": html})
    content = await the_only(house, lin.id, Role.DRAFTS)
    for bad in (b"onclick", b"script", b"track.example"):
        assert bad not in content


async def test_saving_again_and_again_does_not_change_the_text(house: House, lin: Lin) -> None:
    html = '<div>a <span style="color:#b3261e">b</span></div><blockquote type="cite">c<br>d</blockquote>'
    draft, pages = "", []
    for _ in range(3):
        draft = (await lin.visitor.act("/mail/compose/save", {**FORM, "html": html, "draft": draft})).json()[
            "draft"
        ]
        page = (await lin.visitor.get(f"/mail/compose?draft={draft}")).text
        found = re.search(r'<textarea name="html"[^>]*>\n(.*?)</textarea>', page, re.S)
        assert found
        html = found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&#34;", '"').replace("&amp;", "&")
        pages.append(html)
    assert pages[0] == pages[1] == pages[2]
    assert "color" in pages[0]


async def test_more_than_the_limit_is_refused_before_it_is_read(database: Database, tmp_path: Path) -> None:
    async with open_house(database, tmp_path, Web(max_upload_bytes=100_000)) as house:
        await house.account(LIN)
        visitor = Visitor(house.app)
        await visitor.sign_in(LIN)
        over = await visitor.upload("/mail/compose/attachments", FORM, "big.bin", b"x" * 100_001)
        assert over.status == 413
        assert "100 KB" in over.json()["error"]
        way_over = await visitor.upload("/mail/compose/attachments", FORM, "big.bin", b"x" * 9_000_000)
        assert way_over.status == 413
        assert (await visitor.act("/mail/compose/save", {**FORM, "subject": "x" * 901})).status == 400


async def test_people_one_wrote_with_are_suggested(house: House, lin: Lin) -> None:
    await house.append.put(lin.id, Role.SENT, mail(to="王小明 <wang@x.example>, Zoe <zoe@x.example>"))
    await house.deliver(lin.id, mail(sender="Wanda <wanda@x.example>", message_id="2@x.example"))
    await house.deliver(lin.id, mail(sender="Shop <noreply@x.example>", message_id="3@x.example"))
    people = (await lin.visitor.get("/mail/suggest?q=wan")).json()["people"]
    assert [one["address"] for one in people] == ["wang@x.example", "wanda@x.example"]
    assert (await lin.visitor.get("/mail/suggest?q=%E5%B0%8F%E6%98%8E")).json()["people"][0][
        "name"
    ] == "王小明"
    assert (await lin.visitor.get("/mail/suggest?q=noreply")).json()["people"] == []


async def test_a_mail_of_ones_own_text_is_plain_when_chosen(house: House, lin: Lin) -> None:
    bert = await house.account("bert@demo.example", "Bert")
    fields = {
        **FORM,
        "is_rich": "",
        "html": "",
        "text": "line one\r\nline two",
        "is_important": "1",
        "wants_receipt": "1",
    }
    await lin.visitor.act("/mail/compose/send", fields)
    content = await the_only(house, bert, Role.INBOX)
    assert b"Content-Type: text/plain" in content
    assert b"text/html" not in content
    assert b"line one\r\nline two" in content
    assert b"Importance: high" in content
    assert b"Disposition-Notification-To:" in content


async def test_unfinished_uploads_of_an_account_have_an_end(house: House, lin: Lin) -> None:
    statuses: list[int] = []
    reading = [asyncio.Event() for _ in range(MAX_UPLOADS)]
    go_on = asyncio.Event()

    async def half_an_upload(number: int) -> None:
        begins = True

        async def receive() -> Message:
            nonlocal begins
            if begins:
                begins = False
                return {"type": "http.request", "body": b"--mark\r\nContent-Disp", "more_body": True}
            reading[number].set()
            await go_on.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            statuses.append(message.get("status", 0))

        headers = {"content-type": "multipart/form-data; boundary=mark", "x-csrf-token": lin.visitor.csrf}
        scope = lin.visitor.scope("POST", "/mail/compose/attachments", headers, 1_000)
        with suppress(ClientDisconnect):
            await house.app(scope, receive, send)

    halves = [asyncio.ensure_future(half_an_upload(number)) for number in range(MAX_UPLOADS)]
    async with asyncio.timeout(20):
        for each in reading:
            await each.wait()
    refused = await lin.visitor.upload("/mail/compose/attachments", FORM, "a.txt", b"file")
    assert refused.status == 429
    assert "other files" in refused.json()["error"]
    go_on.set()
    await asyncio.gather(*halves)
    assert (await lin.visitor.upload("/mail/compose/attachments", FORM, "a.txt", b"file")).status == 200


async def test_a_mail_has_so_many_files(house: House, lin: Lin, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("drafts", "composing"):
        monkeypatch.setattr(f"postroad.web.mail.{module}.MAX_ATTACHMENTS", 2)
    fields: dict[str, str | list[str]] = dict(FORM)
    for name in ("a.txt", "b.txt"):
        kept = (await lin.visitor.upload("/mail/compose/attachments", fields, name, b"file")).json()
        fields = {**FORM, "draft": kept["draft"], "keep": [file["section"] for file in kept["attachments"]]}
    over = await lin.visitor.upload("/mail/compose/attachments", fields, "c.txt", b"file")
    assert over.status == 413
    assert "2" in over.json()["error"]


async def test_saves_at_once_of_one_draft_take_turns(house: House, lin: Lin) -> None:
    first = (await lin.visitor.act("/mail/compose/save", FORM)).json()
    answers = await asyncio.gather(
        *(lin.visitor.act("/mail/compose/save", {**FORM, "draft": first["draft"]}) for _ in range(8))
    )
    assert sorted(answer.status for answer in answers) == [200] + [409] * 7
    [entry] = await house.entries.page(lin.id, await house.folder(lin.id, Role.DRAFTS))
    assert entry
