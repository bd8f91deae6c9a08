"""Tokens: how one comes to one, what it is good for, and when it ends."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from postroad.config import Api as Limits
from postroad.db.pool import Database
from postroad.directory.errors import BadValue, NameTaken, UnknownPrincipal, UnknownToken
from postroad.directory.identity.calls import AnsweredCalls, CallRates
from postroad.directory.identity.tokens import MAIL_SCOPES
from postroad.directory.principals import Kind
from postroad.message.address import Address
from tests.api.conftest import LIN, SHELL, WANG, ApiHouse, open_api_house
from tests.web.client import Visitor
from tests.web.house import PASSWORD


async def test_an_account_signs_in_and_its_token_dies_with_the_password(api: ApiHouse) -> None:
    given = await api.token_by(grant_type="password", username=LIN, password=PASSWORD, scope="mail:read")
    assert (given["token_type"], given["expires_in"], given["scope"]) == ("Bearer", 3600, "mail:read")
    lin = api.caller(given["access_token"])
    me = await lin.get("/me")
    assert (me["kind"], me["account"]["address"], me["scopes"]) == ("account", LIN, ["mail:read"])
    assert (await lin("POST", "/folders", {"name": "x"})).status == 403
    await api.house.accounts.set_password(Address.parse(LIN), "another-password-1")
    assert (await lin("GET", "/me")).status == 401
    refused = await api.token_by(400, grant_type="password", username=LIN, password=PASSWORD)
    assert refused["error"] == "invalid_grant"


async def test_an_application_password_gives_mail_and_takes_its_tokens_along(api: ApiHouse) -> None:
    made, secret = await api.passwords.add(Address.parse(LIN), "OA")
    given = await api.token_by(grant_type="password", username=LIN, password=secret)
    assert given["scope"] == " ".join(sorted(MAIL_SCOPES))
    refused = await api.token_by(
        400, grant_type="password", username=LIN, password=secret, scope="directory:write"
    )
    assert refused["error"] == "invalid_scope"
    lin = api.caller(given["access_token"])
    assert (await lin("GET", "/folders")).status == 200
    await api.house.accounts.set_password(Address.parse(LIN), "another-password-1")
    assert (await lin("GET", "/folders")).status == 200
    await api.passwords.remove(Address.parse(LIN), made.id)
    assert (await lin("GET", "/folders")).status == 401


async def test_an_integration_acts_for_the_accounts_of_its_domains(api: ApiHouse) -> None:
    await api.house.account("boss@other.example", "Boss")
    made, secret = await api.integrations.add(
        "OA", SHELL, domains=["demo.example"], scopes=["mail:read", "directory:read"]
    )
    assert made.domains == ("demo.example",)
    basic = base64.b64encode(f"oa:{secret}".encode()).decode()
    answer = await Visitor(api.house.app).request(
        "POST",
        "/api/v1/token",
        b"grant_type=client_credentials",
        {"content-type": "application/x-www-form-urlencoded", "authorization": f"Basic {basic}"},
    )
    assert answer.status == 200 and answer.headers["cache-control"] == "no-store"
    oa = api.caller(answer.json()["access_token"])
    assert (await oa("GET", "/folders")).json()["code"] == "account-needed"
    for address, status in [(LIN, 200), (WANG, 200), ("nobody@demo.example", 404), ("x", 422)]:
        assert (await oa("GET", "/folders", postroad_account=address)).status == status
    # Whether a stranger's account exists is not told.
    told = [
        (await oa("GET", "/folders", postroad_account=one)).body
        for one in ("boss@other.example", "nobody@other.example")
    ]
    assert told[0] == told[1] and b"not-allowed" in told[0]

    async def by_client(status: int, secret: str) -> Mapping[str, Any]:
        grant = "client_credentials"
        return await api.token_by(status, grant_type=grant, client_id="oa", client_secret=secret)

    new = await api.integrations.renew_secret("oa", SHELL)
    assert (await oa("GET", "/me")).status == 401
    assert (await by_client(401, secret))["error"] == "invalid_client"
    given = await by_client(200, new)
    await api.integrations.remove("oa", SHELL)
    assert (await api.caller(given["access_token"])("GET", "/me")).status == 401


async def test_lasting_tokens_are_made_listed_and_removed(api: ApiHouse) -> None:
    made, text = await api.tokens.add(Kind.ACCOUNT, LIN, "the OA", ["mail:read"])
    lin = api.caller(text)
    assert (await lin("GET", "/me")).status == 200
    assert [one.label for one in await api.tokens.list(Kind.ACCOUNT, LIN)] == ["the OA"]
    with pytest.raises(UnknownToken):
        await api.tokens.remove(Kind.ACCOUNT, WANG, made.id)
    await api.tokens.remove(Kind.ACCOUNT, LIN, made.id)
    assert (await lin("GET", "/me")).status == 401
    with pytest.raises(UnknownPrincipal):
        await api.tokens.add(Kind.ACCOUNT, "nobody@demo.example", "x", ["mail:read"])
    with pytest.raises(BadValue):
        await api.tokens.add(Kind.ACCOUNT, LIN, "x", ["mail:everything"])
    await api.integrations.add("oa", SHELL, domains=["demo.example"], scopes=["mail:read"])
    with pytest.raises(NameTaken):
        await api.integrations.add("OA", SHELL, domains=["demo.example"], scopes=["mail:read"])
    with pytest.raises(BadValue):
        await api.integrations.add("oa2", SHELL, domains=[], scopes=["mail:read"])


async def test_a_disabled_account_and_a_revoked_token_open_nothing(api: ApiHouse) -> None:
    lin, wang = await api.lin(), await api.wang()
    await api.house.accounts.set_disabled(Address.parse(LIN), True)
    assert (await lin("GET", "/folders")).status == 401
    for _ in range(2):
        answer = await Visitor(api.house.app).request(
            "POST",
            "/api/v1/token/revoke",
            f"token={wang.token}".encode(),
            {"content-type": "application/x-www-form-urlencoded"},
        )
        assert answer.status == 200
    assert (await wang("GET", "/folders")).status == 401


async def test_calls_are_counted_over_all_workers_and_told(
    database: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    limits = Limits(calls_per_minute=10)
    async with (
        open_api_house(database, tmp_path_factory.mktemp("a"), limits) as one,
        open_api_house(database, tmp_path_factory.mktemp("b"), limits) as other,
    ):
        await one.house.account(LIN, "林晓")
        _, text = await one.tokens.add(Kind.ACCOUNT, LIN, "x", ["mail:read"])
        answers = [await (one, other)[number % 2].caller(text)("GET", "/me") for number in range(22)]
        assert [answer.status for answer in answers[:10]] == [200] * 10
        assert answers[0].headers["ratelimit"].startswith('"minute";r=9;t=')
        # 22 calls are too many even where a minute ends in between.
        refused = next(answer for answer in answers if answer.status == 429)
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert refused.headers["ratelimit-policy"] == '"minute";q=10;w=60'


async def test_what_is_over_is_swept(api: ApiHouse) -> None:
    database = api.house.database
    given = await api.token_by(grant_type="password", username=LIN, password=PASSWORD)
    lin = api.caller(given["access_token"])
    assert (await lin("POST", "/folders", {"name": "x"}, idempotency_key="k")).status == 201
    rates, answered = CallRates(database, 10), AnsweredCalls(database)
    assert [await rates.sweep(), await answered.sweep(), await api.tokens.sweep()] == [0, 0, 0]
    await database.execute("UPDATE api_call_count SET minute = minute - interval '1 hour'")
    await database.execute("UPDATE api_answer SET created_at = created_at - interval '25 hours'")
    await database.execute("UPDATE api_token SET expires_at = now() - interval '1 second'")
    assert (await lin("GET", "/me")).status == 401
    assert [await rates.sweep(), await answered.sweep(), await api.tokens.sweep()] == [1, 1, 1]


async def test_forms_that_are_none(api: ApiHouse) -> None:
    assert (await api.token_by(400, grant_type="authorization_code"))["error"] == "unsupported_grant_type"
    assert (await api.token_by(400))["error"] == "unsupported_grant_type"
    for body, kind in [
        (b"grant_type=password&grant_type=password", "application/x-www-form-urlencoded"),
        (b"\xff=\xff", "application/x-www-form-urlencoded"),
        (b"{}", "application/json"),
        (b"x" * 20_000, "application/x-www-form-urlencoded"),
    ]:
        answer = await Visitor(api.house.app).request("POST", "/api/v1/token", body, {"content-type": kind})
        assert answer.status in (400, 413) and answer.json()["error"] == "invalid_request"
