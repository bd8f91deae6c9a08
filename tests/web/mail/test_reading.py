"""One mail: opened, framed, its files; walls between a stranger's HTML and the page."""

from __future__ import annotations

import re

import pytest

from tests.web.conftest import Lin
from tests.web.house import House
from tests.web.mails import PIXEL, mail, with_picture


async def opened(house: House, lin: Lin, content: bytes) -> tuple[str, str]:
    """Deliver a mail and open it: its address and its page."""
    uid = await house.deliver(lin.id, content)
    url = f"/mail/message/{lin.inbox}/{uid}"
    return url, (await lin.visitor.get(url)).text


async def test_opening_a_mail_marks_it_as_read_but_fetching_ahead_does_not(house: House, lin: Lin) -> None:
    uid = await house.deliver(lin.id, mail())
    url = f"/mail/message/{lin.inbox}/{uid}"
    await lin.visitor.get(url, sec_purpose="prefetch")
    assert not (await house.entries.get(lin.id, lin.inbox, uid)).is_seen
    fragment = await lin.visitor.get(url, hx_request_type="partial", hx_request="true")
    assert "<html" not in fragment.text
    assert 'class="reading"' in fragment.text
    assert (await house.entries.get(lin.id, lin.inbox, uid)).is_seen


async def test_a_text_body_has_links_and_folded_quotes_and_is_escaped(house: House, lin: Lin) -> None:
    text = (
        "See https://there.example/a?b=1&c=2.\n<script>x</script>\n\n> one\n> two\n> three\n> four\n> five\n"
    )
    _, page = await opened(house, lin, mail(text=text))
    assert 'href="https://there.example/a?b=1&amp;c=2" target="_blank" rel="noopener' in page
    assert "<script>x" not in page
    assert '<details class="quoted">' in page


async def test_html_is_shown_in_a_sandboxed_frame_under_its_own_policy(house: House, lin: Lin) -> None:
    html = (
        '<p onclick="x()">Hello</p><script>steal()</script><form action="//evil.example"><input></form>'
        '<a href="javascript:x()">a</a><iframe src="https://evil.example"></iframe><base href="//e.example">'
        '<meta http-equiv="refresh" content="0;url=//evil.example"><svg onload="x()"></svg>'
    )
    url, page = await opened(house, lin, mail(html=html))
    assert "steal" not in page
    frame = re.search(r'<iframe[^>]*src="([^"]+)"[^>]*>', page)
    assert frame
    assert 'sandbox="allow-same-origin allow-popups allow-popups-to-escape-sandbox"' in frame[0]
    assert "allow-scripts" not in page
    body = await lin.visitor.get(frame[1])
    assert frame[1].startswith(url)
    policy = body.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "sandbox allow-same-origin allow-popups" in policy
    assert "frame-ancestors 'self'" in policy
    assert body.headers["x-frame-options"] == "SAMEORIGIN"
    for bad in ("steal", "onclick", "<form", "javascript:", "<iframe", "refresh", "<svg", "evil.example"):
        assert bad not in body.text, bad
    assert "Hello" in body.text


async def test_remote_pictures_load_only_when_asked_for(house: House, lin: Lin) -> None:
    url, page = await opened(house, lin, mail(html='<p>Hi</p><img src="https://track.example/o.gif">'))
    assert "data-show-images" in page
    plain = await lin.visitor.get(f"{url}/body/2")
    assert "track.example" not in plain.text
    assert "https:" not in plain.headers["content-security-policy"]
    shown = await lin.visitor.get(f"{url}/body/2?images=1")
    assert "https://track.example/o.gif" in shown.text
    assert "img-src 'self' data: https: http:" in shown.headers["content-security-policy"]
    _, other = await opened(house, lin, mail(html="<p>No pictures</p>", message_id="2@x.example"))
    assert "data-show-images" not in other


