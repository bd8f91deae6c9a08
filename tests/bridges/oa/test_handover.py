"""A link or a form elsewhere that would replace a session asks first, and changes nothing until yes."""

from __future__ import annotations

import re
import time
from urllib.parse import urlencode

import jwt
import pytest

from tests.bridges.conftest import LIN, PORTAL, is_signed_in
from tests.web.client import Answer, Visitor
from tests.web.house import PASSWORD, House

ATTACKER = "mallory@demo.example"
FOREIGN = {"sec-fetch-site": "cross-site", "referer": "https://evil.example/"}
FROM_THE_OA = {"sec-fetch-site": "cross-site", "referer": "http://oa.example.com/"}


@pytest.fixture(autouse=True)
async def attacker(house: House) -> None:
    await house.account(ATTACKER, "Mallory")


def asp(go: str = "4") -> str:
    return "/mail/login.asp?" + urlencode({"acc": ATTACKER, "pwd": PASSWORD, "go": go})


async def who(visitor: Visitor) -> str:
    """Whose mailbox the visitor's cookie opens."""
    page = await visitor.get("/mail/password")
    found = re.search(r'name="username" value="([^"]+)"', page.text)
    return found[1] if found else ""


async def asked(visitor: Visitor, answer: Answer) -> Answer:
    """The question that an answer leads to."""
    assert answer.status == 303
    assert answer.headers["location"].startswith("/mail/sign-on?")
    assert [cookie.partition("=")[0] for cookie in answer.cookies] == ["postroad_waiting"]
    assert "path=/mail/sign-on" in answer.cookies[0].lower()
    question = await visitor.get(answer.headers["location"])
    assert question.status == 200
    assert PASSWORD not in question.text
    return question


async def test_a_link_elsewhere_asks_before_it_replaces_a_session(visitor: Visitor) -> None:
    await visitor.sign_in(LIN)
    question = await asked(visitor, await visitor.get(asp(), **FOREIGN))
    assert f"Go on as {ATTACKER}?" in question.text
    assert f"Stay as {LIN}" in question.text
    assert await who(visitor) == LIN
    stayed = await visitor.post("/mail/sign-on", {"answer": "no", "next": "/mail/compose"})
    assert (stayed.status, stayed.headers["location"]) == (303, "/mail")
    assert await who(visitor) == LIN
    again = await visitor.post("/mail/sign-on", {"answer": "yes", "next": "/mail/compose"})
    assert again.headers["location"] == "/mail", "what waited is gone"
    assert await who(visitor) == LIN


async def test_yes_opens_the_other_mailbox_and_ends_the_old_session(visitor: Visitor, house: House) -> None:
    await visitor.sign_in(LIN)
    old = visitor.cookies["postroad_session"]
    await asked(visitor, await visitor.get(asp(), **FOREIGN))
    answer = await visitor.post("/mail/sign-on", {"answer": "yes", "next": "/mail/compose"})
    assert (answer.status, answer.headers["location"]) == (303, "/mail/compose")
    assert answer.headers["clear-site-data"] == '"storage"'
    assert await who(visitor) == ATTACKER
    assert not await is_signed_in(Visitor(house.app, cookies={"postroad_session": old}))
    left = await house.database.fetchval(
        "SELECT count(*) FROM web_session WHERE expires_at > now() + '1 day'"
    )
    assert left == 1, "it lasts as long as any other"


@pytest.mark.parametrize("token", ["", "x" * 43])
async def test_nobody_else_can_say_yes(visitor: Visitor, token: str) -> None:
    await visitor.sign_in(LIN)
    await asked(visitor, await visitor.get(asp(), **FOREIGN))
    visitor.csrf = token
    assert (await visitor.post("/mail/sign-on", {"answer": "yes"}, **FOREIGN)).status == 403
    assert await who(visitor) == LIN


async def test_a_form_elsewhere_asks_too(visitor: Visitor, house: House) -> None:
    """Browsers keep the session back from a stranger's form, and would overwrite it with the answer."""
    await visitor.sign_in(LIN)
    stranger = Visitor(house.app)
    answer = await stranger.post(
        "/mail/login.asp?go=4",
        {"fm_strAccount": ATTACKER, "fm_strPassword": PASSWORD},
        origin="https://evil.example",
        host="mail.example.com",
    )
    visitor.cookies.update(stranger.cookies)
    question = await asked(visitor, answer)
    assert f"Go on as {ATTACKER}?" in question.text
    assert await who(visitor) == LIN


