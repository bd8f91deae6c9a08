"""JDMail's `login.cgi`: signing on from a portal by a link. Its query string is no key=value.

    login+ACCOUNT+PASSWORD+0                  into the mailbox
    login+ACCOUNT+PASSWORD+RECIPIENT+0        into the compose page, addressed to RECIPIENT

It is split at `+`, and each argument is percent-decoded after that. An account in bare hexadecimal holds no @
and so is nobody's address as it stands: where it reads as one, all arguments are hexadecimal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from postroad.bridges.fields import as_text
from postroad.bridges.webmail import Place, Webmail, secretive
from postroad.directory.errors import SignInRefused
from postroad.directory.identity.sign_in import SignIn
from postroad.message.address import Address, BadAddress

MAX_QUERY = 16 * 1024
_BARE_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+\Z")
_BROKEN_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Malformed(ValueError):
    """A query string that is not of one of the two forms."""


@dataclass(frozen=True, slots=True)
class SignOnLink:
    """What a link says; `recipient` None is the form without one."""

    account: str
    password: str
    recipient: str | None


def read_link(query: bytes) -> SignOnLink:
    """Read the query string of `login.cgi`. Raises `Malformed`."""
    words = query.split(b"+")
    if len(query) > MAX_QUERY or len(words) not in (4, 5):
        raise Malformed
    if words[0].lower() != b"login" or words[-1] != b"0":
        raise Malformed
    if any(_BROKEN_PERCENT.search(word) for word in words):
        raise Malformed
    given = [as_text(unquote_to_bytes(word)) for word in words[1:-1]]
    account = given[0].strip()
    if _is_address(_decoded(account)):
        texts = [_decoded(argument) for argument in given]
        if not all(text is not None for text in texts):
            raise Malformed
        given = [text or "" for text in texts]
        account = given[0].strip()
    if not account or not given[1]:
        raise Malformed
    return SignOnLink(account, given[1], given[2].strip() if len(given) > 2 else None)


def _decoded(argument: str) -> str | None:
    """What bare hexadecimal says, None for what is none. An empty recipient is empty either way."""
    if not argument:
        return ""
    return as_text(bytes.fromhex(argument)) if _BARE_HEX.match(argument) else None


def _is_address(text: str | None) -> bool:
    try:
        return text is not None and Address.parse(text.strip()) is not None
    except BadAddress:
        return False


class LoginCgi:
    """The address that links lead to."""

    def __init__(self, webmail: Webmail, sign_in: SignIn) -> None:
        self._webmail = webmail
        self._sign_in = sign_in

    def routes(self) -> list[BaseRoute]:
        """One address."""
        return [secretive("/jdwm/cgi/login.cgi", ("GET",), self._cgi)]

    async def _cgi(self, request: Request, query: bytes) -> Response:
        try:
            link = read_link(query)
        except Malformed as problem:
            raise HTTPException(400) from problem
        place: Place = "mailbox" if link.recipient is None else "compose"
        recipient = link.recipient or ""
        client, device = self._webmail.client(request), self._webmail.device(request)
        try:
            principal = await self._sign_in.check(link.account, link.password, client, "web", device=device)
        except SignInRefused as refusal:
            return self._webmail.refused(request, refusal, place, link.account, recipient)
        return await self._webmail.enter(request, principal, place, recipient)
