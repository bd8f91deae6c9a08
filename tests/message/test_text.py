"""Decoding parts and reading what a mail says."""

from __future__ import annotations

import base64
import binascii
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.charsets import decode, storable
from postroad.message.html_text import html_to_text
from postroad.message.scan import Part, find_part, scan
from postroad.message.text import attachment_names, decoded, html_body, readable_text, text_body
from postroad.message.transfer import uudecoded
from tests.message.mails import (
    CHINESE,
    JAPANESE,
    MAILS,
    PDF,
    PNG,
    TRADITIONAL,
    b64,
    header,
    multipart,
    mutations,
    newsletter,
    part,
    single,
)


def whole(body: bytes, encoding: str) -> tuple[bytes, Part]:
    return body, Part(0, 0, len(body), encoding=encoding)


@given(st.binary(max_size=500))
def test_base64_comes_back(data: bytes) -> None:
    assert decoded(*whole(b64(data), "base64")) == data
    assert decoded(*whole(base64.b64encode(data) + b"\r\n--\r\n", "base64"))[: len(data)] == data


@given(st.binary(max_size=500))
def test_quoted_printable_comes_back(data: bytes) -> None:
    data = data.replace(b"\r", b"").replace(b"\n", b"")
    assert decoded(*whole(quopri.encodestring(data), "quoted-printable")) == data


@given(st.binary(max_size=400))
def test_uuencode_comes_back(data: bytes) -> None:
    lines = b"".join(binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45))
    assert uudecoded(b"begin 644 x\n" + lines + b"`\nend\n") == data


@given(
    st.binary(max_size=300), st.sampled_from(["base64", "quoted-printable", "x-uuencode", "7bit", "x-odd"])
)
def test_any_body_decodes(body: bytes, encoding: str) -> None:
    full = decoded(*whole(body, encoding))
    assert decoded(*whole(body, encoding), limit=10) == decoded(*whole(body, encoding), limit=10)[:10]
    if encoding in ("7bit", "x-odd"):
        assert full == body


@given(st.binary(max_size=3000), st.integers(1, 500))
def test_a_limit_gives_the_beginning(data: bytes, limit: int) -> None:
    assert decoded(*whole(b64(data), "base64"), limit=limit) == data[:limit]


def test_attachments_decode_exactly() -> None:
    content = MAILS["attachment-rfc2231"]
    pdf = find_part(scan(content), "2")
    assert pdf is not None
    assert decoded(content, pdf) == PDF
    content = MAILS["related-inline-picture"]
    picture = find_part(scan(content), "2")
    assert picture is not None
    assert decoded(content, picture) == PNG
    assert decoded(MAILS["uuencoded"], scan(MAILS["uuencoded"])) == b"Hello world"


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        (CHINESE.encode("gbk"), "gb2312", CHINESE),
        (CHINESE.encode("gbk"), None, CHINESE),
        (CHINESE.encode("gbk"), "x-nonsense", CHINESE),
        (CHINESE.encode(), "gbk", CHINESE),
        (CHINESE.encode(), "us-ascii", CHINESE),
        (TRADITIONAL.encode("big5"), None, TRADITIONAL),
        (JAPANESE.encode("iso2022_jp"), None, JAPANESE),
        ("①㈱".encode("cp932"), "shift_jis", "①㈱"),
        (b"\x1b$B-!\x1b(B", "iso-2022-jp", "①"),
        (JAPANESE.encode("euc_jp"), None, JAPANESE),
        ("Привет, как дела? Приглашаем вас на встречу завтра.".encode("cp1251"), "windows-1251", None),
        (b"\xef\xbb\xbfabc", "utf-8", "abc"),
        (b"plain", "utf-16", None),
        ("你好".encode("utf-16"), "utf-16", "你好"),
        (b"a\0b\x07c", "utf-8", "abc"),
        (b"\x93quoted\x94", "iso-8859-1", "“quoted”"),
        (b"+ZeVnLIqe-", "utf-7", "日本語"),
    ],
)
def test_charsets(data: bytes, charset: str | None, text: str | None) -> None:
    result = decode(data, charset)
    assert result == storable(result)
    if text is not None:
        assert result == text


@given(
    st.binary(max_size=200),
    st.sampled_from([None, "utf-7", "utf-16", "hz", "iso-2022-kr", "big5", "cp1252", "x"]),
)
def test_any_bytes_in_any_charset_are_storable(data: bytes, charset: str | None) -> None:
    text = decode(data, charset)
    text.encode("utf-8")
    assert "\0" not in text


