"""Replies as large receivers give them, in the types of part C.1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.campaigns.results.classify import Classifier, classify_reply, phrases
from postroad.campaigns.results.words import BUILT_IN


@pytest.mark.parametrize(
    ("code", "enhanced", "text", "failure", "is_temporary"),
    [
        (
            550,
            "5.1.1",
            "<a@b.example>: Recipient address rejected: User unknown in local recipient table",
            1,
            False,
        ),
        (550, None, "Mailbox not found. http://service.mail.qq.example/help", 1, False),
        (550, None, "User not found: a@163.example", 1, False),
        (550, "5.1.1", "", 1, False),
        (550, None, "no", 1, False),
        (452, "4.2.2", "The email account that you tried to reach is over quota", 2, True),
        (552, None, "", 2, False),
        (550, None, "Mail content denied", 3, False),
        (554, None, "DT:SPM 163 smtp", 3, False),
        (550, None, "Domain may not exist or DNS check failed", 3, False),
        (554, "5.7.1", "<spam@list.example>: Relay access denied", 8, False),
        (550, "5.1.2", "Host unknown", 8, False),
        (556, None, "", 8, False),
        (553, "5.1.3", "bad address syntax", 9, False),
        (501, None, "", 9, False),
        (450, "4.2.0", "<a@b.example>: Recipient address rejected: Greylisted", 3, True),
        (450, None, "mailbox unavailable", 1, True),
        (550, None, "Ip frequency limited", 3, True),
        (550, None, "Connection frequency limited", 3, True),
        (
            421,
            "4.7.0",
            "[TSS04] Messages from 192.0.2.1 temporarily deferred due to user complaints",
            3,
            True,
        ),
        (554, "5.2.2", "quota-exceeded@domain.example: something else", 2, False),
        (None, None, "对方邮箱已满", 2, False),
        (None, None, "", 3, False),
    ],
)
def test_what_replies_mean(
    code: int | None, enhanced: str | None, text: str, failure: int, is_temporary: bool
) -> None:
    verdict = classify_reply(code, enhanced, text)
    assert (verdict.failure, verdict.is_temporary) == (failure, is_temporary), verdict


def test_who_asks_for_less_is_heard() -> None:
    assert classify_reply(421, None, "too many connections from your host").asks_for_less
    assert not classify_reply(450, None, "try again later").asks_for_less


def test_every_built_in_pattern_can_be_met() -> None:
    """A row that an earlier one always wins over would be dead."""
    dead = []
    for rule in BUILT_IN:
        text = " ".join(phrases(rule.pattern))
        if classify_reply(550, None, text).failure != rule.failure:
            dead.append(rule.pattern)
    assert dead == []


@given(st.none() | st.integers(0, 999), st.none() | st.text(max_size=10), st.text(max_size=3000))
def test_any_reply_has_a_meaning(code: int | None, enhanced: str | None, text: str) -> None:
    verdict = Classifier().classify_reply(code, enhanced, text)
    assert verdict.failure in (1, 2, 3, 8, 9)


@given(st.sampled_from(BUILT_IN), st.text(max_size=50), st.text(max_size=50))
def test_words_are_found_wherever_they_stand(rule: object, before: str, after: str) -> None:
    pattern = getattr(rule, "pattern")  # noqa: B009
    text = f"{before} {' '.join(phrases(pattern)).upper()} {after}"
    assert Classifier().names_a_reason(text)
