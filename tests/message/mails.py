"""Realistic mails for tests, made in code: `MAILS` maps a name to the bytes of one mail as it travels.

Every mail is shaped like what a well-known program sends, broken ones included. Nothing here is random;
`mutations` gives as many damaged ones as a fuzz test wants, the same ones each time.
"""

# ruff: noqa: E501 - mails are quoted as they travel

from __future__ import annotations

import base64
import quopri
import random
from collections.abc import Iterator
from email.header import Header

BOUNDARY = "----=_NextPart_000_0012_01DA6B2F"


def crlf(text: str | bytes) -> bytes:
    """Return lines with CRLF ends."""
    data = text.encode() if isinstance(text, str) else text
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def b64(data: bytes, width: int = 76) -> bytes:
    """Return base64 in lines."""
    text = base64.b64encode(data)
    return b"\r\n".join(text[i : i + width] for i in range(0, len(text), width))


def word(text: str, charset: str = "utf-8", encoding: str = "b") -> str:
    """Return one encoded word of RFC 2047."""
    data = text.encode(charset)
    if encoding == "b":
        return f"=?{charset}?B?{base64.b64encode(data).decode()}?="
    return f"=?{charset}?Q?{''.join(f'={octet:02X}' for octet in data)}?="


def header(subject: str = "Hello", *, number: int = 1, extra: str = "", sender: str = "") -> bytes:
    """Return the usual fields of a mail that came over the net, without Content-Type and the empty line."""
    return crlf(
        f"""Received: from mx{number}.example.com (mx{number}.example.com [192.0.2.{number}])
\tby mail.example.org (Postfix) with ESMTPS id 4F2C0{number}
\tfor <wang@example.org>; Tue, 3 Mar 2026 10:00:0{number % 10} +0800 (CST)
From: {sender or word("李四") + " <li@example.com>"}
To: "Wang, Wu" <wang@example.org>, zhao@example.org
Subject: {subject}
Date: Tue, 3 Mar 2026 10:00:0{number % 10} +0800
Message-ID: <mail.{number}@example.com>
MIME-Version: 1.0
{extra}"""
    )


def single(body: bytes, content_type: str, encoding: str = "8bit", **more: str | int) -> bytes:
    """Return a mail of one part; `body` as it travels."""
    fields = f"Content-Type: {content_type}\nContent-Transfer-Encoding: {encoding}\n"
    return header(**more) + crlf(fields) + b"\r\n" + body  # type: ignore[arg-type]


def part(body: bytes, *fields: str) -> bytes:
    """Return one part for `multipart`: its fields, the empty line, the body."""
    return crlf("".join(field + "\n" for field in fields)) + b"\r\n" + body


def multipart(
    subtype: str, *parts: bytes, boundary: str = BOUNDARY, top: bytes | None = None, preamble: bytes = b""
) -> bytes:
    """Return a multipart mail; with `top=b""` only the part, its Content-Type first."""
    head = header() if top is None else top
    field = crlf(f'Content-Type: multipart/{subtype};\n\tboundary="{boundary}"\n')
    mark = b"--" + boundary.encode()
    body = b"".join(mark + b"\r\n" + one + b"\r\n" for one in parts) + mark + b"--\r\n"
    return head + field + b"\r\n" + preamble + body


CHINESE = "各位同事：\r\n\r\n明天上午十点在三号会议室召开项目会议，请准时参加。\r\n附件是会议纪要，请查收。\r\n\r\n此致\r\n敬礼\r\n"
TRADITIONAL = "各位同事：\r\n明天上午十點在三號會議室召開項目會議，請準時參加。\r\n謝謝\r\n"
JAPANESE = "会議のお知らせ\r\n明日の午前十時に会議室で打ち合わせを行います。\r\nよろしくお願いします。\r\n"
ENGLISH = "Hello Wang,\r\n\r\nplease find the minutes of our meeting attached.\r\n\r\nRegards\r\nLi\r\n"
PDF = b"%PDF-1.4\n1 0 obj <</Type /Catalog>> endobj\n" + bytes(range(256)) * 4
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def newsletter(rows: int = 24) -> str:
    """Return the HTML of a newsletter: tables, inline styles, a style block, remote and inline pictures."""
    item = """<tr><td class="cell" align="left" bgcolor="#f7f7f7" style="padding:12px 20px;font-family:'Microsoft YaHei',
 Arial,sans-serif;font-size:14px;line-height:1.6;color:#333333;border-bottom:1px solid #e5e5e5;">
<a href="https://shop.example.com/item?id={n}&amp;from=mail" style="color:#0066cc;text-decoration:none"
 target="_blank"><img src="https://img.example.com/p/{n}.jpg" width="120" height="80" alt="商品 {n}" border="0"
 style="display:block;float:left"></a><b>新品上市 {n}</b><br><font color="red" size="2">限时优惠 &yen;{n}9.00</font>
</td></tr>
"""
    items = "".join(item.format(n=n) for n in range(rows))
    return f"""<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
 "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8">
<title>三月新品</title><style type="text/css">
body {{ margin:0; padding:0; background:#eeeeee }} .cell {{ color:#333 }} a:hover {{ color:red !important }}
@media only screen and (max-width:600px) {{ .wide {{ width:100% !important }} }}
</style></head><body bgcolor="#eeeeee" style="margin:0">
<div style="display:none;max-height:0;overflow:hidden">本月新品抢先看</div>
<table class="wide" width="600" border="0" cellpadding="0" cellspacing="0" align="center"><tbody>{items}</tbody></table>
<p style="text-align:center"><a href="https://shop.example.com/unsubscribe?u=1">退订</a></p>
<img src="https://track.example.com/o.gif?id=9" width="1" height="1"></body></html>
"""


