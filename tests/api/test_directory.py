"""Administrators: domains, accounts, aliases and lists, as far as their rights go, and the log of it."""

from __future__ import annotations

from datetime import timedelta

from postroad.directory.identity.administrators import Administrators
from postroad.directory.identity.audit import Audit
from postroad.directory.identity.tokens import Scope
from postroad.directory.passwords import PasswordHashing
from postroad.directory.principals import Kind
from tests.api.conftest import LIN, SHELL, ApiHouse, Caller
from tests.api.test_mail import mail
from tests.web.house import PASSWORD

DIRECTORY = (Scope.DIRECTORY_READ, Scope.DIRECTORY_WRITE)


async def administrator(api: ApiHouse, name: str, *domains: str) -> Caller:
    """An administrator of the server or of domains."""
    hashing = PasswordHashing()
    try:
        await Administrators(api.house.database, hashing).add(name, PASSWORD, SHELL, domains=domains)
    finally:
        hashing.close()
    return api.caller((await api.tokens.add(Kind.ADMINISTRATOR, name, "test", DIRECTORY))[1])


async def test_an_administrator_of_the_server_makes_a_house(api: ApiHouse) -> None:
    root = await administrator(api, "root")
    made = await root.post("/domains", {"name": "Neu.Example"}, 201)
    assert (made["name"], made["accounts"]) == ("neu.example", 0)
    assert (await root("POST", "/domains", {"name": "neu.example"})).json()["code"] == "domain-taken"
    new = {"address": "anna@neu.example", "password": PASSWORD, "display_name": "安娜", "language": "zh"}
    answer = await root("POST", "/accounts", new, idempotency_key="a1")
    assert answer.status == 201 and answer.headers["location"] == "/api/v1/accounts/anna@neu.example"
    assert (await root("POST", "/accounts", new, idempotency_key="a1")).body == answer.body
    assert (await root("POST", "/accounts", new)).json()["code"] == "address-taken"
    weak = await root("POST", "/accounts", {**new, "address": "b@neu.example", "password": "x"})
    assert weak.json()["code"] == "weak-password"
    # The account is there at once: it signs in and reads its mail.
    given = await api.token_by(grant_type="password", username="anna@neu.example", password=PASSWORD)
    assert len((await api.caller(given["access_token"]).get("/folders"))["folders"]) == 6
    one = "/accounts/anna@neu.example"
    changed = await root("PATCH", one, {"quota_bytes": 1000, "mobile": "+8613800138000"})
    assert (changed.json()["quota_bytes"], changed.json()["display_name"]) == (1000, "安娜")
    assert (await root("PATCH", one, {"quota_bytes": None})).json()["quota_bytes"] is None
    assert (await root("PATCH", one, {"mobile": "123"})).json()["code"] == "bad-value"
    assert (await root("PATCH", one, {"password": "another horse 43"})).status == 200
    assert (await api.caller(given["access_token"])("GET", "/me")).status == 401
    alias = await root.post("/aliases", {"address": "info@neu.example", "targets": ["anna@neu.example"]}, 201)
    assert alias["targets"] == ["anna@neu.example"]
    elsewhere = await root("PUT", "/aliases/info@neu.example", {"targets": [LIN]})
    assert elsewhere.json()["targets"] == [LIN]
    gone = await root("PUT", "/aliases/info@neu.example", {"targets": ["nobody@neu.example"]})
    assert gone.json()["code"] == "unknown-target"
    await root.post("/lists", {"address": "all@neu.example", "name": "All", "posting": "owners"}, 201)
    members = "/lists/all@neu.example/members"
    assert (await root.post(members, {"addresses": [LIN, "anna@neu.example"]})) == {"changed": 2}
    assert (await root.post(members, {"addresses": [LIN], "owners": True})) == {"changed": 1}
    page = await root.get(members, limit=1)
    rest = await root.get(members, limit=1, cursor=page["next"])
    assert [one["address"] for one in (*page["members"], *rest["members"])] == ["anna@neu.example", LIN]
    assert rest["members"][0]["is_owner"] and rest["next"] is None
    assert (await root.post(members + "/remove", {"addresses": [LIN]})) == {"changed": 1}
    assert (await root.get("/lists/all@neu.example"))["members"] == 1
    assert (await root("DELETE", "/domains/neu.example")).json()["code"] == "domain-in-use"
    for path in ("/lists/all@neu.example", "/aliases/info@neu.example", one, "/domains/neu.example"):
        assert (await root("DELETE", path)).status == 204
        assert (await root("DELETE", path)).status == 404
    actions = {each.action for each in await Audit(api.house.database, timedelta(days=1)).list(actor="root")}
    assert {"domain.add", "account.add", "account.set", "account.remove", "list.add-members"} <= actions


