"""The page of mails that wait for a manager. What waits is tested with the OA bridge."""

from __future__ import annotations

from tests.web.client import Visitor
from tests.web.conftest import Lin
from tests.web.house import House


async def test_nothing_waits_in_a_house_without_an_oa(lin: Lin) -> None:
    answer = await lin.visitor.get("/mail/approvals")
    assert answer.status == 200
    assert "Nothing waits for you." in answer.text
    lin.visitor.language = "zh-CN"
    assert "没有等待您审批的邮件" in (await lin.visitor.get("/mail/approvals")).text


async def test_what_does_not_wait_cannot_be_approved_or_rejected(lin: Lin) -> None:
    await lin.visitor.get("/mail/approvals")
    for answer in ("approve", "reject"):
        told = await lin.visitor.post(f"/mail/approvals/{answer}", {"mail": "AA1", "reason": "no"})
        assert (told.status, told.headers["location"]) == (303, "/mail/approvals?result=gone")
    assert "does not wait for you any more" in (await lin.visitor.get("/mail/approvals?result=gone")).text


async def test_answers_need_the_sessions_token(lin: Lin) -> None:
    lin.visitor.csrf = "forged"
    assert (await lin.visitor.post("/mail/approvals/approve", {"mail": "AA1"})).status == 403


async def test_strangers_are_sent_to_the_sign_in_page(house: House) -> None:
    assert (await Visitor(house.app).get("/mail/approvals")).status == 303