CALENDAR = """BEGIN:VCALENDAR
METHOD:REQUEST
PRODID:-//Example//Calendar 1.0//ZH
VERSION:2.0
BEGIN:VEVENT
UID:event-1@example.com
DTSTAMP:20260303T020000Z
DTSTART;TZID=Asia/Shanghai:20260304T100000
DTEND;TZID=Asia/Shanghai:20260304T110000
SUMMARY:项目会议
LOCATION:三号会议室
ORGANIZER;CN=李四:mailto:li@example.com
ATTENDEE;RSVP=TRUE:mailto:wang@example.org
END:VEVENT
END:VCALENDAR
"""

STATUS = """Reporting-MTA: dns; mail.example.org
Arrival-Date: Tue, 3 Mar 2026 10:00:00 +0800

Final-Recipient: rfc822; nobody@example.net
Original-Recipient: rfc822;nobody@example.net
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.net
Diagnostic-Code: smtp; 550 5.1.1 <nobody@example.net>: Recipient address rejected: User unknown
"""


def _alternative(plain: bytes, html: bytes, charset: str = "utf-8", boundary: str = "alt_1") -> bytes:
    return multipart(
        "alternative",
        part(b64(plain), f"Content-Type: text/plain; charset={charset}", "Content-Transfer-Encoding: base64"),
        part(
            quopri.encodestring(html).replace(b"\n", b"\r\n"),
            f"Content-Type: text/html; charset={charset}",
            "Content-Transfer-Encoding: quoted-printable",
        ),
        boundary=boundary,
        top=b"",
    )


