"""What a refusal means, in one vocabulary, whatever words the other side chose.

Pure. Used in events and bounces; whoever keeps a list of dead addresses reads `Reason`, never a reply's text.
RFC 3463 (enhanced status codes) where the other side gives one; else its words, English and Chinese.
"""

from __future__ import annotations

import enum
import re

MAX_TEXT = 1000  # a reply is kept to this length: enough for the longest explanations of large receivers


class Reason(enum.StrEnum):
    """Why a recipient was not reached."""

    NO_MAILBOX = "no_mailbox"
    OVER_QUOTA = "over_quota"
    REFUSED = "refused"  # by the user or by a policy
    SPAM = "spam"
    INVALID_DOMAIN = "invalid_domain"
    MALFORMED = "malformed"
    TEMPORARY = "temporary"


# RFC 3463 3.2 to 3.8, and the IANA registry of enhanced status codes. Subject and detail, without the class.
_BY_STATUS: dict[str, Reason] = {
    "1.0": Reason.NO_MAILBOX,
    "1.1": Reason.NO_MAILBOX,
    "1.2": Reason.INVALID_DOMAIN,
    "1.3": Reason.MALFORMED,
    "1.4": Reason.NO_MAILBOX,
    "1.6": Reason.NO_MAILBOX,
    "1.7": Reason.MALFORMED,
    "1.8": Reason.REFUSED,
    "1.9": Reason.REFUSED,
    "1.10": Reason.INVALID_DOMAIN,
    "2.1": Reason.NO_MAILBOX,
    "2.2": Reason.OVER_QUOTA,
    "2.3": Reason.MALFORMED,
    "3.1": Reason.TEMPORARY,
    "3.4": Reason.MALFORMED,
    "4.4": Reason.INVALID_DOMAIN,
    "4.6": Reason.INVALID_DOMAIN,
    "5.1": Reason.MALFORMED,
    "5.2": Reason.MALFORMED,
    "5.4": Reason.MALFORMED,
    "6.0": Reason.MALFORMED,
    "6.1": Reason.MALFORMED,
    "6.3": Reason.MALFORMED,
    "6.7": Reason.MALFORMED,
    "7.1": Reason.REFUSED,
    "7.2": Reason.REFUSED,
    "7.23": Reason.REFUSED,
    "7.26": Reason.REFUSED,
}

# In order: the first that matches decides. Receivers often give a general status (5.7.1, 5.0.0) and say the
# truth in words, so what the words say clearly comes before the status.
_PHRASES: tuple[tuple[Reason, tuple[str, ...]], ...] = (
    (
        Reason.OVER_QUOTA,
        (
            r"over ?quota",
            r"quota (?:is )?exceeded|exceed\w* (?:\w+ ){0,3}quota",
            r"(?:mailbox|inbox|storage) (?:\w+ ){0,2}full",
            r"insufficient (?:system )?storage|out of (?:disk )?space|not enough (?:disk )?space",
            r"空间不足|容量已满|邮箱已满|超出配额",
        ),
    ),
    (
        Reason.SPAM,
        (
            r"\bspam\b|\bunsolicited\b|\bjunk\b|\bphish|\bvirus|\bmalware",
            r"blacklist|block ?list|\bblocked using\b|\bdnsbl\b|\brbl\b",
            r"\bspamhaus\b|\bbarracuda\b|\bDT:SPM\b|poor reputation|low reputation",
            r"垃圾|黑名单|病毒",
        ),
    ),
    (
        Reason.NO_MAILBOX,
        (
            r"user (?:\w+ ){0,2}unknown|unknown (?:user|recipient|mailbox|address)",
            r"no such (?:user|recipient|mailbox|account|person|address)|no mailbox|not a valid mailbox",
            r"(?:user|recipient|mailbox|account|address) (?:\S+ ){0,3}(?:not found|not exist|not known)",
            r"(?:user|recipient|mailbox|account|address) (?:\S+ ){0,3}does ?n[o']t exist",
            r"(?:user|recipient|mailbox|account|address) (?:\S+ ){0,3}(?:unavailable|disabled|invalid)",
            r"invalid (?:recipient|mailbox|user)|does not have an? \S+ account",
            r"用户不存在|收件人不存在|邮箱不存在|无此用户|账号不存在",
        ),
    ),
    (
        Reason.INVALID_DOMAIN,
        (
            r"(?:domain|host) (?:\S+ ){0,3}(?:not found|does ?n[o']t exist|unknown)|no such domain",
            r"relay(?:ing)? (?:access )?(?:denied|not permitted|not allowed)",
        ),
    ),
    (
        Reason.TEMPORARY,
        (
            r"grey-?list|gray-?list|try again later|rate limit",
            r"too many (?:connections|messages|recipients)",
        ),
    ),
    (
        Reason.REFUSED,
        (
            r"\bpolicy\b|\bdenied\b|\brejected\b|\bprohibited\b|\bDMARC\b|\bSPF\b|\bDKIM\b",
            r"not (?:allowed|permitted|authori[sz]ed)|拒绝|拒收",
        ),
    ),
)
_BY_WORDS = tuple((re.compile("|".join(words), re.IGNORECASE), reason) for reason, words in _PHRASES)

# Basic codes, when neither status nor words say more (RFC 5321 4.2.3).
_BY_CODE: dict[int, Reason] = {
    500: Reason.MALFORMED,
    501: Reason.MALFORMED,
    502: Reason.MALFORMED,
    503: Reason.MALFORMED,
    504: Reason.MALFORMED,
    552: Reason.OVER_QUOTA,
    550: Reason.NO_MAILBOX,
    551: Reason.NO_MAILBOX,
    553: Reason.MALFORMED,
    554: Reason.REFUSED,
    521: Reason.INVALID_DOMAIN,  # RFC 7504: the host takes no mail
    556: Reason.INVALID_DOMAIN,
}


def classify(code: int, status: str, text: str) -> Reason:
    """Say what a reply means. `code` 0 stands for a failure without a reply (no connection, no DNS answer).

    A 4xx is `TEMPORARY` unless it clearly speaks of quota or spam: "450 mailbox unavailable" is every
    greylisting server's phrase (RFC 5321 4.2.2). A 5xx always gets a lasting reason.
    """
    by_words = next((reason for words, reason in _BY_WORDS if words.search(text, 0, MAX_TEXT)), None)
    by_status = _BY_STATUS.get(status[2:])
    if code < 500 and not status.startswith("5"):
        for reason in (by_words, by_status):
            if reason is Reason.OVER_QUOTA or reason is Reason.SPAM:
                return reason
        return Reason.TEMPORARY
    for reason in (by_words, by_status):
        if reason is not None and reason is not Reason.TEMPORARY:
            return reason
    return _BY_CODE.get(code, Reason.REFUSED)
