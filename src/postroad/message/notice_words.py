"""What delivery notices say to people, in Chinese and in English.

Both languages stand in every notice, the reader's first: whoever gets a bounce may pass it on to a colleague
or to an administrator elsewhere. The reasons follow the enhanced status codes of RFC 3463 and RFC 7505.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

Kind = Literal["failed", "delayed", "delivered"]

_SUBJECTS: dict[Kind, dict[str, str]] = {
    "failed": {"zh": "退信：{subject}", "en": "Undelivered mail: {subject}"},
    "delayed": {"zh": "投递延迟：{subject}", "en": "Delivery delayed: {subject}"},
    "delivered": {"zh": "已送达：{subject}", "en": "Delivered: {subject}"},
}

_OPENINGS: dict[Kind, dict[str, str]] = {
    "failed": {
        "zh": "您的邮件“{subject}”未能送达以下收件人，系统不会再次尝试：",
        "en": (
            'Your mail "{subject}" could not be delivered to the following recipients, and will not be tried'
            " again:"
        ),
    },
    "delayed": {
        "zh": "您的邮件“{subject}”暂时未能送达以下收件人。系统会继续尝试{until}，您无需重新发送：",
        "en": (
            'Your mail "{subject}" has not yet reached the following recipients. Delivery will be tried'
            " again{until}; you need not send it again:"
        ),
    },
    "delivered": {
        "zh": "您的邮件“{subject}”已送达以下收件人（或已转交不支持送达回执的服务器）：",
        "en": (
            'Your mail "{subject}" was delivered to the following recipients, or handed on to a server that'
            " does not confirm delivery:"
        ),
    },
}

# By enhanced status without its class, the longer key first: (Chinese, English)
_REASONS: dict[str, tuple[str, str]] = {
    "1.1": ("收件人地址不存在，请核对地址。", "The address does not exist. Please check it."),
    "1.2": ("收件人的域名不存在或无法找到。", "The domain of the address does not exist."),
    "1.3": ("收件人地址的写法不正确。", "The address is not written correctly."),
    "1.6": ("收件人的邮箱已迁走，且没有留下新地址。", "The mailbox has moved and left no new address."),
    "1.8": ("对方服务器不接受您的发件地址。", "The other server does not accept your sender address."),
    "1.10": ("该域名声明不接收邮件。", "The domain declares that it accepts no mail."),
    "2.1": ("收件人的邮箱已停用。", "The mailbox is disabled."),
    "2.2": ("收件人的邮箱已满。", "The mailbox is full."),
    "2.3": ("邮件超过了收件人邮箱允许的大小。", "The mail is larger than the mailbox accepts."),
    "2.4": ("邮件列表无法展开。", "The mailing list could not be expanded."),
    "3": ("对方的邮件系统出现故障。", "The other mail system has a problem."),
    "3.4": ("邮件过大，对方系统不接受。", "The mail is too large for the other system."),
    "4.1": ("对方的服务器没有应答。", "The other server does not answer."),
    "4.3": ("域名解析出现故障。", "The domain could not be looked up."),
    "4.4": ("找不到通往对方域名的路由。", "No route to the domain was found."),
    "4.6": ("邮件在服务器之间循环，已被中止。", "The mail went round in circles and was stopped."),
    "4.7": ("多次尝试后仍未成功，已超过投递期限。", "It could not be delivered within the time allowed."),
    "4": ("与对方服务器的连接出现故障。", "The connection to the other server failed."),
    "5": ("对方服务器无法理解本次投递。", "The other server did not understand the delivery."),
    "6": ("邮件的格式或内容不被对方接受。", "The form or content of the mail is not accepted."),
    "7.1": ("对方服务器按其规定拒绝了这封邮件。", "The other server refused the mail by its policy."),
    "7": ("对方服务器出于安全或反垃圾原因拒绝了这封邮件。", "The mail was refused for security or as spam."),
    "2": ("收件人的邮箱无法接收。", "The mailbox cannot receive mail."),
    "1": ("收件人地址有误。", "Something is wrong with the address."),
}  # fmt: skip
_LANGUAGES = {"zh": 0, "en": 1}


def subject_for(kind: Kind, language: str, subject: str) -> str:
    """Return the subject line of a notice about the mail called `subject`."""
    text = _SUBJECTS[kind][language].format(subject=subject)
    return text if subject else text.rstrip("： :")


def reason(status: str, language: str) -> str:
    """Return in words what an enhanced status code means, or an empty text for one that says nothing."""
    _, _, detail = status.partition(".")
    found = _REASONS.get(detail) or _REASONS.get(detail.partition(".")[0])
    return found[_LANGUAGES[language]] if found else ""


def explanation(
    kind: Kind,
    language: str,
    *,
    subject: str,
    recipients: Sequence[str],
    left_out: int,
    statuses: Sequence[str],
    reporting_mta: str,
    retry_until: datetime | None,
) -> str:
    """Return the readable part: the same in both languages, `language` first, then who wrote it.

    `recipients` are lines already made readable, `statuses` their enhanced codes, `left_out` how many more
    there are.
    """
    texts = []
    for one in (language, "en" if language == "zh" else "zh"):
        until = ""
        if retry_until is not None:
            moment = retry_until.strftime("%Y-%m-%d %H:%M %z")
            until = f"，直到 {moment}" if one == "zh" else f" until {moment}"
        lines = [_OPENINGS[kind][one].format(subject=subject, until=until), ""]
        for recipient, status in zip(recipients, statuses, strict=True):
            why = reason(status, one) if kind != "delivered" else ""
            lines.append(f"  {recipient}")
            if why:
                lines.append(f"    {why} ({status})")
        if left_out > 0:
            lines.append(f"  …… 另有 {left_out} 位收件人" if one == "zh" else f"  … and {left_out} more")
        texts.append("\n".join(lines))
    closing = f"{reporting_mta}\n邮件投递系统 / Mail delivery system"
    return "\n\n----------------------------------------\n\n".join(texts) + f"\n\n-- \n{closing}\n"