def test_the_alternatives_of_one_text() -> None:
    content = MAILS["alternative"]
    root = scan(content)
    assert text_body(content, root) == CHINESE.replace("\r\n", "\n")
    assert (html_body(content, root) or "").replace("\r\n", "\n") == newsletter()
    assert readable_text(content, root, 1000).startswith("各位同事：\n\n明天")


def test_html_stands_in_for_an_empty_plain_part() -> None:
    content = multipart("alternative", part(b" \r\n"), part(b"<p>Hello</p>", "Content-Type: text/html"))
    assert readable_text(content, scan(content), 100) == "Hello"


def test_several_text_parts_are_read_one_after_another() -> None:
    content = multipart(
        "mixed",
        part(b"one"),
        part(b"PDF", "Content-Type: application/pdf"),
        part(b"<i>two</i>", "Content-Type: text/html"),
    )
    assert readable_text(content, scan(content), 100) == "one\ntwo"
    attached = multipart(
        "mixed", part(b"one"), part(b"two", "Content-Disposition: attachment; filename=n.txt")
    )
    assert readable_text(attached, scan(attached), 100) == "one"


def test_plain_and_html_beside_each_other_are_both_shown() -> None:
    content = multipart("mixed", part(b"<b>one</b>", "Content-Type: text/html"), part(b"a < b"))
    assert (
        html_body(content, scan(content)) == '<b>one</b><hr><div style="white-space:pre-wrap">a &lt; b</div>'
    )
    assert text_body(content, scan(content)) == "one\na < b"
    plain = multipart("mixed", part(b"one"), part(b"two"))
    assert html_body(plain, scan(plain)) is None
    assert text_body(plain, scan(plain)) == "one\ntwo"


def test_enclosed_mails_are_read_and_the_limit_holds() -> None:
    content = MAILS["enclosed-multipart"]
    text = readable_text(content, scan(content), 1000)
    assert text.startswith("See below.\n各位同事")
    assert len(readable_text(content, scan(content), 12)) == 12


def test_names_of_attachments() -> None:
    content = MAILS["calendar-invitation"]
    assert attachment_names(scan(content)) == ["invite.ics"]
    assert attachment_names(scan(MAILS["attachment-raw-gbk-name"])) == ["会议纪要.pdf"]
    assert attachment_names(scan(MAILS["enclosed-mail"])) == ["inner.eml"]


def test_mutated_mails_read() -> None:
    for _, content in mutations(300, seed=3):
        root = scan(content)
        text = readable_text(content, root, 5000)
        assert len(text) <= 5000
        text.encode("utf-8")
        assert "\0" not in text
        attachment_names(root)


def test_long_single_part_is_cut() -> None:
    content = single(b"y" * 1_000_000, "text/plain")
    assert readable_text(content, scan(content), 100) == "y" * 100
    assert header() in content


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a <b>b</b>c</p><p>d</p>", "a bc\n\nd"),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<div>a</div><div>b</div>", "a\nb"),
        ("<ul><li>x<li>y</ul>", "- x\n- y"),
        ("<table><tr><td>1<td>2<tr><td>3</table>", "1 2\n3"),
        ("<p>a</p><blockquote>b<blockquote>c</blockquote></blockquote>d", "a\n\n> b\n>\n> > c\n\nd"),
        ("<pre>a\n  b</pre>c", "a\n  b\n\nc"),
        ("<style>x</style><script>y</script><title>z</title>a<!-- b -->", "a"),
        ("a<img alt='pic'>b", "a pic b"),
        ('<a href="https://e.com/">here</a>', "here <https://e.com/>"),
        ('<a href="https://e.com/">https://e.com/</a>', "https://e.com/"),
        ('<a href="javascript:x">here</a>', "here"),
        ("a&nbsp;&lt;b&gt; &#0; &#xd800;", "a <b> \ufffd \ufffd"),
        ("", ""),
    ],
)
def test_html_as_text(html: str, text: str) -> None:
    assert html_to_text(html, with_links=True) == text


@given(st.text(max_size=300))
def test_any_text_reads_as_html(html: str) -> None:
    html_to_text(html.encode("utf-8", "replace").decode(), with_links=True).encode("utf-8")
