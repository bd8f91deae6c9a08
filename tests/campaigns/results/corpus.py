"""Mails that come back, of our own making: dialects of servers and of people's machines, each with its reasons.

A dialect is a template with the words its programs use for a reason; what it is to be taken for stands beside
each. `corpus()` makes all of them, with names and domains that change from mail to mail. Expected are a kind, and
for a bounce the type of part C.1 (1 does not exist, 2 full, 3 refused, 8 leads nowhere).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.header import Header

PEOPLE = (
    "li.lei",
    "anna",
    "wang_wei",
    "k.sato",
    "info",
    "j.doe",
    "h.mueller",
    "zhang.san",
    "o'neil",
    "spam-test",
)
PLACES = ("example.com", "mail.example.cn", "example.co.jp", "beispiel.example", "domain.example")


@dataclass(frozen=True)
class Sample:
    """One mail and what it is. `failure` 0: no bounce."""

    dialect: str
    language: str
    content: bytes
    kind: str
    failure: int


@dataclass(frozen=True)
class Dialect:
    """How one program writes; `reasons` are words with their type, or with a kind that is no bounce."""

    name: str
    language: str
    write: Callable[[str, str], bytes]
    reasons: tuple[tuple[int | str, str], ...]


ORIGINAL = (
    "Return-Path: <b-aaaabbbbccccddddeeeeffff@news.sender.example>\r\nFrom: News <news@sender.example>\r\n"
    "To: {to}\r\nSubject: =?utf-8?b?5Yqg5YWl5oiR5Lus?= spam free offer, mailbox full of savings\r\n"
    "Message-ID: <1@sender.example>\r\n"
)


def head(sender: str, subject: str, *more: str, charset: str = "utf-8") -> str:
    """The header without its content type."""
    encoded = subject if subject.isascii() else Header(subject, charset).encode()
    return "".join(
        line + "\r\n"
        for line in (
            f"From: {sender}",
            "To: b-aaaabbbbccccddddeeeeffff@news.sender.example",
            f"Subject: {encoded}",
            "Date: Tue, 3 Mar 2026 10:00:00 +0800",
            *more,
            "MIME-Version: 1.0",
        )
    )


def text(words: str, *, charset: str = "utf-8", subtype: str = "plain") -> str:
    """A part of text, base64 where it must be; as latin-1 text, to be encoded with the rest."""
    words = words.replace("\n", "\r\n")
    if words.isascii():
        return f"Content-Type: text/{subtype}; charset=us-ascii\r\n\r\n{words}\r\n"
    body = base64.encodebytes(words.encode(charset)).decode().replace("\n", "\r\n")
    return (
        f"Content-Type: text/{subtype}; charset={charset}\r\nContent-Transfer-Encoding: base64\r\n\r\n{body}"
    )


def prose(
    sender: str,
    subject: str,
    words: str,
    *more: str,
    charset: str = "utf-8",
    subtype: str = "plain",
) -> Callable[[str, str], bytes]:
    """A notice that is nothing but text."""

    def write(to: str, reason: str) -> bytes:
        filled = words.replace("{to}", to).replace("{reason}", reason)
        original = ORIGINAL.replace("{to}", to).replace("\r\n", "\n")
        filled = filled.replace("{original}", original)
        fields = [each.replace("{to}", to) for each in more]
        return (
            head(sender, subject, *fields, charset=charset) + text(filled, charset=charset, subtype=subtype)
        ).encode("ascii")

    return write


def dsn(
    sender: str,
    subject: str,
    words: str,
    *more: str,
    action: str = "failed",
    group: str = "Final-Recipient: rfc822; {to}\nAction: {action}\nStatus: {status}\nDiagnostic-Code: smtp; {reason}",
    subtype: str = "plain",
    charset: str = "utf-8",
) -> Callable[[str, str], bytes]:
    """A notice of RFC 3464; the status is the first one in the reason, 5.0.0 without one."""

    def write(to: str, reason: str) -> bytes:
        status = next(
            (word.strip("#()<>:,") for word in reason.split() if _is_status(word.strip("#()<>:,"))), "5.0.0"
        )
        if action == "delayed":
            status = "4.4.1"
        values = {"{to}": to, "{reason}": reason, "{action}": action, "{status}": status}

        def fill(template: str) -> str:
            for mark, value in values.items():
                template = template.replace(mark, value)
            return template

        report = fill(group)
        parts = [
            text(fill(words), subtype=subtype, charset=charset),
            "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
            + report.encode("ascii", "replace").decode().replace("\n", "\r\n")
            + "\r\n",
            "Content-Type: text/rfc822-headers\r\n\r\n" + ORIGINAL.replace("{to}", to),
        ]
        body = "".join(f"--=_cut\r\n{part}\r\n" for part in parts) + "--=_cut--\r\n"
        kind = 'Content-Type: multipart/report; report-type=delivery-status; boundary="=_cut"\r\n\r\n'
        return (head(sender, subject, *more, charset=charset) + kind + body).encode("ascii")

    return write


def _is_status(word: str) -> bool:
    return len(word) >= 5 and word[0] in "245" and word.count(".") == 2 and word.replace(".", "").isdigit()


def complaint(kind: str) -> Callable[[str, str], bytes]:
    """A complaint of RFC 5965; `kind` is its Feedback-Type."""

    def write(to: str, reason: str) -> bytes:
        body = (
            "--=_cut\r\n" + text(f"This is an email abuse report for a message received. {reason}") + "\r\n"
            "--=_cut\r\nContent-Type: message/feedback-report\r\n\r\n"
            f"Feedback-Type: {kind}\r\nUser-Agent: Feedback/1.0\r\nVersion: 1\r\n"
            f"Original-Mail-From: <b-aaaabbbbccccddddeeeeffff@news.sender.example>\r\nOriginal-Rcpt-To: <{to}>\r\n\r\n"
            "--=_cut\r\nContent-Type: message/rfc822\r\n\r\n"
            + ORIGINAL.replace("{to}", to)
            + "\r\nHi\r\n--=_cut--\r\n"
        )
        return (
            head("<complaints@provider.example>", "complaint about message from 192.0.2.1")
            + 'Content-Type: multipart/report; report-type=feedback-report; boundary="=_cut"\r\n\r\n'
            + body
        ).encode("ascii")

    return write


DAEMON = "Mail Delivery Subsystem <MAILER-DAEMON@mx.example>"

DIALECTS = (
    Dialect(
        "postfix",
        "en",
        dsn(
            "MAILER-DAEMON@mx.example (Mail Delivery System)",
            "Undelivered Mail Returned to Sender",
            "This is the mail system at host mx.example.\n\nI'm sorry to have to inform you that your message could "
            "not\nbe delivered to one or more recipients. It's attached below.\n\n<{to}>: {reason}\n",
            "Auto-Submitted: auto-replied",
        ),
        (
            (1, "550 5.1.1 <{to}>: Recipient address rejected: User unknown in local recipient table"),
            (2, "552 5.2.2 <{to}>: user is over quota"),
            (3, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using a list of senders"),
            (
                8,
                "550 5.1.2 Host or domain name not found. Name service error for name=domain.example type=MX",
            ),
            (1, "550 5.1.1 <{to}> no such user here"),
            (3, "550 5.7.26 the mail was refused since it fails the DMARC check of its author's domain"),
        ),
    ),
    Dialect(
        "postfix delay",
        "en",
        dsn(
            "MAILER-DAEMON@mx.example (Mail Delivery System)",
            "Delayed Mail (still being retried)",
            "Your message could not be delivered for more than 4 hours.\nIt will be retried until it is 5 days old.",
            action="delayed",
        ),
        (
            ("delayed", "connect to mx.domain.example[192.0.2.7]:25: Connection timed out"),
            ("delayed", "451 4.7.1 greylisted, try again later"),
            ("delayed", "452 4.2.2 mailbox full"),
        ),
    ),
    Dialect(
        "sendmail",
        "en",
        dsn(
            DAEMON,
            "Returned mail: see transcript for details",
            "   ----- The following addresses had permanent fatal errors -----\n<{to}>\n    (reason: {reason})\n\n"
            "   ----- Transcript of session follows -----\n... while talking to mx.example.:\n>>> DATA\n<<< {reason}\n",
        ),
        (
            (1, "550 5.1.1 <{to}>... User unknown"),
            (2, "552 5.2.2 <{to}>... Mailbox full, not enough space"),
            (3, "550 5.7.1 Access denied"),
            (8, "550 5.1.2 <{to}>... Host unknown (Name server: domain.example: host not found)"),
            (1, "550 5.1.1 unknown or illegal alias: {to}"),
        ),
    ),
    Dialect(
        "sendmail warning",
        "en",
        dsn(
            DAEMON,
            "Warning: could not send message for past 4 hours",
            "    **********************************************\n    **      THIS IS A WARNING MESSAGE ONLY      **\n"
            "    **  YOU DO NOT NEED TO RESEND YOUR MESSAGE  **\n",
            action="delayed",
        ),
        (
            ("delayed", "Deferred: Connection refused by mx.example."),
            ("delayed", "Deferred: 452 4.3.1 disk full"),
        ),
    ),
    Dialect(
        "exim",
        "en",
        prose(
            "Mail Delivery System <Mailer-Daemon@mx.example>",
            "Mail delivery failed: returning message to sender",
            "This message was created automatically by mail delivery software.\n\nA message that you sent could not be"
            " delivered to one or more of its\nrecipients. This is a permanent error. The following address(es) failed"
            ":\n\n  {to}\n    {reason}\n\n------ This is a copy of the message, including all the headers. ------\n\n"
            "{original}\nspam spam quota exceeded",
            "X-Failed-Recipients: {to}",
            "Auto-Submitted: auto-replied",
        ),
        (
            (1, "SMTP error from remote mail server after RCPT TO:<{to}>:\n    550 No such user here"),
            (
                2,
                "SMTP error from remote mail server after end of data:\n    552 Message rejected: mailbox is full",
            ),
            (8, "all relevant MX records point to non-existent hosts"),
            (8, "Unrouteable address"),
            (3, "SMTP error from remote mail server after end of data:\n    550 This looks like spam"),
            (1, 'unknown local-part "{to}" in domain "example.com"'),
        ),
    ),
    Dialect(
        "exim warning",
        "en",
        prose(
            "Mail Delivery System <Mailer-Daemon@mx.example>",
            "Warning: message 1abcde-000000-00 delayed 24 hours",
            "This message was created automatically by mail delivery software.\nA message that you sent has not yet "
            "been delivered to one or more of its\nrecipients after more than 24 hours on the queue.\n\n  {to}\n"
            "    {reason}\n\nNo action is required on your part. Delivery attempts will continue for\nsome time.",
            "Auto-Submitted: auto-replied",
        ),
        (("delayed", "Delay reason: connection timed out"), ("delayed", "Delay reason: 450 mailbox busy")),
    ),
    Dialect(
        "qmail",
        "en",
        prose(
            "MAILER-DAEMON@mx.example",
            "failure notice",
            "Hi. This is the qmail-send program at mx.example.\nI'm afraid I wasn't able to deliver your message to "
            "the following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n<{to}>:\n"
            "{reason}\n\n--- Below this line is a copy of the message.\n\n{original}\nunknown user over quota",
        ),
        (
            (1, "Sorry, no mailbox here by that name. (#5.1.1)"),
            (2, "Mail quota exceeded. (#5.2.2)"),
            (8, "Sorry, I couldn't find any host named domain.example. (#5.1.2)"),
            (3, "192.0.2.9 failed after I sent the message.\nRemote host said: 554 rejected as spam"),
            (
                1,
                "192.0.2.9 does not like recipient.\nRemote host said: 550 User not found\nGiving up on 192.0.2.9.",
            ),
            (
                8,
                "Sorry. Although I'm listed as a best-preference MX or A for that host,\n"
                "it isn't in my control/locals file, so I don't treat it as local. (#5.4.6)",
            ),
        ),
    ),
    Dialect(
        "exchange",
        "en",
        dsn(
            "Microsoft Outlook <postmaster@corp.example>",
            "Undeliverable: News",
            "<html><body><h2>Delivery has failed to these recipients or groups:</h2><p>{to}<br>The server tells: {reason}"
            "</p><p>Diagnostic information for administrators:</p></body></html>",
            subtype="html",
        ),
        (
            (1, "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient {to} not found by SMTP address lookup"),
            (2, "554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException"),
            (3, "550 5.7.1 RESOLVER.RST.NotAuthorized; not authorized"),
            (1, "550 5.1.1 RESOLVER.ADR.ExRecipNotFound; not found"),
            (3, "550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient"),
        ),
    ),
    Dialect(
        "office 365",
        "en",
        dsn(
            "postmaster@tenant.example",
            "Undeliverable: News",
            "<html><body><p>Your message to {to} couldn't be delivered.</p><p>{reason}</p></body></html>",
            "X-MS-Exchange-Message-Is-Ndr:",
            subtype="html",
        ),
        (
            (1, "550 5.4.1 Recipient address rejected: Access denied. [mx.protection.example]"),
            (3, "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required"),
            (8, "550 5.4.310 DNS domain domain.example does not exist [Message=InfoDomainNonexistent]"),
            (3, "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP"),
        ),
    ),
    Dialect(
        "exchange 2003",
        "en",
        prose(
            "System Administrator <postmaster@corp.example>",
            "Undeliverable: News",
            "Your message did not reach some or all of the intended recipients.\n\n      Subject:  News\n"
            "      Sent:     3/3/2026 10:00 AM\n\nThe following recipient(s) could not be reached:\n\n      {to}\n"
            "            {reason}\n",
        ),
        (
            (
                1,
                "The e-mail account does not exist at the organization this message was sent to.\n"
                "            <mx.example #5.1.1>",
            ),
            (2, "The recipient's mailbox is full and can't accept messages now. <mx.example #5.2.2>"),
            (
                3,
                "You do not have permission to send to this recipient.\n"
                "            <mx.example #5.7.1 smtp;550 5.7.1 denied by policy>",
            ),
        ),
    ),
    Dialect(
        "notes",
        "en",
        dsn(
            "Mail Router <MAILER-DAEMON@notes.example>",
            "DELIVERY FAILURE: the mail could not be handed over",
            "Your message\n\n  Subject: News\n\nwas not delivered to:\n\n  {to}\n\nbecause:\n\n  {reason}\n",
            group="Final-Recipient: rfc822;{to}\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: X-Notes; {reason}",
        ),
        (
            (1, "User {to} not listed in Domino Directory"),
            (2, "The recipient's mail file is over its quota: quota exceeded"),
            (3, "Delivery was refused by a rule: the message was rejected for policy reasons"),
            (8, "No route found to domain domain.example: host not found"),
        ),
    ),
    Dialect(
        "notes prose",
        "en",
        prose(
            "Mail Router <MAILER-DAEMON@notes.example>",
            "DELIVERY FAILURE: User not listed",
            "Your message\n\n  Subject: News\n\nwas not delivered to:\n\n  {to}\n\nbecause:\n\n  {reason}\n",
        ),
        (
            (1, "User j doe (j.doe@notes.example) not listed in Domino Directory"),
            (1, "User is no longer available"),
        ),
    ),
    Dialect(
        "gmail",
        "en",
        dsn(
            "Mail Delivery Subsystem <mailer-daemon@googlemail.example>",
            "Delivery Status Notification (Failure)",
            "** Address not found **\n\nYour message wasn't delivered to {to} because of this:\n\nThe response was:\n{reason}",
        ),
        (
            (1, "550-5.1.1 The email account that you tried to reach does not exist."),
            (2, "552-5.2.2 The email account that you tried to reach is over quota and inactive."),
            (
                3,
                "550-5.7.1 this message is likely unsolicited mail. To reduce it, this message has been blocked.",
            ),
            (1, "550 5.2.1 The email account that you tried to reach is disabled."),
            (8, "550 5.1.2 DNS Error: DNS type 'mx' lookup of domain.example responded with code NXDOMAIN"),
        ),
    ),
    Dialect(
        "gmail delay",
        "en",
        dsn(
            "Mail Delivery Subsystem <mailer-daemon@googlemail.example>",
            "Delivery Status Notification (Delay)",
            "There was a temporary problem delivering your message to {to}. It will be retried for 47 more hours.",
            action="delayed",
        ),
        (
            ("delayed", "The recipient server did not accept our requests to connect."),
            ("delayed", "421 try later"),
        ),
    ),
    Dialect(
        "yahoo",
        "en",
        prose(
            "MAILER-DAEMON@yahoo.example",
            "Failure Notice",
            "Sorry, we were unable to deliver your message to the following address.\n\n<{to}>:\n{reason}\n\n"
            "--- Below this line is a copy of the message.\n\n{original}",
        ),
        (
            (1, "554: delivery error: dd This user doesn't have a yahoo.example account (x@yahoo.example)"),
            (2, "552: 1 Requested mail action aborted, mailbox for {to} is over quota"),
            (3, "554: 5.7.9 Message not accepted for policy reasons."),
            (8, "No mx record found for domain=domain.example"),
        ),
    ),
    Dialect(
        "courier",
        "en",
        dsn(
            '"Courier mail server at mx.example" <@mx.example>',
            "NOTICE: mail delivery status.",
            "This is a delivery status notification from mx.example.\n\nUNDELIVERABLE MAIL\n\n<{to}>:\n     {reason}\n",
        ),
        (
            (1, "550 User unknown."),
            (2, "552 5.2.2 Maildir over quota."),
            (3, "557 5.7.1 rejected by the recipient's filter"),
        ),
    ),
    Dialect(
        "mdaemon",
        "en",
        prose(
            "MDaemon at mx.example <MDaemon@mx.example>",
            "Permanent Delivery Failure",
            "The attached message had PERMANENT fatal delivery errors!\n\nFailed address: {to}\n\n--- Session Transcript "
            "---\n <-- {reason}\n --> QUIT\n--- End Transcript ---\n",
        ),
        (
            (1, "550 <{to}>, Recipient unknown"),
            (2, "552 <{to}>, Mailbox full"),
            (3, "550 Sorry, your host is blacklisted"),
        ),
    ),
    Dialect(
        "hmailserver",
        "en",
        prose(
            "mailer-daemon@mx.example",
            "Message undeliverable: News",
            "Your message did not reach some or all of the intended recipients.\n\nThe following recipient(s) could not"
            " be reached:\n\n{to}\n   Error Type: SMTP\n   Error Description: {reason}\n",
        ),
        (
            (
                1,
                "Remote server (192.0.2.5) issued an error.\n   hMailServer sent: RCPT TO\n"
                "   Remote server replied: 550 Unknown user",
            ),
            (8, "No mail servers appear to exist for the recipient's address."),
            (2, "Remote server replied: 552 insufficient disk space"),
        ),
    ),
    Dialect(
        "groupwise",
        "en",
        prose(
            "Mailer-Daemon <postmaster@gw.example>",
            "Message status - undeliverable",
            "The attached file had the following undeliverable recipient(s):\n{to}\n\nTranscript of session:\n<<< {reason}\n",
        ),
        ((1, "550 D. No such mailbox"), (2, "552 user's disk full"), (3, "550 content rejected")),
    ),
    Dialect(
        "appliance",
        "en",
        dsn(
            "Mail Delivery System <postmaster@gate.example>",
            "Returned Message",
            "The following message to <{to}> was undeliverable.\nThe reason for the problem:\n5.1.0 - Unknown address "
            "error {reason}\n",
        ),
        (
            (1, "550 Invalid recipient <{to}>"),
            (3, "554 Denied by policy"),
            (1, "550 5.1.1 mailbox unavailable"),
            (8, "550 5.1.2 bad destination host 'DNS Hard Error looking up domain.example (MX): NXDomain'"),
        ),
    ),
    Dialect(
        "qq",
        "zh",
        prose(
            "PostMaster <PostMaster@qq.example>",
            "来自qq.example的退信",
            "很抱歉，您发送的邮件被退回，以下是该邮件的相关信息：\n被退回邮件\t主题：News\n收件人：{to}\n退信原因：{reason}\n"
            "解决方案：请核对地址，或联系对方邮箱管理员。\n此外，您还可以点击这里获取更多关于退信的帮助信息。\n",
            charset="gb18030",
        ),
        (
            (1, "收件人邮件地址（{to}）不存在，邮件无法送达。"),
            (2, "对方邮箱空间不足，无法接收邮件。"),
            (3, "您的邮件内容涉嫌垃圾邮件，被收件方服务器拒收。 host said: 550 Mail content denied"),
            (8, "无法解析收件人域名，域名不存在。"),
            (1, "host qq.example said: 550 Mailbox not found"),
        ),
    ),
    Dialect(
        "netease",
        "zh",
        prose(
            "postmaster@163.example",
            "系统退信",
            "<html><body><p>抱歉，您的邮件被退回来了……</p><p>原邮件信息：News</p><p>收件人：{to}</p>"
            "<p>退信原因：{reason}</p><p>建议解决方案：可能是对方邮箱空间不足、收件人不存在或域名有误，请逐一检查。</p>"
            "<p>----------------</p><p>This message is generated by Coremail.</p></body></html>",
            subtype="html",
        ),
        (
            (1, "收件人不存在。 SMTP error, RCPT TO: 550 User not found: {to}"),
            (2, "收件人的邮箱已满，请稍候再发。 552 Quota exceeded"),
            (3, "邮件被对方判为垃圾邮件。 554 DT:SPM 163 smtp"),
            (1, "该用户的帐号已被冻结。 550 User suspended"),
            (8, "找不到收件人的域名。"),
        ),
    ),
    Dialect(
        "sina",
        "zh",
        prose(
            "MAILER-DAEMON@sina.example",
            "系统退信 (Undelivered Mail)",
            "这是一封由系统自动发出的退信，请勿回复。\n\n您发给 {to} 的邮件没有送达。\n\n错误信息：{reason}\n\n原始邮件如下：\n{original}",
            charset="gbk",
        ),
        (
            (1, "用户不存在 (#5.1.1)"),
            (2, "用户邮箱容量已满 (#5.2.2)"),
            (3, "邮件被拒收 554 rejected"),
        ),
    ),
    Dialect(
        "sohu",
        "zh",
        dsn(
            "MAILER-DAEMON@sohu.example",
            "Undelivered Mail Returned to Sender",
            "您好，您的邮件无法投递到以下地址：\n\n<{to}>: {reason}\n",
        ),
        (
            (1, "550 5.1.1 <{to}>: Recipient address rejected: User unknown in local recipient table"),
            (2, "552 5.2.2 user overquota"),
        ),
    ),
    Dialect(
        "aliyun",
        "zh",
        prose(
            "postmaster@aliyun.example",
            "系统退信/Systems bounce",
            "您的邮件无法送达以下收件人 / Your mail could not be delivered\n\n收件人：{to}\n原因：{reason}\n\n"
            "如需帮助请访问帮助中心。\n",
        ),
        (
            (1, "收件人地址不存在 553 Invalid rcptto"),
            (2, "对方邮箱已超过容量限制 552 exceeded quota"),
            (3, "发信服务器在对方黑名单中 554 blocked"),
            (8, "收件人域名不存在 DNS query error"),
        ),
    ),
    Dialect(
        "coremail",
        "zh",
        prose(
            "Postmaster <postmaster@univ.example.cn>",
            "邮件投递失败通知",
            "邮件系统尝试投递您的邮件，但是失败了。\n\n　　收件人：{to}\n　　失败原因：{reason}\n\n邮件原文：\n{original}",
            charset="gb2312",
        ),
        (
            (1, "无此用户"),
            (2, "用户空间已满"),
            (1, "该账号已注销"),
            (3, "对方服务器拒绝接收：内容含有病毒"),
        ),
    ),
    Dialect(
        "mobile 139",
        "zh",
        prose(
            "mail.notice@139.example",
            "邮件投递失败",
            "尊敬的用户：\n您发往 {to} 的邮件未能送达，失败原因：{reason}。\n",
        ),
        ((1, "对方用户不存在或已停用"), (2, "对方邮箱空间已满"), (1, "没有此用户 550 no such user")),
    ),
    Dialect(
        "turbomail delay",
        "zh",
        prose(
            "postmaster@tm.example.cn",
            "邮件延迟投递通知",
            "您的邮件暂未送达 {to}：{reason}\n系统将在 48 小时内继续尝试投递，您无需重新发送。\n",
        ),
        (("delayed", "对方服务器暂时无法连接"), ("delayed", "452 对方邮箱已满")),
    ),
    Dialect(
        "japanese carrier",
        "ja",
        prose(
            "Mail Administrator <postmaster@mobile.example.jp>",
            "Mail System Error - Returned Mail",
            "次のあて先へのメッセージはエラーのため送信できませんでした。\n\n{to}\n{reason}\n",
            charset="iso-2022-jp",
        ),
        (
            (1, "ユーザーが見つかりません (550 Unknown user)"),
            (2, "メールボックスの容量を超えています"),
            (3, "受信を拒否されました"),
        ),
    ),
    Dialect(
        "japanese",
        "ja",
        prose(
            "MAILER-DAEMON@example.jp",
            "メール配信エラーのお知らせ",
            "お送りいただいたメールは配信できませんでした。\n\n宛先：{to}\nエラー内容：{reason}\n\n以下は元のメッセージです\n{original}",
        ),
        (
            (1, "宛先のメールアドレスは存在しません"),
            (2, "相手先のメールボックスが一杯です"),
            (8, "宛先のドメインが見つかりません"),
            (3, "迷惑メールと判定されました"),
            (1, "宛先不明"),
        ),
    ),
    Dialect(
        "japanese delay",
        "ja",
        prose(
            "MAILER-DAEMON@example.jp",
            "メール配信遅延のお知らせ",
            "{to} へのメールの配信が遅れています（{reason}）。引き続き再送を試みます。\n",
        ),
        (("delayed", "相手先サーバに接続できません"), ("delayed", "451 しばらくしてから")),
    ),
    Dialect(
        "yahoo japan",
        "ja",
        dsn(
            "MAILER-DAEMON@yahoo.example.jp",
            "failure delivery",
            "メッセージをお届けできませんでした。\n<{to}>: {reason}\n",
        ),
        ((1, "550 5.1.1 user unknown"), (2, "552 5.2.2 mailbox full")),
    ),
    Dialect(
        "gmx",
        "de",
        prose(
            "GMX Mailer Daemon <mailer-daemon@gmx.example>",
            "Mail delivery failed: returning message to sender",
            "This message was created automatically by mail delivery software.\n\nIhre E-Mail konnte nicht zugestellt "
            "werden:\n\n{to}:\n{reason}\n\n--- The header of the original message is following. ---\n\n{original}",
        ),
        (
            (
                1,
                "SMTP error from remote server for RCPT TO command, host: mx.example\nReason: 550 Benutzer unbekannt",
            ),
            (2, "Reason: 552 Das Postfach ist voll"),
            (3, "Reason: 554 Nachricht abgelehnt: Spam"),
            (8, "Die Domain wurde nicht gefunden: host not found"),
        ),
    ),
    Dialect(
        "t-online",
        "de",
        prose(
            "Mail Delivery System <mailer-daemon@t.example>",
            "Unzustellbare Nachricht",
            "Ihre Nachricht an {to} ist unzustellbar.\n\nGrund: {reason}\n\nUrsprüngliche Nachricht:\n{original}",
            charset="iso-8859-1",
        ),
        (
            (1, "Der Empfänger ist unbekannt"),
            (2, "Das Postfach des Empfängers ist überfüllt"),
            (3, "Die Annahme wurde verweigert"),
            (8, "Unbekannte Domain"),
        ),
    ),
    Dialect(
        "german exchange",
        "de",
        dsn(
            "Microsoft Outlook <postmaster@firma.example>",
            "Unzustellbar: News",
            "<html><body><p>Fehler bei der Nachrichtenzustellung an folgende Empfänger: {to}</p><p>Die eingegebene "
            "E-Mail-Adresse konnte nicht gefunden werden.</p></body></html>",
            subtype="html",
        ),
        ((1, "550 5.1.1 RESOLVER.ADR.RecipNotFound; not found"), (2, "554 5.2.2 mailbox full")),
    ),
    Dialect(
        "german delay",
        "de",
        dsn(
            "Mail Delivery System <MAILER-DAEMON@mx.example>",
            "Zustellung verzögert",
            "Ihre Nachricht an {to} wurde noch nicht zugestellt. Die Zustellung wird weiter versucht.",
            action="delayed",
        ),
        (("delayed", "451 später erneut versuchen"), ("delayed", "Zeitüberschreitung")),
    ),
    Dialect(
        "outlook absence",
        "en",
        prose(
            "Anna <{person}@example.com>",
            "Automatic reply: News",
            "{reason}\n",
            "Auto-Submitted: auto-generated",
        ),
        (
            ("auto-reply", "I am out of the office until Monday. My mailbox is full of other things."),
            (
                "auto-reply",
                "Thank you for your message. This address is no longer in use, please write to info@.",
            ),
            ("auto-reply", "I have left the company."),
        ),
    ),
    Dialect(
        "vacation",
        "en",
        prose(
            "anna@example.com",
            "Re: News",
            "{reason}\n",
            "Auto-Submitted: auto-replied (vacation)",
            "Precedence: bulk",
        ),
        (
            ("auto-reply", "I am on vacation and will read your mail when I am back."),
            ("auto-reply", "Gone fishing."),
        ),
    ),
    Dialect(
        "tickets",
        "en",
        prose("Support <support@example.com>", "[Ticket #4711] News", "{reason}\n", "X-Autorespond: ticket"),
        (
            ("auto-reply", "We have received your request and answer within a day."),
            ("auto-reply", "Ticket closed."),
        ),
    ),
    Dialect(
        "chinese absence",
        "zh",
        prose(
            "张三 <zhang@example.cn>".replace("张三", "=?utf-8?b?5byg5LiJ?="), "自动回复：News", "{reason}\n"
        ),
        (
            ("auto-reply", "您好，您的来信已收到，我会尽快回复。"),
            ("auto-reply", "我正在休假，邮箱空间不足，请电话联系。"),
            ("auto-reply", "我已离职，请联系其他同事。"),
        ),
    ),
    Dialect(
        "japanese absence",
        "ja",
        prose("sato@example.jp", "自動返信：休暇中です", "{reason}\n", charset="iso-2022-jp"),
        (
            ("auto-reply", "休暇をいただいております。"),
            ("auto-reply", "メールありがとうございます。後ほどご連絡します。"),
        ),
    ),
    Dialect(
        "german absence",
        "de",
        prose("h.mueller@beispiel.example", "Abwesenheitsnotiz: News", "{reason}\n"),
        (
            ("auto-reply", "Ich bin bis Montag nicht im Büro. Ihre Nachricht wird nicht weitergeleitet."),
            ("auto-reply", "Das Postfach wird nicht mehr gelesen."),
        ),
    ),
    Dialect(
        "unmarked absence",
        "en",
        prose("anna@example.com", "Out of office", "{reason}\n"),
        (("auto-reply", "Back on Monday."),),
    ),
    Dialect(
        "arf", "en", complaint("abuse"), (("complaint", "A reader pressed the button."), ("complaint", ""))
    ),
    Dialect("arf fraud", "en", complaint("fraud"), (("complaint", "It looks like phishing."),)),
    Dialect("arf not spam", "en", complaint("not-spam"), (("other", "Not spam after all."),)),
    Dialect(
        "leaves by mail",
        "en",
        prose("anna@example.com", "unsubscribe", "Please.\n"),
        (("unsubscribe", ""),),
    ),
    Dialect(
        "leaves by program",
        "en",
        prose("anna@example.com", "Unsubscribe", "{reason}\n", "Auto-Submitted: auto-generated"),
        (("unsubscribe", "This message was generated by a mail program."),),
    ),
    Dialect(
        "a person",
        "en",
        prose("anna@example.com", "Re: News", "{reason}\n"),
        (("other", "Is the offer still valid? My last order was not delivered."), ("other", "Thanks!")),
    ),
)


def corpus(size: int = 330) -> Iterator[Sample]:
    """At least `size` mails: every dialect with every reason, with people and places in turn."""
    made = number = 0
    while made < size:
        for dialect in DIALECTS:
            for expected, reason in dialect.reasons:
                to = f"{PEOPLE[number % len(PEOPLE)]}@{PLACES[number % len(PLACES)]}"
                number += 1
                content = dialect.write(to, reason.replace("{to}", to))
                kind, failure = ("bounce", expected) if isinstance(expected, int) else (expected, 0)
                yield Sample(dialect.name, dialect.language, content, kind, failure)
                made += 1
