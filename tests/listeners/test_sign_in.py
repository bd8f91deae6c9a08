"""What the directory says at the door, in SMTP's words."""

from __future__ import annotations

import pytest

from postroad.db.pool import DatabaseUnavailable
from postroad.directory.errors import AccountDisabled, SignInBusy, TooManyFailures, WrongCredentials
from postroad.directory.identity.sign_in import Entrance
from postroad.directory.principals import Kind, Principal
from postroad.listeners.sign_in import SmtpSignIn
from postroad.message.address import Address
from postroad.protocols.smtp.replies import SmtpReply


class Answering:
    def __init__(self, refusal: Exception | None) -> None:
        self.refusal = refusal

    async def check(self, username: str, password: str, client: str, entrance: Entrance) -> Principal:
        assert entrance == "smtp"
        if self.refusal is not None:
            raise self.refusal
        return Principal(Kind.ACCOUNT, 7, username, 3, "password", Address.parse(username))


@pytest.mark.parametrize(
    ("refusal", "code", "status"),
    [
        (WrongCredentials(), 535, "5.7.8"),
        (AccountDisabled(), 535, "5.7.13"),
        (TooManyFailures(60), 454, "4.7.0"),
        (SignInBusy(5), 454, "4.7.0"),
        (DatabaseUnavailable("gone"), 454, "4.7.0"),
    ],
)
async def test_refusals(refusal: Exception, code: int, status: str) -> None:
    with pytest.raises(SmtpReply) as raised:
        await SmtpSignIn(Answering(refusal)).check("a@example.org", "x", "192.0.2.1")
    assert (raised.value.code, raised.value.status) == (code, status)


async def test_a_good_password() -> None:
    principal = await SmtpSignIn(Answering(None)).check("a@example.org", "x", "192.0.2.1")
    assert (principal.account_id, str(principal.address)) == (7, "a@example.org")
