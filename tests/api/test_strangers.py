"""Every call of the table, walked with no token, a stranger's token, and without its scope: nothing leaks.

The table is the API's own: a new operation without an example here fails the first test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroad.directory.identity.tokens import ALL_SCOPES, Scope
from postroad.directory.principals import Kind
from postroad.message.address import Address
from tests.api.conftest import LIN, SHELL, WANG, ApiHouse, Caller
from tests.api.test_mail import mail

SECRET = "geheim-4711"
WRITTEN = {"to": [{"address": LIN}], "subject": "x", "text": "y"}
# What is sent with each call that takes a body.
BODIES: Mapping[str, Any] = {
    "createFolder": {"name": "Neu"},
    "changeFolder": {"name": "Anders"},
    "changeFlags": {"uids": [1], "add": ["read"]},
    "moveMessages": {"uids": [1], "to": 1},
    "copyMessages": {"uids": [1], "to": 1},
    "deleteMessages": {"uids": [1]},
    "sendMessage": WRITTEN,
    "createDraft": WRITTEN,
    "replaceDraft": WRITTEN,
    "changeSettings": {"display_name": "Anders"},
    "createDomain": {"name": "neu.example"},
    "createAccount": {"address": "neu@demo.example", "password": "correct horse 42"},
    "changeAccount": {"display_name": "Anders", "is_disabled": True, "password": "correct horse 43"},
    "createAlias": {"address": "neu@demo.example", "targets": ["x@far.example"]},
    "changeAlias": {"targets": ["x@far.example"]},
    "createList": {"address": "neu@demo.example"},
    "addMembers": {"addresses": ["x@far.example"]},
    "removeMembers": {"addresses": ["x@far.example"]},
}
QUERIES = {"search": f"?q={SECRET}", "suggestPeople": "?q=max"}
# They name nobody's things but one's own, so a stranger is answered, with the stranger's things.
OF_ONESELF = frozenset(
    {
        *("whoAmI", "listFolders", "createFolder", "search", "suggestPeople", "statistics"),
        *("sendMessage", "createDraft", "streamEvents", "listDomains", "getSettings", "changeSettings"),
    }
)


@dataclass
class Walk:
    """The house, and what Wang has in it."""

    api: ApiHouse
    path: Mapping[str, str]

    def calls(self) -> list[tuple[Any, str]]:
        """Every operation with an address that names Wang's things."""
        return [
            (one, one.path.format_map(self.path) + QUERIES.get(one.name, ""))
            for one in self.api.api.operations
        ]


@pytest.fixture
async def walk(api: ApiHouse) -> AsyncIterator[Walk]:
    """Wang has a secret message in a folder."""
    uid = await api.house.deliver(api.wang_id, mail(SECRET, SECRET))
    folder = await api.house.folder(api.wang_id)
    yield Walk(
        api,
        {
            "folder": str(folder),
            "uid": str(uid),
            "section": "1",
            "address": WANG,
            "domain": "demo.example",
            "member": LIN,
        },
    )


async def state(api: ApiHouse) -> object:
    """All that a stranger must not have changed."""
    return [
        await api.house.database.fetch(query)
        for query in (
            f"SELECT * FROM folder WHERE account_id = {api.wang_id} ORDER BY id",
            f"SELECT * FROM entry WHERE account_id = {api.wang_id} ORDER BY uid",
            "SELECT id, address, display_name, is_disabled FROM account ORDER BY id",
            "SELECT * FROM domain ORDER BY id",
            "SELECT * FROM alias ORDER BY id",
            "SELECT * FROM distribution_list ORDER BY id",
        )
    ]


async def refused(caller: Caller, one: Any, path: str, **headers: str) -> Any:
    """The answer to a call that must not succeed, and must tell nothing."""
    answer = await caller(one.method, path, BODIES.get(one.name), **headers)
    assert answer.status in (401, 403, 404), (one.name, answer.status, answer.text)
    assert SECRET not in answer.text
    return answer


async def test_every_operation_has_a_body_here_when_it_takes_one(api: ApiHouse) -> None:
    taking = {one.name for one in api.api.operations if one.body is not None}
    assert taking == set(BODIES)
    names = [one.name for one in api.api.operations]
    assert len(names) == len(set(names))


async def test_without_a_token_nothing_is_answered(walk: Walk) -> None:
    before = await state(walk.api)
    for one, path in walk.calls():
        for headers in ({}, {"authorization": "Basic bGluOng="}, {"authorization": "Bearer prd_" + "x" * 43}):
            answer = await refused(walk.api.caller(), one, path, **headers)
            assert answer.status == 401 and answer.headers["www-authenticate"].startswith("Bearer")
    assert await state(walk.api) == before


