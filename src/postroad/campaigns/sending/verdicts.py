"""What an attempt means for a recipient of the ledger: its next state, in the vocabulary of part C.1 of our
page. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from postroad.campaigns.reports.figures import CANCELLED, DELIVERED, FAILED, INVALID, MALFORMED, RUBBISH
from postroad.campaigns.results.classify import Verdict as Meaning
from postroad.transport.delivery.classify import MAX_TEXT
from postroad.transport.delivery.judging import Later, Schedule
from postroad.transport.delivery.source import Failure, Result, Taken

WAITING = 0
# A reply is kept for "what did his server say?"; one of a mail that was taken says little.
MAX_TAKEN_TEXT = 200

# What an answer means (`results/classify.py`): code, enhanced status, text.
Classify = Callable[[int | None, str | None, str], Meaning]


@dataclass(frozen=True, slots=True)
class Known(Failure):
    """What becomes of a recipient is known without an attempt: `state` and `failure` say what that is."""

    state: int = FAILED
    failure: int = INVALID


def malformed(text: str) -> Known:
    """What is no address (type 9)."""
    return Known(553, "5.1.3", text, failure=MALFORMED)


def suppressed(text: str) -> Known:
    """An address that nothing is sent to any more: dropped before sending, as an invalid one."""
    return Known(550, "5.7.1", text)


def unmade(text: str) -> Known:
    """A mail that could not be made was not sent by our own doing (type 5), and is not paid for."""
    return Known(554, "5.6.0", text, failure=RUBBISH)


def delivered_here(text: str) -> Known:
    """The mail lies in a mailbox of this server."""
    return Known(250, "2.0.0", text, state=DELIVERED, failure=0)


def unsubscribed() -> Known:
    """Who left the list after the task began is not written to."""
    return Known(550, "5.7.1", "unsubscribed before the mail was sent", state=CANCELLED, failure=0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The next state of a recipient. `after`: when it waits, for how long."""

    state: int
    failure: int
    code: int
    reply: str
    after: timedelta | None = None


def judge(
    result: Result, classify: Classify, schedule: Schedule, age: timedelta, attempts: int, jitter: float
) -> Verdict:
    """Say what becomes of a recipient.

    A 4xx is a later, and so is a 5xx whose words say "not now"; past its lifetime, it is what was said last.
    """
    if isinstance(result, Taken):
        return Verdict(DELIVERED, 0, result.code, storable(result.text, MAX_TAKEN_TEXT))
    reply = storable(" ".join(filter(None, (result.status, result.text))))
    if isinstance(result, Known):
        return Verdict(result.state, result.failure, result.code, reply)
    meaning = _unanswered(result) or classify(result.code, result.status, result.text)
    if not result.is_permanent or meaning.is_temporary:
        verdict = schedule.next_attempt(age, attempts, jitter)
        if isinstance(verdict, Later):
            return Verdict(WAITING, 0, result.code, reply, verdict.after)
    return Verdict(FAILED, meaning.failure, result.code, reply)


def _unanswered(failure: Failure) -> Meaning | None:
    """What no server said: the DNS, or nobody who answers. The domain takes no mail (type 8)."""
    return None if failure.remote else Meaning(INVALID, is_temporary=not failure.is_permanent)


def storable(text: str, longest: int = MAX_TEXT) -> str:
    """What a host said, as PostgreSQL takes it."""
    return text[:longest].replace("\0", "").encode("utf-8", "replace").decode()