def _build() -> dict[str, bytes]:
    gb = CHINESE.encode("gb18030")
    html = newsletter().encode()
    subject_gb = word("关于召开项目会议的通知", "gb2312")
    whole = base64.b64encode("会议通知：请各位同事准时参加".encode()).decode()
    torn = " ".join(
        f"=?utf-8?B?{base64.b64encode(chunk).decode()}?="
        for chunk in (lambda data: (data[:10], data[10:25], data[25:]))(
            "会议通知：请各位同事准时参加".encode()
        )
    )
    inner = single(CHINESE.encode(), "text/plain; charset=utf-8", subject="Inner", number=7)
    mails = {
        "plain-ascii": single(ENGLISH.encode(), "text/plain; charset=us-ascii", "7bit"),
        "plain-utf8": single(
            CHINESE.encode(), "text/plain; charset=utf-8", subject=word("会议通知"), number=2
        ),
        "plain-gb2312": single(gb, 'text/plain; charset="gb2312"', subject=subject_gb, number=3),
        "plain-gbk-rare": single(
            "镕基、喆、堃：你好\r\n".encode("gbk"), "text/plain; charset=gb2312", number=4
        ),
        "plain-gbk-base64": single(b64(gb), "text/plain; charset=GBK", "base64", number=5),
        "plain-big5": single(
            TRADITIONAL.encode("big5"), "text/plain; charset=big5", subject=word("會議通知", "big5"), number=6
        ),
        "plain-iso-2022-jp": single(
            JAPANESE.encode("iso2022_jp"),
            "text/plain; charset=ISO-2022-JP",
            "7bit",
            subject=word("会議のお知らせ", "iso-2022-jp"),
        ),
        "plain-shift-jis": single(JAPANESE.encode("cp932"), "text/plain; charset=Shift_JIS"),
        "plain-euc-kr": single(
            "안녕하세요 회의 안내입니다\r\n".encode("cp949"), "text/plain; charset=ks_c_5601-1987"
        ),
        "plain-koi8-r": single(
            "Приглашаем вас на встречу\r\n".encode("koi8_r"), "text/plain; charset=koi8-r"
        ),
        "plain-latin1-qp": single(
            b"Gr=FC=DFe aus M=FCnchen=\r\n, Andr=E9\r\n",
            "text/plain; charset=iso-8859-1",
            "quoted-printable",
            subject="=?iso-8859-1?Q?Gr=FC=DFe_aus_M=FCnchen?=",
        ),
        "unlabelled-gbk": header(subject="x").replace(b"Subject: x", b"Subject: " + "会议通知".encode("gbk"))
        + b"\r\n"
        + gb,
        "unlabelled-utf8": header("会议通知", sender="李四 <li@example.com>") + b"\r\n" + CHINESE.encode(),
        "wrong-label": single(CHINESE.encode(), "text/plain; charset=gb2312"),
        "unknown-label": single(gb, "text/plain; charset=x-unknown"),
        "codec-label": single(b"\\ud800\\u0000 hello\r\n", "text/plain; charset=unicode_escape"),
        "torn-subject": single(CHINESE.encode(), "text/plain; charset=utf-8", subject=torn),
        "folded-subject": header(f"=?utf-8?B?{whole}?=\n =?gb2312?B?u+HS6Q==?=") + b"\r\nbody\r\n",
        "html-newsletter": single(
            quopri.encodestring(html).replace(b"\n", b"\r\n"),
            "text/html; charset=utf-8",
            "quoted-printable",
            subject=word("三月新品"),
            extra="List-Unsubscribe: <https://shop.example.com/unsubscribe?u=1>\n",
        ),
        "alternative": header(word("三月新品")) + _alternative(CHINESE.encode(), html),
        "related-inline-picture": multipart(
            "related",
            part(
                '<p>看图：<img src="cid:logo@example.com"></p>'.encode(),
                "Content-Type: text/html; charset=utf-8",
                "Content-Transfer-Encoding: 8bit",
            ),
            part(
                b64(PNG),
                'Content-Type: image/png; name="logo.png"',
                "Content-ID: <logo@example.com>",
                "Content-Disposition: inline; filename=logo.png",
                "Content-Transfer-Encoding: base64",
            ),
        ),
        "attachment-rfc2231": multipart(
            "mixed",
            _alternative(CHINESE.encode(), b"<p>Minutes</p>"),
            part(
                b64(PDF),
                "Content-Type: application/pdf",
                "Content-Transfer-Encoding: base64",
                "Content-Disposition: attachment;\n filename*0*=UTF-8''%E4%BC%9A%E8%AE%AE;\n filename*1*=%E7%BA%AA"
                "%E8%A6%81;\n filename*2=.pdf",
            ),
        ),
        "attachment-rfc2047-name": multipart(
            "mixed",
            part(gb, "Content-Type: text/plain; charset=gb2312", "Content-Transfer-Encoding: 8bit"),
            part(
                b64(PDF),
                f'Content-Type: application/octet-stream;\n\tname="{word("会议纪要.pdf", "gb2312")}"',
                "Content-Transfer-Encoding: base64",
                f'Content-Disposition: attachment;\n\tfilename="{word("会议纪要.pdf", "gb2312")}"',
            ),
        ),
        "attachment-raw-gbk-name": multipart(
            "mixed",
            part(gb, "Content-Type: text/plain; charset=gbk"),
            part(
                b64(PDF),
                "Content-Type: application/pdf",
                "Content-Transfer-Encoding: base64",
                "Content-Disposition: attachment; filename=@@",
            ).replace(b"@@", "会议纪要.pdf".encode("gbk")),
        ),
        "calendar-invitation": multipart(
            "mixed",
            multipart(
                "alternative",
                part(
                    CHINESE.encode(),
                    "Content-Type: text/plain; charset=utf-8",
                    "Content-Transfer-Encoding: 8bit",
                ),
                part(
                    crlf(CALENDAR),
                    "Content-Type: text/calendar; charset=utf-8; method=REQUEST",
                    "Content-Transfer-Encoding: 8bit",
                ),
                boundary="cal_2",
                top=b"",
            ),
            part(
                b64(crlf(CALENDAR)),
                "Content-Type: application/ics; name=invite.ics",
                "Content-Disposition: attachment; filename=invite.ics",
                "Content-Transfer-Encoding: base64",
            ),
        ),
        "winmail": multipart(
            "mixed",
            part(
                ENGLISH.encode(),
                "Content-Type: text/plain; charset=us-ascii",
                "Content-Transfer-Encoding: 7bit",
            ),
            part(
                b64(b"\x78\x9f\x3e\x22" + bytes(200)),
                'Content-Type: application/ms-tnef; name="winmail.dat"',
                "Content-Transfer-Encoding: base64",
                'Content-Disposition: attachment; filename="winmail.dat"',
            ),
        ),
        "enclosed-mail": multipart(
            "mixed",
            part(b"See below.\r\n", "Content-Type: text/plain"),
            part(
                inner, "Content-Type: message/rfc822", "Content-Disposition: attachment; filename=inner.eml"
            ),
        ),
        "enclosed-multipart": multipart(
            "mixed",
            part(b"See below.\r\n", "Content-Type: text/plain"),
            part(
                header("Inner") + _alternative(CHINESE.encode(), html, boundary="deep_3"),
                "Content-Type: message/rfc822",
            ),
        ),
        "enclosed-only": header() + b"Content-Type: message/rfc822\r\n\r\n" + inner,
        "digest": multipart("digest", b"\r\n" + inner, b"\r\n" + single(b"two\r\n", "text/plain", number=8)),
        "status-report": multipart(
            "report; report-type=delivery-status",
            part(b"Your mail could not be delivered.\r\n", "Content-Description: Notification"),
            part(
                crlf(STATUS), "Content-Description: Delivery report", "Content-Type: message/delivery-status"
            ),
            part(header() + b"\r\n", "Content-Type: text/rfc822-headers"),
            top=header(
                "Undelivered Mail Returned to Sender", sender="MAILER-DAEMON@mail.example.org (Mail System)"
            ),
        ),
        "signed": multipart(
            'signed; micalg=pgp-sha256; protocol="application/pgp-signature"',
            part(ENGLISH.encode(), "Content-Type: text/plain"),
            part(
                b"-----BEGIN PGP SIGNATURE-----\r\n\r\nabc\r\n-----END PGP SIGNATURE-----\r\n",
                "Content-Type: application/pgp-signature; name=signature.asc",
            ),
        ),
        "uuencoded": single(
            b"begin 644 hello.txt\r\n+2&5L;&\\@=V]R;&0\r\n`\r\nend\r\n",
            "application/octet-stream; name=hello.txt",
            "x-uuencode",
        ),
        "preamble-epilogue": multipart(
            "mixed", part(ENGLISH.encode(), "Content-Type: text/plain"), preamble=b"This is a MIME mail.\r\n"
        )
        + b"after the end\r\n",
        "groups": header(sender='Managers:li@example.com, "Wu, Q" <wu@example.com>;').replace(
            b"To: ", b"To: undisclosed-recipients:;, "
        )
        + b"\r\nhi\r\n",
        "comments": header(sender="li@example.com (Li (the \\) older) Si)") + b"\r\nhi\r\n",
        "bare-lf": single(CHINESE.encode(), "text/plain; charset=utf-8").replace(b"\r\n", b"\n"),
        "no-final-boundary": multipart("mixed", part(b"one\r\n"), part(b"two\r\n"))[: -len(BOUNDARY) - 8],
        "no-boundary-parameter": header()
        + b"Content-Type: multipart/mixed\r\n\r\n--x\r\n\r\nhi\r\n--x--\r\n",
        "boundary-never-used": header() + b"Content-Type: multipart/mixed; boundary=zzz\r\n\r\nhello\r\n",
        "prefix-boundaries": multipart(
            "mixed",
            multipart(
                "alternative",
                part(b"plain\r\n"),
                part(b"<p>html", "Content-Type: text/html"),
                boundary="b1x",
                top=b"",
            ),
            part(b"PDF", "Content-Type: application/pdf"),
            boundary="b1",
        ),
        "no-headers": b"Just a line of text.\r\n\r\nAnd another.\r\n",
        "only-headers": b"From: a@example.com\r\nSubject: nothing else\r\n",
        "empty": b"",
        "empty-line-first": b"\r\nbody\r\n",
        "bad-type": single(b"hello\r\n", "text", "7bit"),
        "bad-base64": single(b"SGVsbG8gd29ybGQ!@#$%^\r\n===\r\nSGVsbG8", "text/plain", "base64"),
        "bad-dates": header().replace(
            b"Date: Tue, 3 Mar 2026 10:00:01 +0800", b"Date: 32 Foo 99999 77:88:99 +9999"
        )
        + b"\r\nhi\r\n",
        "nul-and-controls": header("a\0b\x01c\x7f")
        + b'Content-Type: text/plain; name="a\0b"\r\n\r\nx\0y\x08z\r\n',
        "surrogate-words": header("=?utf-8?B?7aCA?= =?utf-7?Q?+2AA-?= =?utf-8?Q?=00?=") + b"\r\nhi\r\n",
        "mbox-line": b"From li@example.com Tue Mar  3 10:00:00 2026\r\n" + header() + b"\r\nhi\r\n",
        "long-lines": header("x" * 5000) + b"\r\n" + b"y" * 20000 + b"\r\n",
        "many-recipients": header().replace(
            b"To: ", b"To: " + b",\r\n ".join(b"user%d@example.org" % n for n in range(300)) + b",\r\n "
        )
        + b"\r\nhi\r\n",
        "many-references": header(
            extra="References: " + "\n ".join(f"<r{n}@example.com>" for n in range(300)) + "\n"
        )
        + b"\r\nhi\r\n",
        "many-headers": b"".join(b"X-Filler-%d: value %d\r\n" % (n, n) for n in range(3000))
        + header()
        + b"\r\nhi\r\n",
        "urgent": header(word("紧急"), extra="X-Priority: 1 (Highest)\nImportance: High\n") + b"\r\nhi\r\n",
        "reply": header(
            "Re: Hello",
            extra="In-Reply-To: <root@example.org>\nReferences: <root@example.org> <mid@example.org>\n",
        )
        + b"\r\n> hi\r\nhello\r\n",
    }
    mails["deep"] = header() + _nested(60)
    mails["header-library"] = (
        header(Header("标题很长" * 20, "utf-8").encode(linesep="\n")) + b"\r\n" + CHINESE.encode()
    )
    return mails


