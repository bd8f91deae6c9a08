"""`/sso`: a signed ticket, good once and for minutes, instead of a password in an address.

A JSON Web Token (RFC 7519) under HMAC-SHA-256 (RFC 7518 3.2) with the secret of one integration. The
algorithm is ours to say and never the token's (RFC 8725 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from postroad.bridges.fields import BadForm, read_fields
from postroad.bridges.oa.login import place_of
from postroad.bridges.webmail import Place, Webmail, secretive
from postroad.config import Integration
from postroad.directory.errors import AccountDisabled, WrongCredentials
from postroad.directory.identity.sign_in import SignIn
from postroad.directory.identity.tickets import Tickets
from postroad.message.address import BadAddress, canonical_domain

MAX_TICKET = 4096  # characters; one with every claim takes 300
MAX_ID = 200
LONGEST = timedelta(minutes=5)  # how far ahead a ticket may run out
SLACK = timedelta(minutes=5)  # how long a used one is kept beyond that: clocks of machines differ
_OPTIONS: Mapping[str, Any] = {
    "require": ["sub", "exp", "jti"],
    # Times are compared with our own clock below.
    **{f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss")},
}


class BadTicket(Exception):
    """A ticket that is not good. Why is told to nobody: who may know can look at the ticket."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What an integration says."""

    integration: Integration
    account: str
    id: str
    expires_at: datetime
    place: Place
    recipients: str


def read_ticket(text: str, integrations: Sequence[Integration], now: datetime) -> Ticket:
    """Read a ticket that one of `integrations` signed. Raises `BadTicket`."""
    if len(text) > MAX_TICKET or not text.isascii():
        raise BadTicket
    for integration in integrations:
        try:
            claims = jwt.decode(text, integration.secret, algorithms=["HS256"], options=_OPTIONS)  # type: ignore[arg-type]
        except jwt.InvalidSignatureError:
            continue
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise BadTicket from error
        return _ticket(integration, claims, now)
    raise BadTicket


def _ticket(integration: Integration, claims: Mapping[str, Any], now: datetime) -> Ticket:
    account, ticket_id, expires = claims["sub"], claims["jti"], claims["exp"]
    if not isinstance(account, str) or not isinstance(ticket_id, str):
        raise BadTicket
    if not 0 < len(ticket_id) <= MAX_ID or not ticket_id.isprintable():
        raise BadTicket
    if isinstance(expires, bool) or not isinstance(expires, int | float):
        raise BadTicket
    seconds = now.timestamp()
    if not seconds < expires <= seconds + LONGEST.total_seconds():  # a NaN is in no interval
        raise BadTicket
    recipients = claims.get("to", "")
    if not isinstance(recipients, str):
        raise BadTicket
    go = claims.get("go", "4" if recipients else "0")
    return Ticket(
        integration,
        account,
        ticket_id,
        datetime.fromtimestamp(expires, UTC),
        place_of(str(go)) if isinstance(go, int | str) else "summary",
        recipients,
    )


class TicketSignOn:
    """Lets in whom an integration vouches for, within the domains it was given."""

    def __init__(
        self,
        webmail: Webmail,
        sign_in: SignIn,
        tickets: Tickets,
        integrations: Sequence[Integration],
        clock: Callable[[], datetime],
    ) -> None:
        self._webmail = webmail
        self._sign_in = sign_in
        self._tickets = tickets
        self._integrations = integrations
        self._clock = clock

    def routes(self) -> list[BaseRoute]:
        """One address."""
        return [secretive("/sso", ("GET",), self._sso)]

    async def _sso(self, request: Request, query: bytes) -> Response:
        try:
            text = read_fields(query).get("ticket")
        except BadForm as problem:
            raise HTTPException(problem.status) from problem
        if not text:
            raise HTTPException(400)
        try:
            ticket = read_ticket(text, self._integrations, self._clock())
        except BadTicket:
            return self._webmail.stale(request, "summary")
        try:
            principal = await self._sign_in.vouched(ticket.account)
        except WrongCredentials:
            return self._webmail.stale(request, ticket.place, ticket.recipients)
        except AccountDisabled as refusal:
            if not _covers(ticket.integration, ticket.account.rpartition("@")[2]):
                return self._webmail.stale(request, ticket.place, ticket.recipients)
            return self._webmail.refused(request, refusal, ticket.place, ticket.account, ticket.recipients)
        # The account's own domain counts, not the alias domain that the ticket may name.
        is_covered = _covers(ticket.integration, principal.address.domain)
        if not is_covered or not await self._tickets.use(
            ticket.integration.name, ticket.id, ticket.expires_at + SLACK
        ):
            return self._webmail.stale(request, ticket.place, ticket.recipients)
        return await self._webmail.enter(request, principal, ticket.place, ticket.recipients)


def _covers(integration: Integration, domain: str) -> bool:
    try:
        wanted = canonical_domain(domain)
        return any(each == "*" or canonical_domain(each) == wanted for each in integration.domains)
    except BadAddress:
        return False
