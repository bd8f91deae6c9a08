"""The mailbox at a glance."""

from __future__ import annotations

from postroad.mailstore.folders import Role
from tests.web.client import Visitor
from tests.web.conftest import Lin
from tests.web.house import House
from tests.web.mails import mail


async def test_the_newest_unread_mails_the_counts_and_the_size_are_shown(house: House, lin: Lin) -> None:
    for number in range(8):
        await house.deliver(lin.id, mail(f"Mail <{number}>", message_id=f"{number}@x.example"))
    await house.deliver(lin.id, mail("Elsewhere", message_id="junk@x.example"), Role.JUNK)
    answer = await lin.visitor.get("/mail/summary")
    assert answer.status == 200
    shown = [f"Mail &lt;{number}&gt;" in answer.text for number in range(8)]
    assert shown == [False, False, True, True, True, True, True, True]
    assert "Elsewhere" not in answer.text
    assert "8 unread messages in the inbox" in answer.text
    assert f'href="/mail/folder/{lin.inbox}?filter=unread"' in answer.text
    assert "<td>8</td><td>8</td>" in answer.text
    assert "KB used" in answer.text or "B used" in answer.text


async def test_an_empty_mailbox_says_so_in_the_visitors_language(lin: Lin) -> None:
    lin.visitor.language = "zh-CN"
    answer = await lin.visitor.get("/mail/summary")
    assert "没有新邮件。" in answer.text
    assert "邮箱汇总" in answer.text


async def test_the_part_that_changes_comes_alone(lin: Lin) -> None:
    answer = await lin.visitor.get("/mail/summary", hx_request="true", hx_request_type="partial")
    assert "<html" not in answer.text
    assert 'id="summary"' in answer.text


async def test_strangers_are_sent_to_the_sign_in_page(house: House) -> None:
    answer = await Visitor(house.app).get("/mail/summary")
    assert (answer.status, answer.headers["location"]) == (303, "/mail/login?next=/mail/summary")


async def test_the_slash_leads_to_the_mail(house: House) -> None:
    assert (await Visitor(house.app).get("/mail/")).headers["location"] == "/mail"


async def test_signing_in_ends_the_session_before(house: House, lin: Lin) -> None:
    old = dict(lin.visitor.cookies)
    assert (await lin.visitor.sign_in("lin@demo.example")).status == 303
    assert lin.visitor.cookies["postroad_session"] != old["postroad_session"]
    stale = Visitor(house.app, cookies=old)
    assert (await stale.get("/mail/summary")).status == 303