def _nested(depth: int) -> bytes:
    inner = b"Content-Type: text/plain\r\n\r\nat the bottom\r\n"
    for level in range(depth):
        inner = multipart("mixed", inner, boundary=f"level{level}x", top=b"")
    return inner


MAILS: dict[str, bytes] = _build()


def header_flood(count: int = 100_000) -> bytes:
    """Return a mail with `count` header fields."""
    return b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(count)) + header() + b"\r\nhello\r\n"


def mutations(count: int, seed: int = 20260303) -> Iterator[tuple[str, bytes]]:
    """Yield `count` damaged mails with the names they came from, the same ones for the same seed."""
    chance = random.Random(seed)
    names = sorted(name for name in MAILS if MAILS[name])
    for _ in range(count):
        name = chance.choice(names)
        data = bytearray(MAILS[name])
        for _ in range(chance.randint(1, 8)):
            _damage(data, chance)
        yield name, bytes(data)


_SPLINTERS = (
    b"\r\n", b"\n", b"\r", b"\0", b"--", b"=?", b"?=", b'"', b"(", b"<", b">", b";", b":", b",", b"\xff", b"\xe4\xbd",
    b"Content-Type: multipart/mixed; boundary=x\r\n", b"\r\n\r\n", b"<script>", b"<style>", b"<!--", b"&#x", b"=3D",
    b"charset=utf-16", b"<svg><style>", b"base64", b"\x1b$B", b"{{{", b"[[[" * 50, b"((((" * 100, b"<div>" * 200,
)  # fmt: skip


def _damage(data: bytearray, chance: random.Random) -> None:
    if not data:
        data += b"x"
    place = chance.randrange(len(data))
    kind = chance.randrange(7)
    if kind == 0:
        data[place] = chance.randrange(256)
    elif kind == 1:
        del data[place : place + chance.randint(1, 200)]
    elif kind == 2:
        data[place:place] = chance.choice(_SPLINTERS)
    elif kind == 3:
        data[place:place] = data[chance.randrange(len(data)) :][: chance.randint(1, 400)]
    elif kind == 4:
        data[place : place + 4] = bytes(chance.randrange(256) for _ in range(4))
    elif kind == 5:
        del data[place:]
    else:
        old, new = chance.choice(
            (
                (b"utf-8", b"gb2312"),
                (b"base64", b"quoted-printable"),
                (b"\r\n", b"\n"),
                (b"text/", b"message/"),
                (b"boundary", b"bondary"),
                (b"text/plain", b"multipart/mixed"),
                (b'"', b""),
                (b"plain", b"html"),
            )
        )
        data[:] = bytes(data).replace(old, new)
