"""Lists: paged by key, filtered, searched; what is shown is escaped, and nobody sees another's mail."""

from __future__ import annotations

import re

from postroad.mailstore.flags import Flag, FlagChange
from postroad.mailstore.folders import Role
from tests.web.client import Visitor
from tests.web.conftest import Lin
from tests.web.house import House, until
from tests.web.mails import mail


def subjects(text: str) -> list[str]:
    """The subjects of the rows in a page."""
    return re.findall(r'class="row-subject">([^<]*)<', text)


async def test_a_list_is_walked_by_key_and_misses_nothing_while_mail_arrives(house: House, lin: Lin) -> None:
    for number in range(120):
        await house.deliver(lin.id, mail(f"Mail {number}", message_id=f"{number}@x.example"))
    page = (await lin.visitor.get(f"/mail/folder/{lin.inbox}")).text
    seen = subjects(page)
    assert seen == [f"Mail {number}" for number in range(119, 69, -1)]
    await house.deliver(lin.id, mail("New one", message_id="new@x.example"))
    while match := re.search(r'id="more-rows" hx-get="([^"]+)"', page):
        page = (await lin.visitor.get(match[1].replace("&amp;", "&"), hx_request_type="partial")).text
        seen += subjects(page)
    assert seen == [f"Mail {number}" for number in range(119, -1, -1)]


async def test_a_refresh_brings_as_many_rows_as_are_shown(house: House, lin: Lin) -> None:
    for number in range(60):
        await house.deliver(lin.id, mail(f"Mail {number}", message_id=f"{number}@x.example"))
    answer = await lin.visitor.get(f"/mail/folder/{lin.inbox}/list?count=60", hx_request_type="partial")
    assert len(subjects(answer.text)) == 60
    assert "<html" not in answer.text
    huge = await lin.visitor.get(f"/mail/folder/{lin.inbox}/list?count=99999999999999999999999")
    assert huge.status == 200


async def test_filters_show_only_what_they_say(house: House, lin: Lin) -> None:
    uid = await house.deliver(lin.id, mail("Read and flagged", message_id="1@x.example"))
    await house.deliver(
        lin.id, mail("With a file", message_id="2@x.example", files=(("a.pdf", "application/pdf", b"%PDF"),))
    )
    await house.deliver(lin.id, mail("Plain", message_id="3@x.example"))
    await house.entries.set_flags(lin.id, lin.inbox, [uid], FlagChange.adding(Flag.SEEN | Flag.FLAGGED))

    async def shown(name: str) -> list[str]:
        return subjects((await lin.visitor.get(f"/mail/folder/{lin.inbox}?filter={name}")).text)

    assert await shown("unread") == ["Plain", "With a file"]
    assert await shown("flagged") == ["Read and flagged"]
    assert await shown("attachments") == ["With a file"]
    assert len(await shown("nonsense")) == 3


async def test_unread_mail_is_counted_in_the_tree_and_the_page(house: House, lin: Lin) -> None:
    await house.deliver(lin.id, mail())
    text = (await lin.visitor.get(f"/mail/folder/{lin.inbox}")).text
    assert 'data-unread="1"' in text
    assert "1 unread" in text


async def test_sent_mail_names_its_recipients(house: House, lin: Lin) -> None:
    await house.append.put(lin.id, Role.SENT, mail("To Bert", to="Bert Brown <bert@there.example>"))
    folder = await house.folder(lin.id, Role.SENT)
    text = (await lin.visitor.get(f"/mail/folder/{folder}")).text
    assert "Bert Brown" in text


async def test_what_a_mail_says_of_itself_is_escaped(house: House, lin: Lin) -> None:
    await house.deliver(
        lin.id,
        mail("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", sender='"<b>x</b>" <a@b.example>'),
    )
    text = (await lin.visitor.get(f"/mail/folder/{lin.inbox}")).text
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "<b>x</b>" not in text
    assert "&lt;script&gt;alert(1)" in text


async def test_nobody_sees_anothers_mail_by_guessing(house: House, lin: Lin) -> None:
    uid = await house.deliver(lin.id, mail("Private"))
    await house.account("eve@demo.example", "Eve")
    eve = Visitor(house.app)
    await eve.sign_in("eve@demo.example")
    base = f"/mail/message/{lin.inbox}/{uid}"
    for path in (
        f"/mail/folder/{lin.inbox}",
        base,
        f"{base}/raw",
        f"{base}/headers",
        f"{base}/part/1",
        f"{base}/print",
    ):
        answer = await eve.get(path)
        assert answer.status == 404, path
        assert "Private" not in answer.text
    entry = f"{lin.inbox}.{uid}"
    for action in ("trash", "flag", "delete"):
        assert (await eve.act("/mail/actions", {"action": action, "entry": entry})).status in (404, 409)
    assert (await eve.get(f"/mail/compose?mode=reply&source={entry}")).status == 404
    assert len(await house.entries.page(lin.id, lin.inbox)) == 1


async def test_a_search_finds_chinese_and_latin_words_with_operators(house: House, lin: Lin) -> None:
    await house.deliver(lin.id, mail("春茶报价", "请查收附件中的报价单。", message_id="1@x.example"))
    await house.deliver(
        lin.id, mail("Autumn list", "Samples of oolong.", sender="jonas@x.example", message_id="2@x.example")
    )

    async def found(query: str) -> list[str]:
        return subjects((await lin.visitor.get(f"/mail/search?q={query}")).text)

    async def is_indexed() -> bool:
        return await found("oolong") == ["Autumn list"]

    await until(is_indexed)
    assert await found("%E6%8A%A5%E4%BB%B7") == ["春茶报价"]
    assert await found("from:jonas") == ["Autumn list"]
    assert await found("from:jonas+subject:%E6%98%A5%E8%8C%B6") == []
    page = (await lin.visitor.get("/mail/search?q=oolong")).text
    assert f"/mail/message/{lin.inbox}/2?q=oolong" in page
    opened = (await lin.visitor.get(f"/mail/message/{lin.inbox}/2?q=oolong")).text
    assert subjects(opened) == ["Autumn list"]


async def test_a_search_that_makes_no_sense_says_so(lin: Lin) -> None:
    answer = await lin.visitor.get("/mail/search?q=before:yesterdayish")
    assert answer.status == 200
    assert (await lin.visitor.get("/mail/search?q=")).status == 303
    assert (await lin.visitor.get("/mail/search?q=" + "x" * 5000)).status == 200


async def test_a_name_that_holds_another_address_does_not_hide_the_real_one(house: House, lin: Lin) -> None:
    forged = mail("Pay now", sender='"boss@demo.example" <evil@theirs.example>')
    uid = await house.deliver(lin.id, forged)
    real = "evil@theirs.example (boss@demo.example)"
    folder = (await lin.visitor.get(f"/mail/folder/{lin.inbox}")).text
    assert real in folder
    assert real in (await lin.visitor.get("/mail/summary")).text
    reader = (await lin.visitor.get(f"/mail/message/{lin.inbox}/{uid}")).text
    assert f'class="from-name">{real}<' in reader

    async def is_indexed() -> bool:
        return "Pay now" in (await lin.visitor.get("/mail/search?q=pay")).text

    await until(is_indexed)
    assert real in (await lin.visitor.get("/mail/search?q=pay")).text
