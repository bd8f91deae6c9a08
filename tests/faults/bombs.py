"""Bombs: mails that are small to send and made to be long to read, each up to a size.

`BOMBS` maps a name to a maker: how many bytes it may have → one mail. Nothing is random; what a search finds
(`test_bombs.py`, `make fuzz`) and stands for a kind of its own is added here.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

HEAD = (
    b"From: =?utf-8?B?5p2O5Zub?= <li@elsewhere.example>\r\nTo: lin@demo.example\r\n"
    b"Date: Tue, 3 Mar 2026 10:00:01 +0800\r\nMessage-ID: <bomb@elsewhere.example>\r\nMIME-Version: 1.0\r\n"
)
_PLAIN = b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
_HTML = b"Content-Type: text/html; charset=utf-8\r\n\r\n"

Bomb = Callable[[int], bytes]


def filled(piece: bytes, room: int) -> bytes:
    """Return `piece` repeated, as often as it fits."""
    return piece * max(room // max(len(piece), 1), 0)


def lines(text: bytes, width: int = 76) -> bytes:
    """Return `text` cut into lines."""
    return b"\r\n".join(text[at : at + width] for at in range(0, len(text), width))


def words(room: int, *, charset: bytes = b"x-unknown-%d") -> bytes:
    """Encoded words of 33 bytes, each in a charset nobody knows, folded like a header."""
    found: list[bytes] = []
    length = number = 0
    while length < room:
        content = bytes(0x80 + (number * 7 + place * 13) % 0x7F for place in range(33))
        label = charset % number if b"%d" in charset else charset
        found.append(b"=?" + label + b"?B?" + b64encode(content) + b"?=")
        length += len(found[-1]) + 3
        number += 1
    return b"\r\n ".join(found)


def mixed(parts: list[bytes], boundary: bytes = b"b0") -> bytes:
    """A multipart/mixed mail of these parts (fields, empty line, body)."""
    opening = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n'
    mark = b"\r\n--" + boundary
    return HEAD + opening + b"".join(mark + b"\r\n" + part for part in parts) + mark + b"--\r\n"


def shared(size: int, count: int, make: Callable[[int], bytes]) -> bytes:
    """A multipart of `count` parts that share `size` bytes."""
    return mixed([make(max(size // count - 20, 50)) for _ in range(count)])


def _html(body: Callable[[int], bytes]) -> Bomb:
    return lambda size: HEAD + _HTML + body(size - len(HEAD) - len(_HTML))


def _plain(body: Callable[[int], bytes], fields: bytes = _PLAIN) -> Bomb:
    return lambda size: HEAD + fields + body(size - len(HEAD) - len(fields))


def _repeat(piece: bytes) -> Callable[[int], bytes]:
    return lambda room: filled(piece, room)


def _field(name: bytes, value: Callable[[int], bytes]) -> Bomb:
    return lambda size: name + b": " + value(size - 200) + b"\r\n" + HEAD + b"\r\nhello\r\n"


def _nested(size: int) -> bytes:
    depth = min(60, size // 200)
    inner = b"Content-Type: text/plain\r\n\r\n" + filled(b"--l1x\r\n\r\n", size - depth * 80)
    for level in range(depth):
        mark = b"l%dx" % level
        inner = b"Content-Type: multipart/mixed; boundary=" + mark + b"\r\n\r\n--" + mark + b"\r\n" + inner
    return HEAD + inner


def _enclosed(size: int) -> bytes:
    inner = b"Subject: " + words(min(size // 60, 60_000)) + b"\r\n\r\n" + b"x\r\n"
    mail = inner
    while len(mail) + len(inner) + 60 < size:
        mail = b"Subject: " + inner[9:-6] + b"\r\nContent-Type: message/rfc822\r\n\r\n" + mail
    return HEAD + b"Content-Type: message/rfc822\r\n\r\n" + mail


def _digest(size: int) -> bytes:
    each = b"\r\nFrom: " + words(3_000) + b" <a@b.example>\r\nSubject: " + words(3_000) + b"\r\n\r\nhi\r\n"
    mark = b"--d\r\n"
    return (
        HEAD
        + b"Content-Type: multipart/digest; boundary=d\r\n\r\n"
        + filled(mark + each, size)
        + b"--d--\r\n"
    )


def _calendar(body: Callable[[int], bytes]) -> Bomb:
    fields = b"Content-Type: text/calendar; charset=utf-8; method=REQUEST\r\n\r\n"
    begin = b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\n"
    end = b"\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    return lambda size: mixed(
        [_PLAIN + b"see below\r\n", fields + begin + body(size - len(HEAD) - 300) + end]
    )


def _chunk(text: bytes, room: int) -> bytes:
    """`text` in lines of at most 900 bytes: what a header's continuation may hold."""
    return lines(filled(text, room), 900).replace(b"\r\n", b"\r\n ")