async def test_with_each_scope_missing_nothing_is_done(walk: Walk) -> None:
    before = await state(walk.api)
    for missing in Scope:
        _, text = await walk.api.tokens.add(Kind.ACCOUNT, WANG, "x", ALL_SCOPES - {missing})
        wang = walk.api.caller(text)
        for one, path in walk.calls():
            if one.scope is missing:
                answer = await refused(wang, one, path)
                assert (answer.status, answer.json()["code"]) == (403, "missing-scope")
    assert await state(walk.api) == before


async def test_a_strangers_token_reaches_nothing_of_another(walk: Walk) -> None:
    api = walk.api
    await api.house.account("eve@other.example", "Eve")
    callers = [
        api.caller((await api.tokens.add(Kind.ACCOUNT, LIN, "x", ALL_SCOPES))[1]),
        api.caller((await api.tokens.add(Kind.ACCOUNT, "eve@other.example", "x", ALL_SCOPES))[1]),
    ]
    before = await state(api)
    for caller in callers:
        for one, path in walk.calls():
            # Saying that one is another helps nobody.
            if one.of_account:
                await refused(caller, one, path, postroad_account=WANG)
            if one.name not in OF_ONESELF:
                await refused(caller, one, path)
        assert (await caller.get("/search", q=SECRET))["messages"] == []
    assert await state(api) == before


async def test_an_integration_of_another_domain_reaches_nothing(walk: Walk) -> None:
    api = walk.api
    await api.house.account("eve@other.example", "Eve")
    _, secret = await api.integrations.add("other", SHELL, domains=["other.example"], scopes=ALL_SCOPES)
    token = await api.token_by(grant_type="client_credentials", client_id="other", client_secret=secret)
    oa = api.caller(token["access_token"])
    before = await state(api)
    for one, path in walk.calls():
        if one.of_account:
            await refused(oa, one, path, postroad_account=WANG)
            if one.name not in OF_ONESELF:
                await refused(oa, one, path, postroad_account="eve@other.example")
        elif one.name != "whoAmI":
            answer = await oa(one.method, path, BODIES.get(one.name))
            assert answer.status in (200, 403, 404) and WANG not in answer.text, (one.name, answer.text)
            assert one.method == "GET" or answer.status != 200, one.name
    assert await state(api) == before


async def test_an_account_that_was_disabled_is_not_acted_for(walk: Walk) -> None:
    api = walk.api
    _, secret = await api.integrations.add("oa", SHELL, domains=["demo.example"], scopes=ALL_SCOPES)
    token = await api.token_by(grant_type="client_credentials", client_id="oa", client_secret=secret)
    oa = api.caller(token["access_token"], postroad_account=WANG)
    assert (await oa("GET", "/folders")).status == 200
    await api.house.accounts.set_disabled(Address.parse(WANG), True)
    assert (await oa("GET", "/folders")).json()["code"] == "account-disabled"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


async def test_no_parameter_is_our_mistake(api: ApiHouse) -> None:
    """Whatever stands in path, query, header or body: an answer below 500, and a problem that says why."""
    lin = await api.lin(ALL_SCOPES)
    operations = [one for one in api.api.operations if one.name != "streamEvents"]
    tried: list[tuple[Any, ...]] = []

    @settings(max_examples=150, suppress_health_check=list(HealthCheck), database=None)
    @given(st.data())
    def draw(data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(operations))
        values = {
            name: data.draw(st.sampled_from(["1", "0", "-1", "9" * 30, "x", "%00", "a@b", "%F0%28", "1.1"]))
            for name in ("folder", "uid", "section", "address", "domain", "member")
        }
        query = data.draw(
            st.dictionaries(
                st.sampled_from(["limit", "cursor", "only", "q", "body", "images", "pictures", "days", "x"]),
                st.sampled_from(
                    ["", "0", "1", "-1", "201", "1.1.1", "true", "%00", "%FF", "is:unread", '"', "a b"]
                ),
                max_size=3,
            )
        )
        body = data.draw(
            st.none()
            | json_values
            | st.just(BODIES.get(one.name))
            | st.dictionaries(
                st.sampled_from(["uids", "to", "name", "add", "text", "subject", "files", "answers"]),
                json_values,
            )
        )
        tried.append((one, values, query, body))

    draw()
    for one, values, query, body in tried:
        path = one.path.format_map(values)
        if query:
            path += "?" + "&".join(f"{name}={value}" for name, value in query.items()).replace(" ", "+")
        answer = await lin(one.method, path, body)
        assert answer.status < 500, (one.name, path, body, answer.text)
        if answer.status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
