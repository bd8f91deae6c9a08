"""Every answer carries the headers that keep a page to itself, and no page holds a script of its own."""

from __future__ import annotations

import re

from tests.web.client import Visitor
from tests.web.conftest import Lin
from tests.web.house import House
from tests.web.mails import mail

_INLINE = re.compile(
    r"<script(?![^>]*(?:\bsrc=|application/json))|\son\w+\s*=|javascript:|<[^>]+\sstyle=", re.I
)


async def test_every_page_has_a_strict_policy_and_no_script_of_its_own(house: House, lin: Lin) -> None:
    uid = await house.deliver(lin.id, mail(html="<p>x</p>"))
    message = f"/mail/message/{lin.inbox}/{uid}"
    stranger = Visitor(house.app)
    for visitor, path in (
        (stranger, "/mail/login"),
        (stranger, "/mail/nothing"),
        (lin.visitor, f"/mail/folder/{lin.inbox}"),
        (lin.visitor, "/mail/search?q=x"),
        (lin.visitor, message),
        (lin.visitor, f"{message}/print"),
        (lin.visitor, f"{message}/headers"),
        (lin.visitor, "/mail/compose"),
        (lin.visitor, "/mail/password"),
        (lin.visitor, "/mail/nothing"),
    ):
        answer = await visitor.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert re.search(r"script-src 'self'(;|$)", policy), path
        assert "style-src 'self'" in policy, path
        assert "frame-ancestors 'none'" in policy, path
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert not _INLINE.search(answer.text), (path, _INLINE.search(answer.text))


async def test_only_files_named_by_their_content_are_kept_by_browsers(house: House) -> None:
    visitor = Visitor(house.app)
    page = (await visitor.get("/mail/login")).text
    for address in re.findall(r'(?:src|href)="(/mail/static/[^"]+)"', page):
        answer = await visitor.get(address)
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
    assert (await visitor.get("/mail/static/../app.py")).status == 404
    assert (await visitor.get("/mail/static/%2e%2e/app.py")).status == 404


async def test_proxies_are_believed_only_when_they_are_trusted(house: House) -> None:
    await house.account("lin@demo.example")
    visitor = Visitor(house.app, client="198.51.100.1")
    answer = await visitor.request(
        "POST",
        "/mail/login",
        b"username=lin@demo.example&password=correct+horse+42",
        {"content-type": "application/x-www-form-urlencoded", "x-forwarded-proto": "https"},
    )
    assert answer.status == 303
    assert "secure" not in answer.cookies[0].lower()
