"""Which principals a page lets in: a session of one kind opens no pages of another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from starlette.requests import Request

from postroad.directory.credentials import NewCredential, add_in, hash_password
from postroad.directory.identity.sessions import Sessions
from postroad.directory.passwords import PasswordHashing
from postroad.directory.principals import ACCOUNTS, Kind, Principal, PrincipalId
from postroad.web.mail.words import vocabulary
from postroad.web.shell.assets import Assets
from postroad.web.shell.languages import Languages
from postroad.web.shell.pages import Pages
from postroad.web.shell.visits import SESSION_COOKIE, Visits
from tests.web.client import Visitor
from tests.web.house import PASSWORD, House


def clock() -> datetime:
    return datetime.now(UTC)


async def customer_session(house: House, sessions: Sessions) -> str:
    hashing = PasswordHashing()
    hashed = await hash_password(hashing, "acme", PASSWORD)
    hashing.close()
    async with house.database.transaction() as connection:
        await add_in(connection, [NewCredential(PrincipalId(Kind.CUSTOMER, 7), "acme", hashed)])
    return await sessions.open(Principal(Kind.CUSTOMER, 7, "acme", 1, "password"))


async def test_a_customers_session_opens_no_mailbox(house: House) -> None:
    token = await customer_session(house, Sessions(house.database, timedelta(days=1), clock))
    answer = await Visitor(house.app, cookies={SESSION_COOKIE: token}).get("/mail/summary")
    assert (answer.status, answer.headers["location"]) == (303, "/mail/login?next=/mail/summary")


async def test_each_area_lets_in_its_own_kinds(house: House) -> None:
    sessions = Sessions(house.database, timedelta(days=1), clock)
    token = await customer_session(house, sessions)
    request = Request(
        {"type": "http", "headers": [(b"cookie", f"{SESSION_COOKIE}={token}".encode())], "query_string": b""}
    )
    pages = Pages(Assets.load(), vocabulary)
    for kinds, is_let_in in ((ACCOUNTS, False), ((Kind.CUSTOMER, Kind.MANAGER), True)):
        visits = Visits(sessions, Languages(), pages, clock, (), kinds)
        visit = await visits.visit(request)
        assert (visit is not None) is is_let_in
        assert visit is None or visit.principal == PrincipalId(Kind.CUSTOMER, 7)