async def test_a_form_elsewhere_goes_on_where_nobody_is_signed_in(visitor: Visitor) -> None:
    answer = await visitor.post(
        "/mail", {"fm_strAccount": LIN, "fm_strPassword": PASSWORD}, origin="https://portal.example"
    )
    assert (answer.status, answer.headers["location"]) == (303, "/mail/sign-on?next=%2Fmail")
    went_on = await visitor.get(answer.headers["location"])
    assert (went_on.status, went_on.headers["location"]) == (303, "/mail")
    assert await who(visitor) == LIN


async def test_a_ticket_asks_as_well(visitor: Visitor) -> None:
    await visitor.sign_in(LIN)
    claims = {"sub": ATTACKER, "exp": int(time.time()) + 100, "jti": "lure", "go": "4"}
    ticket = jwt.encode(claims, PORTAL.secret, "HS256")
    await asked(visitor, await visitor.get(f"/sso?ticket={ticket}", **FOREIGN))
    assert await who(visitor) == LIN


async def test_jdmails_link_asks_as_well(visitor: Visitor) -> None:
    await visitor.sign_in(LIN)
    link = f"/jdwm/cgi/login.cgi?login+{ATTACKER}+{PASSWORD}+0"
    await asked(visitor, await visitor.get(link, **FOREIGN))
    assert await who(visitor) == LIN


async def test_an_address_from_nowhere_asks_as_well(visitor: Visitor) -> None:
    """A link in a chat or in a mail program comes without a page before it."""
    await visitor.sign_in(LIN)
    for headers in ({"sec-fetch-site": "none"}, {"sec-fetch-site": "same-origin"}, {}):
        await asked(visitor, await visitor.get(asp(), **headers))
    assert await who(visitor) == LIN


async def test_the_oas_own_pages_are_not_asked(visitor: Visitor) -> None:
    await visitor.sign_in(LIN)
    answer = await visitor.get(asp(), **FROM_THE_OA)
    assert (answer.status, answer.headers["location"]) == (303, "/mail/compose")
    assert await who(visitor) == ATTACKER
    answer = await visitor.post(
        "/login.asp?go=0",
        {"fm_strAccount": LIN, "fm_strPassword": PASSWORD},
        origin="https://intra.example.com:8443",
        **{"sec-fetch-site": "cross-site"},
    )
    assert (answer.status, answer.headers["location"]) == (303, "/mail/summary")
    assert await who(visitor) == LIN


@pytest.mark.parametrize(
    "referer",
    [
        "https://oa.example.com.evil.example/",
        "https://evil.example/oa.example.com",
        "https://a@[bad/",
        "null",
    ],
)
async def test_other_hosts_are_not_the_oas(visitor: Visitor, referer: str) -> None:
    await visitor.sign_in(LIN)
    await asked(visitor, await visitor.get(asp(), referer=referer))
    assert await who(visitor) == LIN


async def test_the_same_account_goes_on_without_a_question(visitor: Visitor) -> None:
    await visitor.sign_in(ATTACKER)
    answer = await visitor.get(asp("1"), **FOREIGN)
    assert (answer.status, answer.headers["location"]) == (303, "/mail")


async def test_what_waited_too_long_opens_nothing(visitor: Visitor, house: House) -> None:
    await visitor.sign_in(LIN)
    question = await asked(visitor, await visitor.get(asp(), **FOREIGN))
    assert question.status == 200
    await house.database.execute(
        "UPDATE web_session SET expires_at = now() - interval '1 second' "
        "WHERE expires_at < now() + interval '11 minutes'"
    )
    answer = await visitor.post("/mail/sign-on", {"answer": "yes", "next": "/mail/compose"})
    assert answer.headers["location"] == "/mail"
    assert await who(visitor) == LIN


async def test_the_question_leads_nowhere_else(visitor: Visitor) -> None:
    await visitor.sign_in(LIN)
    await asked(visitor, await visitor.get(asp(), **FOREIGN))
    answer = await visitor.post("/mail/sign-on", {"answer": "yes", "next": "//evil.example/"})
    assert answer.headers["location"] == "/mail"
