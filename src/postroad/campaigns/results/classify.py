"""What a server's answer means for a recipient, in the failure types of our page (C.1). Pure.

Words come first, since receivers often give a general code (550, 5.7.1, 5.0.0) and say the truth in words;
then the enhanced status (RFC 3463 and its registry); then the code (RFC 5321 4.2.3). The words are a table:
the built-in rows in `words.py`, an administrator's before them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from postroad.campaigns.results.words import (
    BUILT_IN,
    INVALID,
    MALFORMED,
    NOT_EXIST,
    OVER_QUOTA,
    USER_REJECT,
    Rule,
)

MAX_TEXT = 4000  # characters of a reply that are looked at; the longest explanations have about 1,000
MAX_PATTERN = 200
MAX_PHRASES = 5  # of one pattern

_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_ADDRESS = re.compile(
    r"[^\s<>()\[\]\"',:;：；，。「」（）【】《》@]{1,64}+@[^\s<>()\[\]\"',:;：；，。「」（）【】《》]{1,255}+"
)
# RFC 3463 3.2 to 3.8 and the IANA registry: subject and detail, without the class.
_BY_STATUS = {
    "1.0": NOT_EXIST,
    "1.1": NOT_EXIST,
    "1.2": INVALID,
    "1.3": MALFORMED,
    "1.4": NOT_EXIST,
    "1.6": NOT_EXIST,
    "1.10": INVALID,
    "2.0": NOT_EXIST,
    "2.1": NOT_EXIST,
    "2.2": OVER_QUOTA,
    "3.1": OVER_QUOTA,  # the system's disk, as full as the mailbox
    "4.3": INVALID,
    "4.4": INVALID,
    "4.6": INVALID,
}
_BY_CODE = {
    501: MALFORMED,
    521: INVALID,  # RFC 7504: the host takes no mail
    550: NOT_EXIST,
    551: NOT_EXIST,
    552: OVER_QUOTA,
    553: MALFORMED,
    556: INVALID,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is meant. `is_temporary`: it is worth another try; `asks_for_less`: slower, please.

    `failure` is also set for what is temporary: it counts when the tries are used up. `by` says what decided,
    for whoever mends the table.
    """

    failure: int
    is_temporary: bool
    asks_for_less: bool = False
    by: str = ""


class Classifier:
    """The table in use: `own` rows, an administrator's, go before the built-in ones."""

    def __init__(self, own: Sequence[Rule] = ()) -> None:
        self._rows = [(rule, phrases(rule.pattern)) for rule in (*own, *BUILT_IN)]

    def classify_reply(self, code: int | None, enhanced: str | None, text: str) -> Verdict:
        """Say what an answer means. Without a code (a bounce's prose) it is final unless the words say
        more.
        """
        looked_at = folded(text[:MAX_TEXT])
        status = enhanced or ""
        if not status and (match := _STATUS.search(looked_at)) is not None:
            status = match[1]
        is_later = 400 <= code < 500 if code else status.startswith("4")
        for rule, wanted in self._rows:
            if _stand_in(wanted, looked_at):
                is_temporary = is_later if rule.is_temporary is None else rule.is_temporary
                return Verdict(rule.failure, is_temporary, rule.asks_for_less, rule.pattern)
        if (failure := _BY_STATUS.get(status[2:])) is not None:
            return Verdict(failure, is_later, by=status)
        # 450 is what greylisting says of every mailbox: only a lasting code speaks of the recipient.
        if code and not is_later and (status[2:] in ("", "0.0")) and code in _BY_CODE:
            return Verdict(_BY_CODE[code], is_later, by=str(code))
        return Verdict(USER_REJECT, is_later)

    def names_a_reason(self, text: str) -> bool:
        """Whether any row fits: such a text is about a mail that was not taken."""
        looked_at = folded(text[:MAX_TEXT])
        return any(_stand_in(wanted, looked_at) for _, wanted in self._rows)


def phrases(pattern: str) -> tuple[str, ...]:
    """A pattern's phrases. Raises `ValueError` for one that would fit everything, or is too long."""
    found = tuple(phrase for phrase in (folded(each).strip() for each in pattern.split("*")) if phrase)
    if not found or len(pattern) > MAX_PATTERN or len(found) > MAX_PHRASES:
        raise ValueError(f"a pattern has one to {MAX_PHRASES} phrases and at most {MAX_PATTERN} characters")
    if max(map(len, found)) < 2:
        raise ValueError("a pattern of single letters would fit everything")
    return found


def folded(text: str) -> str:
    """Lower case, with one blank for every run of blanks, since lines are broken anywhere.

    Of addresses only the @ is left: `domain-not-found@…` and `spam@…` are names, not reasons.
    """
    plain = text.replace("\u2019", "'").replace("\u3000", " ").casefold()
    return " ".join(_ADDRESS.sub("@", plain).split())


def _stand_in(wanted: tuple[str, ...], text: str) -> bool:
    at = 0
    for phrase in wanted:
        found = text.find(phrase, at)
        if found < 0:
            return False
        at = found + len(phrase)
    return True


_BUILT_IN = Classifier()


def classify_reply(code: int | None, enhanced: str | None, text: str) -> Verdict:
    """Say what an answer means by the built-in table alone."""
    return _BUILT_IN.classify_reply(code, enhanced, text)
