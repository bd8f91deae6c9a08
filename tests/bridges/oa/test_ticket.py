"""Signed tickets: one use, five minutes, one algorithm, the integration's own domains."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.bridges.oa.ticket import BadTicket, read_ticket
from postroad.config import Integration, Oa
from postroad.message.address import Address
from tests.bridges.conftest import EVERYWHERE, LIN, OA, PORTAL, clock, is_signed_in
from tests.web.client import Visitor
from tests.web.house import House


def claims(**more: Any) -> dict[str, Any]:
    return {"sub": LIN, "exp": int(time.time()) + 60, "jti": f"ticket-{time.perf_counter_ns()}", **more}


def signed(integration: Integration = PORTAL, **more: Any) -> str:
    return jwt.encode(claims(**more), integration.secret, "HS256")


def piece(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def go(house: House, ticket: str) -> tuple[int, str]:
    visitor = Visitor(house.app)
    answer = await visitor.get(f"/sso?ticket={ticket}")
    assert ticket not in answer.text
    assert (answer.status == 303) == await is_signed_in(visitor)
    return answer.status, answer.headers.get("location", "")


PLACES: list[tuple[dict[str, Any], str]] = [
    ({}, "/mail/summary"),
    ({"go": "1"}, "/mail"),
    ({"go": 1}, "/mail"),
    ({"go": 4}, "/mail/compose"),
    ({"to": "wang@x.example"}, "/mail/compose?to=wang%40x.example"),
    ({"go": "4", "to": "王 <wang@x.example>"}, "/mail/compose?to=%E7%8E%8B+%3Cwang%40x.example%3E"),
    ({"go": "0", "to": "wang@x.example"}, "/mail/summary"),
    ({"go": "9"}, "/mail/summary"),
]


@pytest.mark.parametrize(("more", "page"), PLACES)
async def test_a_ticket_opens_the_page_it_names(house: House, more: dict[str, Any], page: str) -> None:
    assert await go(house, signed(**more)) == (303, page)


async def test_a_ticket_is_good_once(house: House) -> None:
    ticket = signed()
    assert (await go(house, ticket))[0] == 303
    assert await go(house, ticket) == (401, "")
    same = claims(jti="the-same")
    assert (await go(house, jwt.encode(same, PORTAL.secret)))[0] == 303
    assert (await go(house, jwt.encode({**same, "go": "1"}, PORTAL.secret)))[0] == 401
    assert (await go(house, jwt.encode(same, EVERYWHERE.secret)))[0] == 303


async def test_of_many_uses_at_once_one_counts(house: House) -> None:
    ticket = signed()
    answers = await asyncio.gather(*(go(house, ticket) for _ in range(8)))
    assert sorted(status for status, _ in answers) == [303] + [401] * 7


BAD: list[tuple[str, Callable[[], str]]] = [
    ("expired", lambda: signed(exp=int(time.time()) - 1)),
    ("too far ahead", lambda: signed(exp=int(time.time()) + 330)),
    ("no time", lambda: jwt.encode({"sub": LIN, "jti": "1"}, PORTAL.secret)),
    ("no id", lambda: jwt.encode({"sub": LIN, "exp": time.time() + 60}, PORTAL.secret)),
    ("no account", lambda: jwt.encode({"jti": "1", "exp": time.time() + 60}, PORTAL.secret)),
    ("time is a text", lambda: signed(exp="soon")),
    ("time is true", lambda: signed(exp=True)),
    ("time is no number", lambda: signed(exp=float("nan"))),
    ("time without end", lambda: signed(exp=float("inf"))),
    ("id is a number", lambda: signed(jti=1)),
    ("id is empty", lambda: signed(jti="")),
    ("id is long", lambda: signed(jti="x" * 201)),
    ("account is a list", lambda: signed(sub=[LIN])),
    ("recipient is a number", lambda: signed(to=4)),
    ("another secret", lambda: jwt.encode(claims(), "x" * 40)),
    ("another length of hash", lambda: jwt.encode(claims(), PORTAL.secret + "0" * 32, "HS512")),
    ("the same secret, another length of hash", lambda: jwt.encode(claims(), PORTAL.secret * 2, "HS384")),
    ("not signed", lambda: jwt.encode(claims(), "", "none")),
    ("not signed, written as none", lambda: f"{piece({'alg': 'none'})}.{piece(claims())}."),
    ("not signed, written as None", lambda: f"{piece({'alg': 'NoNe'})}.{piece(claims())}."),
    ("signature cut", lambda: signed()[:-4]),
    ("signature of another", lambda: signed().rpartition(".")[0] + "." + signed(go="1").rpartition(".")[2]),
    ("claims swapped", lambda: ".".join((signed().split(".")[0], piece(claims()), signed().split(".")[2]))),
    ("critical header", lambda: jwt.encode(claims(), PORTAL.secret, headers={"crit": ["x"], "x": 1})),
    ("nothing", lambda: "..."),
    ("long", lambda: "a" * 5000),
    ("unknown account", lambda: signed(sub="nobody@demo.example")),
    ("no address", lambda: signed(sub="lin")),
]


async def test_a_ticket_that_is_not_good_opens_nothing(house: House) -> None:
    for name, make in BAD:
        assert await go(house, make()) == (401, ""), name


async def test_an_integration_signs_in_accounts_of_its_domains_only(house: House) -> None:
    await house.account("boss@other.example", "Boss")
    ticket = claims(sub="boss@other.example")
    assert (await go(house, jwt.encode(ticket, PORTAL.secret)))[0] == 401
    assert (await go(house, jwt.encode(ticket, EVERYWHERE.secret)))[0] == 303
    await house.accounts.set_disabled(Address.parse("boss@other.example"), True)
    assert (await go(house, signed(sub="boss@other.example")))[0] == 401


async def test_an_alias_domain_opens_no_door_to_another_domain(house: House) -> None:
    await house.account("boss@other.example", "Boss")
    await house.database.execute(
        "INSERT INTO domain (name, alias_of) "
        "SELECT 'alias.demo.example', id FROM domain WHERE name = 'other.example'"
    )
    narrow = Integration(name="n", secret="n" * 32, domains=("alias.demo.example",))
    ticket = read_ticket(jwt.encode(claims(sub="boss@alias.demo.example"), narrow.secret), [narrow], clock())
    assert ticket.account == "boss@alias.demo.example"
    assert (await go(house, signed(EVERYWHERE, sub="boss@alias.demo.example")))[0] == 303
    assert (await go(house, signed(PORTAL, sub="boss@alias.demo.example")))[0] == 401


async def test_a_locked_account_stays_out(house: House) -> None:
    await house.accounts.set_disabled(Address.parse(LIN), True)
    assert (await go(house, signed()))[0] == 403


async def test_what_is_used_up_is_kept_past_its_end(house: House) -> None:
    await go(house, signed())
    ahead = await house.database.fetchval("SELECT min(expires_at) - now() FROM sign_on_ticket")
    assert ahead.total_seconds() > 300


async def test_without_a_ticket_the_request_is_malformed(visitor: Visitor) -> None:
    assert (await visitor.get("/sso")).status == 400
    assert (await visitor.post("/sso", {"ticket": signed()})).status == 405


@given(
    st.one_of(
        st.text(max_size=200), st.binary(max_size=100).map(lambda data: base64.b64encode(data).decode())
    )
)
def test_nothing_breaks_the_reading(text: str) -> None:
    try:
        read_ticket(text, OA.integrations, clock())
    except BadTicket:
        return
    raise AssertionError("nobody signed this")


@pytest.mark.parametrize(
    "integrations",
    [
        [{"name": "a", "secret": "short", "domains": ["*"]}],
        [{"name": "a", "secret": "s" * 32, "domains": []}],
        [{"name": "a", "secret": "s" * 32}],
        [{"name": "a b", "secret": "s" * 32, "domains": ["*"]}],
        [
            {"name": "a", "secret": "s" * 32, "domains": ["*"]},
            {"name": "b", "secret": "s" * 32, "domains": ["*"]},
        ],
        [
            {"name": "a", "secret": "s" * 32, "domains": ["*"]},
            {"name": "a", "secret": "t" * 32, "domains": ["*"]},
        ],
    ],
)
def test_settings_that_would_not_be_safe_are_refused(integrations: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="integrations"):
        Oa.model_validate({"integrations": integrations})


@pytest.mark.parametrize(
    "host", ["http://oa.example.com", "oa.example.com/", "*", "", "a@b", "oa.example.com:"]
)
def test_redirect_hosts_are_hosts(host: str) -> None:
    with pytest.raises(ValueError, match="redirect_hosts"):
        Oa.model_validate({"redirect_hosts": [host]})