async def test_enclosed_pictures_are_shown_in_place_and_not_listed_as_files(house: House, lin: Lin) -> None:
    url, page = await opened(house, lin, with_picture('<img src="cid:logo@there.example">'))
    assert 'class="attachment-list"' not in page
    section = re.search(r'<iframe[^>]*src="([^"]+)"', page)
    assert section
    body = (await lin.visitor.get(section[1])).text
    picture = re.search(rf'src="({url}/part/[\d.]+\?preview=1)"', body)
    assert picture
    answer = await lin.visitor.get(picture[1])
    assert answer.body == PIXEL
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == "inline"
    _, unused = await opened(house, lin, with_picture("<p>no picture here</p>", "other@x.example"))
    assert "logo.png" in unused


@pytest.mark.parametrize(
    ("name", "media_type", "content"),
    [
        ("page.html", "text/html", b"<script>x()</script>"),
        ("picture.svg", "image/svg+xml", b"<svg onload='x()'/>"),
        ("lies.png", "image/png", b"<html><script>x()</script>"),
        ("feed.xml", "application/xml", b"<x/>"),
    ],
)
async def test_files_are_saved_and_never_shown_as_pages(
    house: House, lin: Lin, name: str, media_type: str, content: bytes
) -> None:
    url, page = await opened(house, lin, mail(files=((name, media_type, content),)))
    assert name in page
    answer = await lin.visitor.get(f"{url}/part/2")
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["content-type"] in ("application/octet-stream", "image/png")
    preview = await lin.visitor.get(f"{url}/part/2?preview=1")
    assert preview.status == 404 or preview.headers["content-disposition"].startswith("attachment;")


async def test_a_files_name_survives_and_cannot_break_the_header(house: House, lin: Lin) -> None:
    url, _ = await opened(house, lin, mail(files=(('报价 "单".pdf', "application/pdf", b"%PDF-1.7"),)))
    header = (await lin.visitor.get(f"{url}/part/2")).headers["content-disposition"]
    assert "filename*=UTF-8''%E6%8A%A5%E4%BB%B7" in header
    assert header.isascii()
    assert header.count('"') == 2


async def test_the_mail_can_be_saved_read_as_source_and_printed(house: House, lin: Lin) -> None:
    content = mail("Source", x_odd="<b>yes</b>")
    url, _ = await opened(house, lin, content)
    raw = await lin.visitor.get(f"{url}/raw")
    assert raw.body.endswith(content)
    assert raw.body.startswith(b"Return-Path:")
    assert raw.headers["content-type"] == "message/rfc822"
    headers = (await lin.visitor.get(f"{url}/headers")).text
    assert "&lt;b&gt;yes&lt;/b&gt;" in headers
    assert "A line" in (await lin.visitor.get(f"{url}/print")).text


async def test_other_mails_of_the_conversation_are_listed(house: House, lin: Lin) -> None:
    await house.deliver(lin.id, mail("Question", "The first words.", message_id="q@x.example"))
    _, page = await opened(house, lin, mail("Re: Question", message_id="a@x.example", answers="q@x.example"))
    assert 'class="thread-list"' in page
    assert "The first words." in page


