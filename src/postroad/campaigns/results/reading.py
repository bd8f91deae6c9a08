"""What a mail is that comes back to an envelope sender: a bounce, a delay, a complaint, somebody's machine.
Pure.

RFC 3464 (delivery status) and RFC 5965 (complaints) where servers keep to them, and prose where they do not:
qmail, Exim, Lotus Notes and the large Chinese providers tell people, not programs. RFC 3834 marks automatic
answers, but half of them lack the mark and some bounces carry it; so what tells a bounce comes first. Bounded
by the scanner.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from postroad.campaigns.results.classify import Classifier, Verdict
from postroad.message.budget import Budget
from postroad.message.headers import HeaderField, decode_text, first, header_fields, raw_text
from postroad.message.scan import Part, scan, walk
from postroad.message.text import part_text, readable_text

MAX_READ = 20_000  # characters of prose
MAX_GROUPS = 100  # recipients in one report; ours are about one
MAX_REPLY = 500  # characters that are kept of what was said


class ReturnKind(enum.StrEnum):
    """What came back."""

    BOUNCE = "bounce"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    AUTO_REPLY = "auto-reply"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Return:
    """What came back and, for a bounce, what it means. `reply` is what the server said, for people."""

    kind: ReturnKind
    failure: int = 0
    code: int | None = None
    reply: str = ""


_REPORTS = ("message/delivery-status", "message/global-delivery-status")
_CODE = re.compile(r"(?<![\d.])([245]\d\d)(?=[\s\-(#;:]|[(（])")
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_DAEMON = re.compile(
    r"mailer-daemon|postmaster|mail delivery|mail-daemon|mdaemon|mailsystem|mail system|系统退信", re.I
)
_BOUNCE_SUBJECT = re.compile(
    r"undeliver|un-deliver|nondeliver|non-deliver|not delivered|could ?n[o']t be delivered|delivery "
    r"(?:has )?fail|"
    r"delivery failure|delivery report|delivery status|failure notice|failure delivery|mail delivery|"
    r"returned mail|"
    r"returned to sender|return(?:ed)? message|mail system error|message undeliverable|delivery error|bounce|"
    r"rejected mail|mail failure|failed mail|failed delivery|"
    r"退信|退回|投递失败|发送失败|无法投递|无法送达|未能送达|未送达|寄送失败|無法傳遞|無法投遞|"
    r"配信不能|配信エラー|配信失敗|配信できません|配達できません|送信できません|送信エラー|不達|エラーメール|"
    r"unzustellbar|nicht zugestellt|nicht zustellbar|zustellung fehlgeschlagen|zustellfehler|"
    r"fehlgeschlagene zustellung|"
    r"zustellungsfehler|unzustellbarkeit",
    re.I,
)
_DELAY = re.compile(
    r"\bdelayed\b|\(delay\)|delivery delay|warning: (?:message|could not send)|not yet been delivered|"
    r"still being retried|will (?:continue|keep) (?:to )?(?:try|retry)|will be retried|will be tried again|"
    r"no action is required on your part|temporarily undeliverable|"
    r"延迟|暂未送达|尚未送达|继续尝试|继续重试|继续投递|"
    r"遅延|遅れて|再送を試み|再試行します|配信を続け|"
    r"verzögert|verspätet|noch nicht zugestellt|weiter versucht|erneut versucht",
    re.I,
)
_AUTO_SUBJECT = re.compile(
    r"out of (?:the )?office|out-of-office|automatic reply|auto(?:matic)?[- ]?(?:re(?:ply|sponse)|"
    r"respon|answer)|"
    r"autoreply|away from (?:my|the) (?:mail|office|desk)|on vacation|vacation reply|on leave|on holiday|"
    r"i am away|thank you for (?:your|contacting)|we have received your|ticket|read:|gelesen:|已读|回执|"
    r"自动回复|自動回覆|自动答复|自動回復|自动应答|休假|外出|不在办公室|感谢您的来信|您的来信已收到|"
    r"自動応答|自動返信|不在|休暇|受付完了|お問い合わせ|"
    r"abwesenheit|automatische antwort|nicht im (?:büro|haus)|im urlaub|eingangsbestätigung|lesebestätigung",
    re.I,
)
_BOUNCE_TEXT = re.compile(
    r"could not be delivered|was not delivered|could not deliver|couldn't be delivered|wasn't able "
    r"to deliver|"
    r"unable to deliver|undeliverable|delivery to the following|did not reach the following|"
    r"无法送达|无法投递|未能投递|被退回|退信原因|投递失败|"
    r"配信できません|配信不能|お届けできません|送信できません|"
    r"nicht zugestellt|konnte nicht|unzustellbar",
    re.I,
)
# Behind these lines stands the mail itself, whose words are ours.
_ORIGINAL = re.compile(
    r"^[-=*_ >]{0,20}(?:below this line is a copy|this is a copy of|original message|original mail|"
    r"returned message|the (?:original )?message (?:header|follows)|message headers? follow|included "
    r"is a copy|"
    r"unsent message|transcript of (?:the )?original|here is (?:a copy|your)|"
    r"the header of the original|元のメッセージ|元のメール|以下は元|ursprüngliche nachricht|"
    r"originalnachricht|"
    r"kopie (?:der|ihrer) nachricht)[^\n]*$|"
    r"^[-=*_ >]{0,20}(?:原始邮件|原邮件|原信|原文|邮件原文)(?:如下|内容|全文)?[ -=*_:：]{0,20}$",
    re.I | re.M,
)
# Providers that explain everything that may be wrong say on one line what was.
_REASON = re.compile(
    r"(?:退信原因|失败原因|错误原因|错误信息|错误代码|具体原因|返回信息|服务器返回|对方服务器|エラー内容|エラー理由|"
    r"エラーの理由|理由|原因|reason(?: for (?:the )?(?:failure|problem|rejection))?|"
    r"diagnostic(?: information| code)?|error(?: message)?|fehler(?:meldung|grund)?|grund|"
    r"the (?:error|reason) (?:that the other server returned )?was|remote (?:server|host) said|"
    r"said)\s*[:：]\s*"
    r"([^\n]{3,}(?:\n[ \t]+[^\n]+){0,3})",
    re.I,
)


def read_return(content: bytes, classifier: Classifier) -> Return:
    """Say what a mail is that came to an envelope sender of ours."""
    root = scan(content)
    fields = header_fields(content, root.header_start, root.body_start)
    parts = [part for _, part in walk(root)]
    for part in parts:
        if part.media_type == "message/feedback-report":
            return _complaint(content, part)
    reports = [part for part in parts if part.media_type in _REPORTS]
    if reports:
        found = _report(content, reports, root, classifier)
        if found is not None:
            return found
    if any(part.media_type == "message/disposition-notification" for part in parts):
        return Return(ReturnKind.AUTO_REPLY)
    return _prose(content, root, fields, classifier)


def _complaint(content: bytes, part: Part) -> Return:
    """RFC 5965 3.1: the report's type; what is no abuse (auth-failure, RFC 6591; not-spam) concerns nobody
    here.
    """
    groups = _groups(_text(content, part))
    kind = groups[0].get("feedback-type", "abuse").lower() if groups else "abuse"
    if kind.partition(" ")[0] in ("not-spam", "auth-failure", "dmarc"):
        return Return(ReturnKind.OTHER)
    return Return(ReturnKind.COMPLAINT, reply=f"complaint: {kind[:50]}")


# RFC 3464 2.3.3; of several recipients in one report the worst counts.
_ACTIONS = {
    "failed": ReturnKind.BOUNCE,
    "delayed": ReturnKind.DELAYED,
    "delivered": ReturnKind.DELIVERED,
    "relayed": ReturnKind.DELIVERED,
    "expanded": ReturnKind.DELIVERED,
}
_BY_CLASS = {"5": ReturnKind.BOUNCE, "4": ReturnKind.DELAYED, "2": ReturnKind.DELIVERED}


def _report(content: bytes, reports: list[Part], root: Part, classifier: Classifier) -> Return | None:
    groups = [group for part in reports for group in _groups(_text(content, part))][:MAX_GROUPS]
    kinds: dict[ReturnKind, dict[str, str]] = {}
    for group in groups:
        action = group.get("action", "").strip().lower().partition(" ")[0]
        kind = _ACTIONS.get(action) or _BY_CLASS.get(group.get("status", "").strip()[:1])
        if kind is not None:
            kinds.setdefault(kind, group)
    for kind in (ReturnKind.BOUNCE, ReturnKind.DELAYED, ReturnKind.DELIVERED):
        if kind in kinds:
            break
    else:
        return None
    if kind is not ReturnKind.BOUNCE:
        return Return(kind)
    group = kinds[kind]
    status = (_STATUS.search(group.get("status", "")) or [""])[0]
    _, mark, said = group.get("diagnostic-code", "").partition(";")
    said = (said if mark else group.get("diagnostic-code", "")).strip()
    code = _code_in(said)
    verdict = classifier.classify_reply(code, status, said)
    if not _is_told(verdict):
        prose = _before_original(readable_text(content, root, MAX_READ))
        by_prose = _of_prose(prose, classifier)
        if _is_told(by_prose) or not said:
            verdict = by_prose if _is_told(by_prose) else verdict
            said = said or _one_line(prose)
    return Return(ReturnKind.BOUNCE, verdict.failure, code, f"{status} {said}".strip()[:MAX_REPLY])


def _prose(content: bytes, root: Part, fields: list[HeaderField], classifier: Classifier) -> Return:
    subject = decode_text(first(fields, "subject") or b"")
    sender = decode_text(first(fields, "from") or b"")
    text = _before_original(readable_text(content, root, MAX_READ))
    if subject.strip().lower() in ("unsubscribe", "退订"):  # also where a mail program sends it by itself
        return Return(ReturnKind.UNSUBSCRIBE)
    if first(fields, "x-failed-recipients") is not None or _BOUNCE_SUBJECT.search(subject):
        return _bounce(subject, text, classifier)
    if _AUTO_SUBJECT.search(subject) or _is_marked_automatic(fields):
        # Some daemons mark their notices like a person's machine does; theirs come from nobody.
        if not (_DAEMON.search(sender) and (_BOUNCE_TEXT.search(text) or _DELAY.search(text))):
            return Return(ReturnKind.AUTO_REPLY)
        return _bounce(subject, text, classifier)
    if _DAEMON.search(sender) and (
        _BOUNCE_TEXT.search(text) or _DELAY.search(text) or classifier.names_a_reason(text)
    ):
        return _bounce(subject, text, classifier)
    return Return(ReturnKind.OTHER)


def _bounce(subject: str, text: str, classifier: Classifier) -> Return:
    if _DELAY.search(subject) or _DELAY.search(text):
        return Return(ReturnKind.DELAYED)
    verdict = _of_prose(text, classifier)
    return Return(ReturnKind.BOUNCE, verdict.failure, _code_in(text), _one_line(text))


def _of_prose(text: str, classifier: Classifier) -> Verdict:
    """The line that gives the reason, when there is one; else the words of all."""
    for match in _REASON.finditer(text):
        verdict = classifier.classify_reply(_code_in(match[1]), None, match[1])
        if _is_told(verdict):
            return verdict
    return classifier.classify_reply(_code_in(text), None, text)


def _is_told(verdict: Verdict) -> bool:
    """Whether words or a status decided, not a bare code or nothing."""
    return bool(verdict.by) and not verdict.by.isdigit()


def _is_marked_automatic(fields: list[HeaderField]) -> bool:
    """RFC 3834 5, and what programs wrote before it and beside it."""
    submitted = raw_text(first(fields, "auto-submitted") or b"").lower()
    precedence = raw_text(first(fields, "precedence") or b"").lower()
    return (
        submitted.startswith("auto-")
        or precedence in ("auto_reply", "auto-reply")
        or any(
            first(fields, name) is not None
            for name in (
                "x-autoreply",
                "x-autorespond",
                "x-auto-response",
                "x-autoresponder",
                "x-mail-autoreply",
            )
        )
    )


def _text(content: bytes, part: Part) -> str:
    return part_text(content, part, Budget(), MAX_READ)


def _groups(text: str) -> list[dict[str, str]]:
    """The blocks of fields of a report (RFC 3464 2.1), names in lower case, folds undone."""
    groups: list[dict[str, str]] = [{}]
    name = ""
    for line in text.split("\n"):
        if not line.strip():
            if groups[-1]:
                groups.append({})
                name = ""
        elif line[0] in " \t" and name:
            groups[-1][name] += " " + line.strip()
        else:
            field, colon, value = line.partition(":")
            name = field.strip().lower() if colon else ""
            if name:
                groups[-1].setdefault(name, value.strip())
    return [group for group in groups if group]


def _before_original(text: str) -> str:
    match = _ORIGINAL.search(text)
    return text[: match.start()] if match is not None and match.start() > 0 else text


def _code_in(text: str) -> int | None:
    match = _CODE.search(text)
    return int(match[1]) if match is not None else None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:MAX_REPLY]
