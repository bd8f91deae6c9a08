"""The webmail with the sign-on doors beside it, joined as a worker joins them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.routing import BaseRoute

from postroad.bridges.jdmail.login_cgi import LoginCgi
from postroad.bridges.oa.login import Login
from postroad.bridges.oa.password import PasswordChange
from postroad.bridges.oa.ticket import TicketSignOn
from postroad.config import Integration, Oa
from postroad.db.pool import Database
from postroad.directory.identity.tickets import Tickets
from postroad.web.app import Services
from postroad.web.mail.sign_on import SignOn
from tests.web.client import Visitor
from tests.web.house import Beside, House, open_house

LIN = "lin@demo.example"
PORTAL = Integration(name="portal", secret="portal-secret-" + "p" * 32, domains=("demo.example",))
EVERYWHERE = Integration(name="everywhere", secret="everywhere-secret-" + "e" * 32, domains=("*",))
OA = Oa(redirect_hosts=("oa.example.com", "Intra.example.com:8443"), integrations=(PORTAL, EVERYWHERE))


def clock() -> datetime:
    return datetime.now(UTC)


def doors(database: Database, settings: Oa) -> Beside:
    """The routes of every sign-on door."""

    def beside(services: Services, webmail: SignOn) -> Sequence[BaseRoute]:
        tickets = Tickets(database, clock)
        return [
            *Login(webmail, services.sign_in, takes_md5=settings.md5_login).routes(),
            *PasswordChange(webmail, services.sign_in, services.accounts, settings.redirect_hosts).routes(),
            *TicketSignOn(webmail, services.sign_in, tickets, settings.integrations, clock).routes(),
            *LoginCgi(webmail, services.sign_in).routes(),
        ]

    return beside


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> AsyncIterator[House]:
    """The webmail and its doors, with Lin's account."""
    async with open_house(
        database, tmp_path, beside=doors(database, OA), sign_on_hosts=OA.redirect_hosts
    ) as house:
        await house.account(LIN, "林晓")
        yield house


@pytest.fixture
def visitor(house: House) -> Visitor:
    """Somebody who comes from elsewhere."""
    return Visitor(house.app)


async def is_signed_in(visitor: Visitor) -> bool:
    """Whether the visitor's cookie opens the webmail."""
    return (await visitor.get("/mail/summary")).status == 200