async def test_an_invitation_is_a_card_with_date_place_and_organiser(house: House, lin: Lin) -> None:
    calendar = (
        "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nSUMMARY:Tea\\, and talk\r\n"
        "DTSTART;TZID=Asia/Shanghai:20261125T100000\r\nDTEND;TZID=Asia/Shanghai:20261125T113000\r\n"
        "LOCATION:Room 4\r\nORGANIZER;CN=Anna:mailto:anna@there.example\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    lin.visitor.cookies["postroad_zone"] = "Asia/Shanghai"
    _, page = await opened(house, lin, mail(files=(("invite.ics", "text/calendar", calendar.encode()),)))
    assert "Tea, and talk" in page
    assert "25 November 2026 10:00 – 11:30" in page
    assert "Room 4" in page
    assert "Organised by Anna" in page


async def test_mails_that_are_odd_are_still_shown(house: House, lin: Lin) -> None:
    for content in (
        b"",
        b"\r\n\r\n",
        b"no header at all",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n",
        b"From: \xff\xfe\r\nSubject: =?utf-8?B?/////?=\r\n\r\n\xff\xfe\x00",
        b"Content-Type: text/html; charset=nonsense\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!",
        b"Content-Type: message/rfc822\r\n\r\nSubject: inside\r\n\r\nx",
    ):
        _, page = await opened(house, lin, content)
        assert 'class="reading"' in page
    assert (await lin.visitor.get(f"/mail/message/{lin.inbox}/999999")).status == 404
    assert (await lin.visitor.get(f"/mail/message/{lin.inbox}/{10**30}")).status == 404
    assert (await lin.visitor.get(f"/mail/message/{lin.inbox}/1/part/1.1.1.9")).status == 404
    assert (await lin.visitor.get(f"/mail/message/{lin.inbox}/1/body/x")).status == 404


def with_enclosed(inner: bytes) -> bytes:
    """A mail that carries another one as a file without a name."""
    return (
        b"From: a@b.example\r\nTo: lin@demo.example\r\nSubject: Outer\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="o"\r\n\r\n'
        b"--o\r\nContent-Type: text/plain\r\n\r\nsee below\r\n"
        b"--o\r\nContent-Type: message/rfc822\r\n\r\n" + inner + b"\r\n--o--\r\n"
    )


async def test_an_enclosed_mail_is_called_by_its_subject_and_opens_as_a_mail_of_its_own(
    house: House, lin: Lin
) -> None:
    inner = mail(
        "会议纪要",
        "内文\n",
        sender="王小明 <wang@elsewhere.example>",
        files=(("附件.txt", "text/csv", b"a,b"),),
    )
    uid = await house.deliver(lin.id, with_enclosed(inner))
    visitor, url = lin.visitor, f"/mail/message/{lin.inbox}/{uid}"
    page = await visitor.get(url)
    assert "会议纪要.eml" in page.text
    assert f'href="{url}/enclosed/2"' in page.text
    assert f'href="{url}/part/2" download' in page.text
    opened = await visitor.get(f"{url}/enclosed/2")
    assert opened.status == 200
    for word in ("会议纪要", "王小明", "wang@elsewhere.example", "内文", "附件.txt"):
        assert word in opened.text
    assert "see below" not in opened.text
    (file_url,) = re.findall(r'href="([^"]+/part/2\.2)"', opened.text)
    assert (await visitor.get(file_url)).body == b"a,b"
    saved = await visitor.get(f"{url}/part/2")
    assert saved.body.strip() == inner.strip()
    assert saved.headers["content-type"] == "message/rfc822"
    assert "filename*=UTF-8''%E4%BC%9A%E8%AE%AE%E7%BA%AA%E8%A6%81.eml" in saved.headers["content-disposition"]
    for wrong in ("1", "3", "2.1", "0", "x"):
        assert (await visitor.get(f"{url}/enclosed/{wrong}")).status == 404


async def test_texts_beyond_the_pages_budget_are_downloads(house: House, lin: Lin) -> None:
    part = b"--o\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + b"a line\r\n" * 8_000 + b"the end\r\n"
    head = b'From: a@b.example\r\nContent-Type: multipart/mixed; boundary="o"\r\n\r\n'
    uid = await house.deliver(lin.id, head + part * 6 + b"--o--\r\n")
    visitor, url = lin.visitor, f"/mail/message/{lin.inbox}/{uid}"
    page = await visitor.get(url)
    assert len(page.body) < 1_000_000
    assert page.text.count("Only its beginning is shown") == 1
    assert page.text.count("the end") == 2
    assert f'href="{url}/part/3" download' in page.text
    listed = re.findall(rf'href="{url}/part/(\d)" download class="attachment-link"', page.text)
    assert listed == ["4", "5", "6"]
    assert (await visitor.get(f"{url}/part/3")).body.endswith(b"the end")


async def test_a_text_cut_behind_a_word_says_that_it_is_cut(house: House, lin: Lin) -> None:
    head = b"From: a@b.example\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    uid = await house.deliver(lin.id, head + b"a " * 300_000)
    page = await lin.visitor.get(f"/mail/message/{lin.inbox}/{uid}")
    assert page.text.count("Only its beginning is shown") == 1