async def test_an_administrator_of_a_domain_sees_that_domain(api: ApiHouse) -> None:
    await api.house.account("boss@other.example", "Boss")
    near = await administrator(api, "near", "demo.example")
    assert [one["name"] for one in (await near.get("/domains"))["domains"]] == ["demo.example"]
    page = await near.get("/accounts", domain="demo.example", limit=1)
    assert ([one["address"] for one in page["accounts"]], page["total"]) == ([LIN], 2)
    rest = await near.get("/accounts", domain="demo.example", limit=1, cursor=page["next"])
    assert rest["next"] is None
    await api.house.deliver(api.lin_id, mail("heavy"))
    held = await near.get("/domains/demo.example/statistics", limit=1)
    assert (held["accounts"], held["messages"], held["unread"]) == (2, 1, 1)
    assert [(one["address"], one["size_bytes"]) for one in held["largest"]] == [(LIN, held["size_bytes"])]
    # What is outside is refused in the same words whether it is there or not.
    for there, not_there in [
        ("/accounts/boss@other.example", "/accounts/nobody@other.example"),
        ("/domains/other.example", "/domains/nowhere.example"),
        ("/domains/other.example/statistics", "/domains/nowhere.example/statistics"),
        ("/accounts?domain=other.example", "/accounts?domain=nowhere.example"),
        ("/lists/all@other.example/members", "/lists/no@other.example/members"),
    ]:
        answers = [await near("GET", path) for path in (there, not_there)]
        assert [one.json()["code"] for one in answers] == ["not-allowed"] * 2
    assert (await near("GET", "/accounts")).json()["code"] == "not-allowed"
    assert (await near("POST", "/domains", {"name": "mine.example"})).status == 403
    assert (await near("DELETE", "/domains/demo.example")).status == 403
    assert (await near("GET", "/folders")).json()["code"] == "missing-scope"
    await near.post("/accounts", {"address": "neu@demo.example", "password": PASSWORD}, 201)


async def test_an_integration_administers_its_domains(api: ApiHouse) -> None:
    _, secret = await api.integrations.add("oa", SHELL, domains=["demo.example"], scopes=DIRECTORY)
    given = await api.token_by(grant_type="client_credentials", client_id="oa", client_secret=secret)
    oa = api.caller(given["access_token"])
    await oa.post("/accounts", {"address": "neu@demo.example", "password": PASSWORD}, 201)
    assert (await oa("POST", "/accounts", {"address": "x@far.example", "password": PASSWORD})).status == 403
    assert (await oa("DELETE", "/accounts/neu@demo.example")).status == 204


async def test_an_account_sets_its_name_and_language(api: ApiHouse) -> None:
    lin = await api.lin()
    assert (await lin.get("/settings"))["display_name"] == "林晓"
    changed = await lin("PATCH", "/settings", {"display_name": "Lin X.", "language": "zh"})
    assert (changed.json()["display_name"], changed.json()["language"]) == ("Lin X.", "zh")
    # The language is that of its problems, and the name that of its mail, from now on.
    problem = (await lin("GET", "/folders/999999", accept_language="fr")).json()
    assert problem["title"] == "没有此文件夹"
    await lin.post("/messages", {"to": [{"address": LIN}], "subject": "x", "text": "y"}, 202)
    [row] = (await lin.get(f"/folders/{await api.house.folder(api.lin_id)}/messages"))["messages"]
    assert row["sender"] == "Lin X."
    assert (await lin("PATCH", "/settings", {"language": None})).json()["language"] is None
    assert (await lin("PATCH", "/settings", {"mobile": "12"})).json()["code"] == "bad-value"
