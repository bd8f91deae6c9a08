"""The bulk-mail API on a fresh database, with two customers who know nothing of each other, and a manager."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

import pytest
from starlette.applications import Starlette

from postroad.bridges.edm.service import EdmApi
from postroad.campaigns.customers import Customer
from postroad.campaigns.principals import CUSTOMERS
from postroad.config import Edm, SignInLimits
from postroad.db.pool import Database
from postroad.directory.identity.sign_in import SignIn
from postroad.directory.passwords import PasswordHashing
from tests.campaigns.house import PASSWORD, House, open_house
from tests.campaigns.shared import emptied, one_database
from tests.web.client import Answer, Visitor

BASE = "/mm-ms/apinew/"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'


@dataclass
class Caller:
    """A client program of one customer."""

    visitor: Visitor
    customer: Customer
    house: House
    password: str = PASSWORD

    @property
    def id(self) -> int:
        """The customer's id."""
        return self.customer.id

    def headers(self) -> dict[str, str]:
        """HTTP Basic."""
        pair = f"{self.customer.username}:{self.password}".encode()
        return {"authorization": f"Basic {base64.b64encode(pair).decode()}"}

    async def get(self, script: str, do: str = "", /, **parameters: object) -> Answer:
        """A call by GET."""
        return await self.visitor.request("GET", _path(script, do, parameters), headers=self.headers())

    async def post(
        self, script: str, do: str = "", fields: Mapping[str, Any] | None = None, **query: object
    ) -> Answer:
        """A call by POST, URL-encoded."""
        headers = {**self.headers(), "content-type": "application/x-www-form-urlencoded"}
        body = urlencode(dict(fields or {}), doseq=True).encode()
        return await self.visitor.request("POST", _path(script, do, query), body, headers)

    async def upload(
        self,
        script: str,
        do: str,
        fields: Mapping[str, str],
        files: Sequence[tuple[str, str, bytes]],
        **query: object,
    ) -> Answer:
        """A call by POST with files (field, file name, content)."""
        mark = "xxBOUNDARYxx"
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        for field, name, content in files:
            head = (
                f'--{mark}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
                "Content-Type: application/octet-stream\r\n\r\n"
            )
            parts += [head.encode(), content, b"\r\n"]
        body = b"".join([*parts, f"--{mark}--\r\n".encode()])
        headers = {**self.headers(), "content-type": f"multipart/form-data; boundary={mark}"}
        return await self.visitor.request("POST", _path(script, do, query), body, headers)

    async def status(self, answer: Answer) -> str:
        """The status of a result."""
        return status_of(answer)


def _path(script: str, do: str, parameters: Mapping[str, object]) -> str:
    pairs = [("do", do)] if do else []
    pairs += [(name, str(value)) for name, value in parameters.items()]
    return f"{BASE}{script}.php?{urlencode(pairs, quote_via=quote)}"


def xml(answer: Answer) -> Any:
    """The answer's root, which must be XML as the page fixes it."""
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "text/xml; charset=utf-8"
    assert answer.body.startswith(DECLARATION.encode())
    return ElementTree.fromstring(answer.body)


def status_of(answer: Answer) -> str:
    """The status of a result."""
    root = xml(answer)
    assert root.tag == "result", answer.body
    return str(root.findtext("status"))


def data_of(answer: Answer) -> str:
    """The data of a result that says success."""
    assert status_of(answer) == "success", answer.text
    return str(xml(answer).findtext("data"))


def result(status: str, data: object, *, cdata: bool = False) -> bytes:
    """A result as bytes."""
    shown = f"<![CDATA[{data}]]>" if cdata else data
    return f"{DECLARATION}<result><status>{status}</status><data>{shown}</data></result>".encode()


def clock() -> datetime:
    """The time."""
    return datetime.now(UTC)


@pytest.fixture(scope="session")
def shared_dsn(cluster_dsn: str, template_database: str) -> Iterator[str]:
    """The DSN of the one database of these tests."""
    yield from one_database(cluster_dsn, template_database)


@pytest.fixture
async def database(shared_dsn: str) -> AsyncIterator[Database]:
    """An open pool on it, emptied."""
    async for database in emptied(shared_dsn):
        yield database


@pytest.fixture
def house(database: Database) -> Iterator[House]:
    """The services."""
    hashing = PasswordHashing()
    yield open_house(database, hashing)
    hashing.close()


@dataclass
class Api:
    """The application, and who may call it."""

    house: House
    app: Starlette

    def caller(self, customer: Customer) -> Caller:
        """A client of this customer."""
        return Caller(Visitor(self.app), customer, self.house)


@pytest.fixture
async def api(house: House) -> AsyncIterator[Api]:
    """The application."""

    hashing = PasswordHashing()
    sign_in = SignIn(house.database, hashing, SignInLimits())

    async def check_password(username: str, password: str, client: str) -> int:
        return (await sign_in.check(username, password, client, "api", kinds=CUSTOMERS)).id

    edm = EdmApi(house.campaigns, check_password, Edm(), clock, lambda request: "192.0.2.7")
    yield Api(house, Starlette(routes=edm.routes()))
    hashing.close()


@pytest.fixture
async def caller(api: Api) -> Caller:
    """The customer whom most tests are about."""
    return api.caller(await api.house.customer("lin", company="林记 & Co"))


@pytest.fixture
async def stranger(api: Api) -> Caller:
    """Another customer."""
    return api.caller(await api.house.customer("wang"))


@pytest.fixture
async def manager(api: Api) -> Caller:
    """A manager."""
    return api.caller(await api.house.customer("boss", is_manager=True))
