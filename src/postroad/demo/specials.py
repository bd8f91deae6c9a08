"""Demo mails with a form of their own: newsletter, invitation, bounce, nested forward, old charset, spam.

Written byte by byte where the standard library is too tidy. RFC 5545, RFC 3464, RFC 2046 5.2.1, RFC 2369.
"""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

from postroad.demo.attachments import hills, pdf
from postroad.demo.letter import ANSWERED, CHINA, READ, STARRED, UNREAD, At, Box, File, Letter, Place, Raw
from postroad.demo.people import (
    ALICE,
    CHEN,
    COLLEAGUES,
    DOMAIN,
    EXPO,
    GUILD,
    LIN,
    NEWS,
    PRIYA,
    STRANGER,
    TRAVEL,
)


def _word(text: str, charset: str = "utf-8") -> str:
    return f"=?{charset}?B?{base64.b64encode(text.encode(charset)).decode()}?="


def _wrapped(content: bytes) -> bytes:
    return base64.encodebytes(content).replace(b"\n", b"\r\n")


def _crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


NEWSLETTER = Letter(
    "tea-weekly-112",
    At(1, 7, 0),
    NEWS,
    (CHEN,),
    "茶业周刊第 112 期：头采提前，欧洲需求回暖",
    "茶业周刊 第 112 期\n\n头采提前：多地茶区比往年早五至七天\n欧洲需求回暖：前两个月进口量增长 9%\n"
    "包装趋势：小罐与可回收材料\n\n退订：https://tea-weekly.example/unsubscribe\n",
    (Place(CHEN, flags=UNREAD), Place(ALICE, flags=READ)),
    html="""<!doctype html><html><head><style>
body{margin:0;background:#f3f5f1;font-family:'PingFang SC','Microsoft YaHei',Helvetica,Arial,sans-serif}
.card{max-width:620px;margin:24px auto;background:#fff;border-radius:10px;overflow:hidden}
.hero{background:#1f5f49;color:#fff;padding:28px 32px}
.hero h1{margin:0;font-size:26px;letter-spacing:1px}
.story{padding:20px 32px;border-bottom:1px solid #e6ece8}
.story h2{margin:0 0 8px;font-size:18px;color:#1f5f49}
.story p{margin:0;line-height:1.7;color:#43514a}
.button{display:inline-block;margin-top:12px;padding:8px 18px;background:#c8993f;color:#fff;
text-decoration:none;border-radius:4px}
.foot{padding:16px 32px;color:#8b9892;font-size:12px}
@media (max-width:480px){.story,.hero,.foot{padding:16px}}
</style></head><body><div class="card">
<div class="hero"><h1>茶业周刊</h1><div>第 112 期 · 每周三早上七点</div></div>
<img src="https://images.tea-weekly.example/112/terrace.jpg" width="620" alt="春天的茶园">
<div class="story"><h2>头采提前：多地茶区比往年早五至七天</h2>
<p>气温偏高、雨水适中，浙江与福建多地已经开采。业内预计明前茶总量增加一成，价格与去年持平。</p>
<a class="button" href="https://tea-weekly.example/112/harvest">阅读全文</a></div>
<div class="story"><h2>欧洲需求回暖</h2>
<p>前两个月进口量同比增长 9%，其中白茶与乌龙增长最快。小批量、多品种成为订单的主要形态。</p></div>
<div class="story"><h2>包装趋势：小罐与可回收材料</h2>
<p>50 克以下小罐的占比首次超过三成；越来越多的买家要求提供材料的回收证明。</p></div>
<div class="foot">您收到此邮件是因为订阅了茶业周刊。<a href="https://tea-weekly.example/unsubscribe">退订</a>
<img src="https://track.tea-weekly.example/o/112.gif" width="1" height="1" alt=""></div>
</div></body></html>""",
    headers={
        "List-Id": "Tea Weekly <weekly.tea-weekly.example>",
        "List-Unsubscribe": "<https://tea-weekly.example/unsubscribe>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    },
)

EXPO_MAIL = Letter(
    "expo-booth",
    At(3, 13, 20),
    EXPO,
    (ALICE, CHEN),
    "Your booth at Asia Tea Expo: hall 4, stand C17",
    "Dear exhibitor,\n\nyour stand is C17 in hall 4, between the tasting bar and the main entrance. Build-up starts "
    "on the day before at 08:00. The floor plan is attached.\n\nSee you there\nAsia Tea Expo\n",
    (Place(ALICE, flags=READ), Place(CHEN, flags=READ)),
    html="""<html><body style="font-family:Georgia,serif;color:#333">
<div style="border-top:6px solid #c8993f;padding:16px;max-width:560px">
<h1 style="font-size:24px;margin:0 0 12px">Hall 4, stand <span style="color:#26705a">C17</span></h1>
<p>Dear exhibitor,</p>
<p>your stand lies between the tasting bar and the main entrance.</p>
<ul><li>Build-up: the day before, from 08:00</li><li>Power: 2 &times; 16 A</li><li>Badges: 4</li></ul>
<p><img src="cid:view" width="480" height="270" alt="Tea terraces"></p>
<p>See you there<br><em>Asia Tea Expo</em></p></div></body></html>""",
    files=(
        File("view.png", "image/png", hills(), content_id="view"),
        File("floor-plan.pdf", "application/pdf", pdf("Hall 4", ["C15  Tasting bar", "C17  Yunling Tea"])),
    ),
)

LIST_POST = Letter(
    "forum-phyto",
    At(8, 22, 10),
    GUILD,
    (GUILD,),
    "[exporters] New phytosanitary form from next month",
    "Hello list,\n\nfrom the first of next month the EU border posts accept only the new electronic form. "
    "The paper version is refused, we had a container stuck for three days.\n\nThe link is on the forum's "
    "page.\n\n-- \nTo leave this list write to exporters-leave@lists.tea-guild.example\n",
    (Place(ALICE, flags=READ), Place(CHEN, Box.ARCHIVE, UNREAD)),
    headers={
        "List-Id": "Tea Exporters Forum <exporters.lists.tea-guild.example>",
        "List-Post": "<mailto:exporters@lists.tea-guild.example>",
        "List-Unsubscribe": "<mailto:exporters-leave@lists.tea-guild.example>",
        "Precedence": "list",
    },
)

_MINUTES = (
    "会议纪要",
    "一、春茶采购",
    "各茶区头采时间普遍提前，采购计划相应前移一周。明前茶优先保证欧洲首单，其余进入国内渠道。请采购部与王芳的合作社确认每日到货量，"
    "并在系统中登记批次。",
    "二、质量与检测",
    "出口批次全部送检，农残检测报告需在装箱前三天取得。上一批次的水分略高，要求烘干温度提高两度，时间延长十分钟，并保留温度记录。",
    "三、包装",
    "50 克铁罐首批 9,000 只，颜色待确认。外箱改用可回收瓦楞纸，成本增加约 2%，对外报价不变。",
    "四、物流",
    "欧洲订单走中欧班列，两个托盘已订。国内订单维持现有承运商，旺季附加费由公司承担。",
    "五、市场",
    "下月参加亚洲茶博会，展位 C17。样品、画册、名片由 Alice 统一准备。网站的英文介绍需要更新产品照片。",
    "六、财务",
    "一季度毛利率 33.1%，高于预算 1.4 个百分点。逾期账款一笔，已约定付款日期。二季度预算下周讨论。",
)

LONG_MAIL = Letter(
    "minutes-q1",
    At(10, 18, 40),
    LIN,
    COLLEAGUES,
    "一季度经营会会议纪要（全文）",
    "\n\n".join(f"{paragraph}" for _ in range(12) for paragraph in _MINUTES) + "\n\n记录：林婉清\n",
    (Place(CHEN, flags=READ), Place(ALICE, flags=READ), Place(LIN, Box.SENT)),
)

TRIP = Letter(
    "trip-frankfurt",
    At(6, 20, 15),
    TRAVEL,
    (CHEN,),
    "Itinerary: Hangzhou - Frankfurt, two travellers",
    "Chen Siyuan, Alice Morgan\n\n  HGH 23:55  ->  FRA 05:40 (+1)\n  FRA 14:10  ->  HGH 06:25 (+1)\n\n"
    "Check-in opens 30 hours before departure.\n",
    (Place(CHEN, flags=READ, keywords=("$label2",)),),
)

SPAM = Letter(
    "prize",
    At(2, 3, 33),
    STRANGER,
    (CHEN,),
    "CONGRATULATIONS!!! You have been selected",
    "Dear winner, your e-mail address has won USD 850,000. Send your bank details within 24 hours.\n",
    (Place(CHEN, Box.JUNK, UNREAD),),
)

TRASHED = Letter(
    "parking",
    At(5, 8, 2),
    LIN,
    COLLEAGUES,
    "地下车库今晚清洗",
    "今晚 22 点至凌晨 5 点地下车库清洗，请提前把车开走。\n",
    (Place(CHEN, Box.TRASH, READ), Place(ALICE, Box.TRASH, READ), Place(LIN, Box.SENT)),
)

# The way mail from mainland offices looked for twenty years, and often still does.
GB18030 = Raw(
    "customs-gb",
    At(2, 15, 46),
    (
        f"Return-Path: <baoguan@ningbo-customs.example>\r\n"
        f"From: {_word('宁波报关行', 'gb18030')} <baoguan@ningbo-customs.example>\r\n"
        f"To: {_word('林婉清', 'gb18030')} <{LIN.address}>\r\n"
        f"Cc: <{CHEN.address}>\r\n"
        f"Subject: {_word('出口报关单已放行：箱号 TGHU7081346', 'gb18030')}\r\n"
        f"Date: {{date}}\r\nMessage-ID: <release-7081346@ningbo-customs.example>\r\n"
        f"X-Mailer: Foxmail 6\r\nMIME-Version: 1.0\r\n"
        f'Content-Type: text/plain; charset="gb2312"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
    ).encode()
    + (
        "林小姐：\r\n\r\n    贵司出口货物已放行，报关单号 3104 2026 0417 8821，箱号 TGHU7081346。\r\n"
        "    货值 ￥612,400.00，退税联三个工作日内寄出。收货人：喆鑫贸易（喆、鑫二字以报关单为准）。\r\n\r\n"
        "    宁波报关行  业务二部\r\n"
    ).encode("gb18030"),
    (Place(LIN, flags=STARRED), Place(CHEN, flags=READ)),
)

BOUNCE = Raw(
    "bounce-old-buyer",
    At(7, 9, 16),
    _crlf(f"""\
Return-Path: <>
From: Mail Delivery System <postmaster@{DOMAIN}>
To: <{ALICE.address}>
Subject: Undelivered mail: Spring list
Date: {{date}}
Message-ID: <bounce-old-buyer@{DOMAIN}>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=_report"

--=_report
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Your mail could not be delivered to one recipient.
您的邮件未能送达以下收件人。

  old.buyer@nordwind-import.example
  550 5.1.1 The mailbox does not exist

--=_report
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.{DOMAIN}
Arrival-Date: {{date}}

Final-Recipient: rfc822; old.buyer@nordwind-import.example
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.nordwind-import.example
Diagnostic-Code: smtp; 550 5.1.1 The mailbox does not exist

--=_report
Content-Type: message/rfc822

From: Alice Morgan <{ALICE.address}>
To: old.buyer@nordwind-import.example
Subject: Spring list
Message-ID: <spring-list-old@{DOMAIN}>

Dear Mr Hansen, please find our spring list attached.

--=_report--
"""),
    (Place(ALICE, flags=READ),),
)

NESTED_FORWARD = Raw(
    "forward-damage",
    At(8, 11, 55),
    _crlf(f"""\
From: Alice Morgan <{ALICE.address}>
To: {_word("陈思远")} <{CHEN.address}>, {_word("林婉清")} <{LIN.address}>
Subject: Fwd: Fwd: Damaged cartons, February shipment
Date: {{date}}
Message-ID: <forward-damage@{DOMAIN}>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=_outer"

--=_outer
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Both, for the insurance claim: Priya forwarded the carrier's own words, with a photograph.

Alice
--=_outer
Content-Type: message/rfc822
Content-Disposition: attachment; filename="Fwd- Damaged cartons.eml"

From: {PRIYA.name} <{PRIYA.address}>
To: Alice Morgan <{ALICE.address}>
Subject: Fwd: Damaged cartons, February shipment
Message-ID: <fwd-damaged@harbour-logistics.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=_middle"

--=_middle
Content-Type: text/plain; charset=us-ascii

Hi Alice, this is what the terminal wrote.
--=_middle
Content-Type: message/rfc822

From: Terminal 3 <claims@terminal3.example>
To: {PRIYA.name} <{PRIYA.address}>
Subject: Damaged cartons, February shipment
Message-ID: <damaged-0212@terminal3.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=_inner"

--=_inner
Content-Type: text/plain; charset=us-ascii

Three cartons of lot 0212 were crushed on one corner. Contents seem dry.
--=_inner
Content-Type: image/png; name="carton.png"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="carton.png"

""")
    + _wrapped(hills(240, 135))
    + _crlf("--=_inner--\n--=_middle--\n--=_outer--\n"),
    (Place(CHEN, flags=READ), Place(ALICE, Box.SENT), Place(LIN, flags=ANSWERED)),
)


def invitation(now: datetime) -> Raw:
    """A calendar invitation for the afternoon two days from now (RFC 5545, RFC 6047)."""
    day = (now + timedelta(days=2)).astimezone(CHINA)
    start = day.replace(hour=14, minute=0, second=0, microsecond=0)
    end = start + timedelta(minutes=90)

    def stamp(moment: datetime) -> str:
        return moment.strftime("%Y%m%dT%H%M%S")

    calendar = _crlf(f"""\
BEGIN:VCALENDAR
PRODID:-//Nordwind Import//Calendar 4.2//EN
VERSION:2.0
METHOD:REQUEST
BEGIN:VTIMEZONE
TZID:Asia/Shanghai
BEGIN:STANDARD
DTSTART:19700101T000000
TZOFFSETFROM:+0800
TZOFFSETTO:+0800
END:STANDARD
END:VTIMEZONE
BEGIN:VEVENT
UID:spring-tasting-0417@nordwind-import.example
DTSTAMP:{stamp(start)}Z
DTSTART;TZID=Asia/Shanghai:{stamp(start)}
DTEND;TZID=Asia/Shanghai:{stamp(end)}
SUMMARY:春茶品鉴会 Spring tasting
LOCATION:杭州 · 三楼品茶室 / video link in the description
DESCRIPTION:We taste the first picking together. 请提前十分钟烧水。
ORGANIZER;CN=Jonas Weber:mailto:jonas.weber@nordwind-import.example
ATTENDEE;CN=陈思远;RSVP=TRUE;PARTSTAT=NEEDS-ACTION:mailto:{CHEN.address}
ATTENDEE;CN=Alice Morgan;RSVP=TRUE;PARTSTAT=NEEDS-ACTION:mailto:{ALICE.address}
END:VEVENT
END:VCALENDAR
""")
    head = _crlf(f"""\
From: Jonas Weber <jonas.weber@nordwind-import.example>
To: {_word("陈思远")} <{CHEN.address}>, Alice Morgan <{ALICE.address}>
Subject: {_word("邀请：春茶品鉴会 Spring tasting")}
Date: {{date}}
Message-ID: <invite-0417@nordwind-import.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=_invite"

--=_invite
Content-Type: multipart/alternative; boundary="=_choice"

--=_choice
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

春茶品鉴会 Spring tasting
{start:%Y-%m-%d} 14:00 - 15:30 (Asia/Shanghai)
杭州 · 三楼品茶室

--=_choice
Content-Type: text/calendar; charset=utf-8; method=REQUEST
Content-Transfer-Encoding: base64

""")
    return Raw(
        "invitation",
        At(minutes_ago=228),
        head
        + _wrapped(calendar)
        + _crlf("""\
--=_choice--
--=_invite
Content-Type: application/ics; name="invite.ics"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="invite.ics"

""")
        + _wrapped(calendar)
        + b"--=_invite--\r\n",
        (Place(CHEN, flags=UNREAD), Place(ALICE, flags=ANSWERED)),
    )


SPECIAL_LETTERS = (NEWSLETTER, EXPO_MAIL, LIST_POST, LONG_MAIL, TRIP, SPAM, TRASHED)
RAW_MAILS = (GB18030, BOUNCE, NESTED_FORWARD)
