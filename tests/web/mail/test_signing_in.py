"""Signing in and out, sessions and their cookies, the choice of language, the change of password."""

from __future__ import annotations

import re

import pytest

from tests.web.client import Visitor
from tests.web.conftest import LIN, Lin
from tests.web.house import PASSWORD, House, until


async def test_without_a_session_every_page_leads_to_the_sign_in_page(house: House) -> None:
    visitor = Visitor(house.app)
    answer = await visitor.get("/mail/folder/1?filter=unread")
    assert answer.status == 303
    assert answer.headers["location"] == "/mail/login?next=/mail/folder/1%3Ffilter%3Dunread"
    assert (await visitor.get("/mail/login")).status == 200
    assert (await visitor.get("/mail/folder/1", hx_request="true")).status == 401
    assert (await visitor.act("/mail/actions", {"action": "seen", "entry": "1.1"})).status == 401


async def test_a_refusal_does_not_say_which_of_the_two_was_wrong(house: House) -> None:
    await house.account(LIN)
    visitor = Visitor(house.app)
    wrong = await visitor.sign_in(LIN, "not the password")
    unknown = await visitor.sign_in("nobody@demo.example", "not the password")
    assert wrong.status == unknown.status == 401
    assert wrong.text.replace(LIN, "X") == unknown.text.replace("nobody@demo.example", "X")
    assert "postroad_session" not in visitor.cookies
    assert "not the password" not in wrong.text
    assert LIN in wrong.text


async def test_too_many_failures_are_answered_with_429_and_when_to_come_back(house: House) -> None:
    await house.account(LIN)
    visitor = Visitor(house.app)
    statuses = [(await visitor.sign_in(LIN, f"guess number {attempt}")).status for attempt in range(6)]
    assert statuses[0] == 401
    blocked = await visitor.sign_in(LIN, "one more guess")
    assert blocked.status == 429
    assert int(blocked.headers["retry-after"]) > 0


@pytest.mark.parametrize(("scheme", "is_secure"), [("http", False), ("https", True)])
async def test_the_session_cookie_is_kept_from_scripts_and_other_sites(
    house: House, scheme: str, is_secure: bool
) -> None:
    await house.account(LIN)
    answer = await Visitor(house.app, scheme=scheme).sign_in(LIN)
    assert answer.status == 303
    cookie = answer.cookies[0].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert ("secure" in cookie) == is_secure


async def test_where_to_go_after_signing_in_is_a_page_of_ours(house: House) -> None:
    await house.account(LIN)
    for target, expected in (
        ("/mail/compose", "/mail/compose"),
        ("//evil.example/mail", "/mail"),
        ("https://evil.example/", "/mail"),
        ("/mailevil", "/mail"),
        ("/mail/\\evil", "/mail"),
    ):
        answer = await Visitor(house.app).post(
            "/mail/login", {"username": LIN, "password": PASSWORD, "next": target}
        )
        assert answer.headers["location"] == expected


async def test_another_sites_form_cannot_sign_a_visitor_in(house: House) -> None:
    await house.account(LIN)
    answer = await Visitor(house.app).post(
        "/mail/login", {"username": LIN, "password": PASSWORD}, sec_fetch_site="cross-site"
    )
    assert answer.status == 403
    assert not answer.cookies


async def test_signing_out_ends_the_session_in_the_store(lin: Lin) -> None:
    kept = dict(lin.visitor.cookies)
    answer = await lin.visitor.post("/mail/logout")
    assert answer.status == 303
    thief = Visitor(lin.visitor.app, cookies=kept)
    assert (await thief.get("/mail")).headers["location"].startswith("/mail/login")


async def test_what_changes_something_needs_the_sessions_token(lin: Lin) -> None:
    lin.visitor.csrf = "wrong"
    for path in (
        "/mail/actions",
        "/mail/folders",
        "/mail/logout",
        "/mail/compose/save",
        "/mail/compose/send",
    ):
        assert (await lin.visitor.act(path, {"name": "x"})).status == 403
    assert (await lin.visitor.upload("/mail/compose/attachments", {}, "a.txt", b"a")).status == 403
    assert (await lin.visitor.get("/mail")).status == 303


async def test_a_changed_password_ends_every_other_session(house: House, lin: Lin) -> None:
    other = Visitor(house.app)
    await other.sign_in(LIN)
    new = "another good 77 password"
    fields = {"current": PASSWORD, "new": new, "again": new}
    wrong = await lin.visitor.post("/mail/password", {**fields, "current": "something else"})
    assert wrong.status == 401
    assert (await lin.visitor.post("/mail/password", {**fields, "again": "x"})).status == 422
    assert (
        await lin.visitor.post("/mail/password", {**fields, "new": "short", "again": "short"})
    ).status == 422
    done = await lin.visitor.post("/mail/password", fields)
    assert done.status == 200
    assert (await lin.visitor.get("/mail")).headers["location"].startswith("/mail/folder/")
    assert (await other.get("/mail")).headers["location"].startswith("/mail/login")

    async def is_known() -> bool:  # other doors learn of the change by an announcement
        return (await Visitor(house.app).sign_in(LIN, new)).status == 303

    await until(is_known)


async def test_the_language_follows_the_browser_until_somebody_chooses(house: House, lin: Lin) -> None:
    chinese = Visitor(house.app, language="zh-CN,zh;q=0.9,en;q=0.8")
    assert "登录邮箱" in (await chinese.get("/mail/login")).text
    assert (
        "Sign in to your mail" in (await Visitor(house.app, language="de,en;q=0.5").get("/mail/login")).text
    )
    answer = await lin.visitor.post(
        "/mail/language", {"language": "zh", "next": "/mail/password", "csrf": lin.visitor.csrf}
    )
    assert answer.headers["location"] == "/mail/password"
    assert "修改密码" in (await lin.visitor.get("/mail/password")).text
    elsewhere = Visitor(house.app)
    await elsewhere.sign_in(LIN)
    page = await elsewhere.get("/mail/password")
    assert re.search(r'<html lang="zh-CN"', page.text)