BOMBS: dict[str, Bomb] = {
    # Charsets and encoded words (proved: 5.5 s for 1 MB).
    "words-and-descriptions": lambda size: (
        (b"Subject: " + words(60_000) + b"\r\n")
        + shared(
            size - 60_000,
            max(min(size // 6_000, 900), 1),
            lambda room: b"Content-Description: " + words(room) + b"\r\n\r\nx",
        )
    ),
    "description-each-64k": lambda size: shared(
        size,
        max(size // 66_000, 1),
        lambda room: b"Content-Description: " + words(min(room, 65_000)) + b"\r\n\r\nx",
    ),
    "subject-of-words": _field(b"Subject", words),
    "subject-of-small-words": _field(b"Subject", lambda room: _chunk(b"=?x?q?=ff?=", room)),
    "words-of-iso-2022": _field(
        b"Subject", lambda room: _chunk(b"=?iso-2022-jp?b?GyRCGyRCGyRC?= =?utf-7?q?+AAA?= ", room)
    ),
    "from-of-words": _field(b"From", lambda room: words(room) + b" <a@b.example>"),
    "to-of-named-people": _field(b"To", lambda room: _chunk(b"=?x-a?B?gYKDhIWG?= <a@b.example>, ", room)),
    "raw-names-in-200-parts": lambda size: shared(
        size,
        200,
        lambda room: (
            b'Content-Type: application/x; name="'
            + filled(b"\x81\x82\xfe\x95\xa0\x8f", max(room - 60, 30))
            + b'"\r\n\r\nx'
        ),
    ),
    "raw-subject": _field(b"Subject", lambda room: _chunk(b"\xe9\xa0\x8f\x95\xfe", room)),
    "raw-body": _plain(_repeat(b"\xe9\xa0\x8f\x95\xfe\xb0 ab\r\n"), b"Content-Type: text/plain\r\n\r\n"),
    "raw-bodies": lambda size: shared(
        size,
        200,
        lambda room: b"Content-Type: text/plain; charset=x\r\n\r\n" + filled(b"\xe9\x8f\x95 ", room),
    ),
    "body-of-escapes": _plain(_repeat(b"\x1b$B\x1b(B"), b"Content-Type: text/plain\r\n\r\n"),
    "body-utf-7": _plain(_repeat(b"+AAA-"), b"Content-Type: text/plain; charset=utf-7\r\n\r\n"),
    "body-hz": _plain(_repeat(b"~{~}"), b"Content-Type: text/plain; charset=hz-gb-2312\r\n\r\n"),
    # Headers.
    "many-fields": lambda size: filled(b"X-A: b\r\n", size - 500) + HEAD + b"\r\nhello\r\n",
    "one-endless-field": _field(b"X-Long", lambda room: _chunk(b"a ", room)),
    "header-without-end": lambda size: filled(b"a: b\r\n", size),
    "header-of-bare-lf": lambda size: b"a:" + filled(b"\n b", size),
    "addresses": _field(b"To", lambda room: _chunk(b"a@b, ", room)),
    "address-comments": _field(b"To", lambda room: _chunk(b"(" * 200, room)),
    "address-many-comments": _field(b"To", lambda room: _chunk(b"a(b", room)),
    "address-quotes": _field(b"To", lambda room: _chunk(b'"a\\', room)),
    "address-groups": _field(b"Cc", lambda room: _chunk(b"a:;", room)),
    "address-nameless": _field(b"To", lambda room: _chunk(b"a ", room)),
    "address-joined": _field(b"To", lambda room: _chunk(b"a, b <c@d>, ", room)),
    "many-to-fields": lambda size: filled(b"To: a@b\r\n", size - 500) + HEAD + b"\r\nhello\r\n",
    "references": _field(b"References", lambda room: _chunk(b"<a@b> ", room)),
    "references-open": _field(b"References", lambda room: _chunk(b"<", room)),
    "parameters": _field(b"Content-Type", lambda room: b"text/plain; " + _chunk(b"a=b; ", room)),
    "parameters-2231": _field(
        b"Content-Type", lambda room: b"text/plain; " + _chunk(b"a*0*=utf-8''%41; ", room)
    ),
    "parameter-comments": _field(b"Content-Type", lambda room: b"text/plain; a=" + _chunk(b"(", room)),
    "parameter-quotes": _field(b"Content-Type", lambda room: b'text/plain; a="' + _chunk(b"\\", room)),
    "received": lambda size: (
        filled(b"Received: from a by b; Tue, 3 Mar 2026\r\n", size) + HEAD + b"\r\nhi\r\n"
    ),
    "date": _field(b"Date", lambda room: _chunk(b"1 ", room)),
    # Structure.
    "parts": lambda size: mixed([b"\r\n"] * max(size // 8, 1)),
    "parts-with-fields": lambda size: shared(
        size, 1_000, lambda room: filled(b"Content-Type: a/b\r\n", room) + b"\r\nx"
    ),
    "nested": _nested,
    "false-boundaries": lambda size: mixed([b"\r\n" + filled(b"--b0x\r\n", size - 300)]),
    "boundary-of-dashes": lambda size: (
        HEAD + b'Content-Type: multipart/mixed; boundary="' + b"-" * 200 + b'"\r\n\r\n' + filled(b"-", size)
    ),
    "enclosed-in-enclosed": _enclosed,
    "digest": _digest,
    "line-feeds": lambda size: HEAD + b"\r\n" + filled(b"\n", size),
    "carriage-returns": lambda size: HEAD + b"\r\n" + filled(b"\r\n\r", size),
    # Transfer encodings.
    "base64-of-pads": _plain(
        _repeat(b"QQ==" * 19 + b"\r\n"),
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n",
    ),
    "base64-of-equals": _plain(
        _repeat(b"=A" * 38 + b"\r\n"),
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n",
    ),
    "base64-file": lambda size: mixed(
        [
            _PLAIN + b"see below\r\n",
            b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
            + filled(b"QUFB" * 19 + b"\r\n", size - 500),
        ]
    ),
    "base64-of-noise": _plain(
        _repeat(b"A!" * 38 + b"\r\n"), b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    ),
    "quoted-printable": _plain(
        _repeat(b"=41=\r\n"),
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
    ),
    "quoted-printable-blanks": _plain(
        _repeat(b"=" + b" " * 70 + b"\r\n"),
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
    ),
    "quoted-printable-one-line": _plain(
        _repeat(b"= \t"),
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
    ),
    "uuencode": _plain(
        _repeat(b"!\r\n"), b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\n"
    ),
    "uuencode-begins": _plain(
        _repeat(b"begin x\r"), b"Content-Type: text/plain\r\nContent-Transfer-Encoding: uuencode\r\n\r\n"
    ),
    # Texts (proved: 22.7 s for 4 MB of flowed text, a page of 56 MB).
    "flowed": _plain(_repeat(b"a \r\n"), b"Content-Type: text/plain; format=flowed\r\n\r\n"),
    "flowed-quotes": _plain(
        _repeat(b"> a \r\n>> b \r\n"), b"Content-Type: text/plain; format=flowed\r\n\r\n"
    ),
    "flowed-deep": _plain(
        _repeat(b">" * 900 + b" \r\n"), b"Content-Type: text/plain; format=flowed; delsp=yes\r\n\r\n"
    ),
    "twenty-texts": lambda size: shared(size, 20, lambda room: _PLAIN + filled(b"a\r\n", room)),
    "twenty-flowed": lambda size: shared(
        size, 20, lambda room: b"Content-Type: text/plain; format=flowed\r\n\r\n" + filled(b"> a \r\n", room)
    ),
    "fifty-htmls": lambda size: shared(size, 50, lambda room: _HTML + filled(b"<b><p>", room)),
    "thousand-htmls": lambda size: shared(size, 990, lambda room: _HTML + filled(b"<b><p>&", room)),
    "quotes": _plain(_repeat(b"> a\r\nb\r\n")),
    "quote-marks": _plain(_repeat(b">\r\n")),
    "links": _plain(_repeat(b"http://a.example/b www.c.example d@e.example\r\n")),
    "one-line-of-links": _plain(_repeat(b"a@b.c ")),
    "no-links": _plain(_repeat(b"a" * 60 + b"@ " + b"://")),
    "trailing-marks": _plain(_repeat(b"http://a" + b")" * 900 + b"\r\n")),
    "long-link": _plain(lambda room: b"www." + filled(b"(", room) + b")"),
    "ampersands": _plain(_repeat(b"<>&\"'")),
    "signatures": _plain(_repeat(b"-- \r\n")),
    "chinese": _plain(_repeat("明天上午十点在三号会议室召开项目会议，请准时参加。\r\n".encode())),
    "different-words": _plain(
        lambda room: b" ".join(b"w%x" % number for number in range(max(room // 8, 1)))[:room]
    ),
    "combining-marks": _plain(_repeat("e\u0301\u0301\u0301\u0301".encode())),
    "ligatures": _plain(_repeat("\ufdfa".encode())),  # one becomes 18 in NFKC
    "accents-at-signs": _plain(_repeat(b"a.b-c@d.")),
    # HTML.
    "html-divs": _html(_repeat(b"<div>")),
    "html-formatting": _html(_repeat(b"<b><i><u><p>")),
    "html-attributes": _html(lambda room: b"<a" + b"".join(b" a%d=1" % n for n in range(room // 9)) + b">x"),
    "html-tables": _html(_repeat(b"<table><tr><td>")),
    "html-references": _html(_repeat(b"&notit;&")),
    "html-comments": _html(_repeat(b"<!--")),
    "html-unclosed": _html(_repeat(b"<a href='")),
    "html-styles": _html(_repeat(b"<style>a{color:red}</style>")),
    "html-open-styles": _html(_repeat(b"<style>")),
    "html-style-attributes": _html(
        lambda room: b"".join(
            b'<p style="color:rgb(%d,1,1);font:calc((1px*%d)/2)">' % (n % 255, n) for n in range(room // 54)
        )
    ),
    "html-scripts": _html(_repeat(b"<script>")),
    "html-heads": _html(_repeat(b"<head><title>")),
    "html-pictures": _html(_repeat(b'<img src="https://a.example/b.png" srcset="c 1x, d 2x">')),
    "html-cids": _html(_repeat(b'<img src="cid:a@b">')),
    "html-links": _html(_repeat(b'<a href="https://a.example/">b</a>')),
    "html-quotes": _html(_repeat(b"<blockquote>a<br>")),
    "html-pre": _html(lambda room: b"<pre>" + filled(b"a\n", room)),
    "html-plain-angles": _html(_repeat(b"<")),
    "html-lt-words": _html(_repeat(b"<a ")),
    "html-bodies": _html(_repeat(b"<body a>")),
    "html-selects": _html(_repeat(b"<select><option>")),
    "html-svg": _html(_repeat(b"<svg><style><!--</style>")),
    "html-blanks": _html(_repeat(b"&nbsp;&#8203; ")),
    # CSS.
    "css-rules": _html(lambda room: b"<style>" + filled(b"a,b,c{color:red}", room) + b"</style>x"),
    "css-selectors": _html(lambda room: b"<style>" + filled(b"a b>c~d+", room) + b"{color:red}</style>x"),
    "css-names": _html(lambda room: b"<style>" + filled(b".a#b:hover", room) + b"{color:red}</style>x"),
    "css-brackets": _html(lambda room: b'<p style="width:' + filled(b"calc(((", room) + b'">x'),
    "css-bracket-pairs": _html(
        lambda room: filled(b'<p style="width:' + b"calc(1+(2+(3+" * 300 + b'">x', room)
    ),
    "css-quotes": _html(lambda room: b"<style>" + filled(b"'\"", room) + b"</style>x"),
    "css-open-quotes": _html(lambda room: b"<style>" + filled(b'"', room | 1) + b"</style>x"),
    "css-comments": _html(lambda room: b"<style>" + filled(b"/*", room) + b"</style>x"),
    "css-escapes": _html(lambda room: b"<style>" + filled(b"\\61 ", room) + b"</style>x"),
    "css-blocks": _html(lambda room: b"<style>" + filled(b"@media x{", room) + b"</style>x"),
    "css-open-blocks": _html(lambda room: b"<style>" + filled(b"a{", room) + b"</style>x"),
    "css-at-rules": _html(lambda room: b"<style>" + filled(b"@x{{", room) + b"</style>x"),
    "css-urls": _html(
        lambda room: filled(b'<p style="background:' + b"url(https://a.example/b)" * 200 + b'">x', room)
    ),
    "css-declarations": _html(lambda room: b"<style>a{" + filled(b"a:b;", room) + b"}</style>x"),
    "css-words": _html(lambda room: b"<style>a{color:" + filled(b"a ", room) + b"!}</style>x"),
    "css-shades": _html(lambda room: filled(b'<p style="color:' + b"rgb(1" * 1_000 + b'">x', room)),
    # Calendars.
    "calendar-lines": _calendar(_repeat(b"ATTENDEE:mailto:a@b\r\n")),
    "calendar-folds": _calendar(_repeat(b"SUMMARY:a\r\n b\r\n")),
    "calendar-parameters": _calendar(lambda room: b"ATTENDEE" + filled(b";A=b,c", room) + b":x"),
    "calendar-quotes": _calendar(lambda room: b"ATTENDEE" + filled(b';A="', room)),
    "calendar-almost": _calendar(lambda room: filled(b"ATTENDEE" + b";A=b,c,d" * 100 + b"\r\n", room)),
    "calendar-zones": _calendar(_repeat(b"DTSTART;TZID=Asia/X:20260303T100000\r\n")),
    "calendar-escapes": _calendar(lambda room: b"SUMMARY:" + filled(b"\\n\\,", room)),
    "calendar-begins": _calendar(_repeat(b"BEGIN:VEVENT\r\n")),
}


def bombs(size: int) -> dict[str, bytes]:
    """Every bomb at about `size` bytes."""
    return {name: make(size) for name, make in BOMBS.items()}
