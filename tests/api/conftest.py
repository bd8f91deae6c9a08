"""The API over real services, beside the webmail as a worker has it, with two people in it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from postroad.api.app import ApiServices, JsonApi
from postroad.api.service import BASE
from postroad.config import Api as Limits
from postroad.db.pool import Database
from postroad.directory.addresses.aliases import Aliases
from postroad.directory.addresses.domains import Domains
from postroad.directory.addresses.lists import DistributionLists
from postroad.directory.identity.administration import Administration
from postroad.directory.identity.application_passwords import ApplicationPasswords
from postroad.directory.identity.audit import OPERATOR, Actor
from postroad.directory.identity.calls import AnsweredCalls, CallRates
from postroad.directory.identity.integrations import Integrations
from postroad.directory.identity.tokens import ALL_SCOPES, MAIL_SCOPES, Tokens
from postroad.directory.passwords import PasswordHashing
from postroad.directory.principals import Kind
from postroad.mailstore.statistics import MailStatistics
from postroad.web.app import Services
from postroad.web.mail.sign_on import SignOn
from tests.web.client import Answer, Visitor
from tests.web.house import House, open_house

LIN, WANG = "lin@demo.example", "wang@demo.example"
SHELL = Actor(OPERATOR, None, "test")


@dataclass
class Caller:
    """A program with a token."""

    visitor: Visitor
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    async def __call__(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """One call; `body` travels as JSON."""
        given = {"accept": "application/json", **self.headers, **headers}
        if self.token:
            given.setdefault("authorization", f"Bearer {self.token}")
        content = b""
        if body is not None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            given.setdefault("content_type", "application/json")
        return await self.visitor.request(method, BASE + path, content, given)

    async def get(self, path: str, **query: object) -> Any:
        """The JSON of an address that must be there."""
        answer = await self("GET", path + ("?" + urlencode(query) if query else ""))
        assert answer.status == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: object, status: int = 200, **headers: str) -> Any:
        """What a call gave that must succeed."""
        answer = await self("POST", path, body, **headers)
        assert answer.status == status, answer.text
        return answer.json()


@dataclass
class ApiHouse:
    """The house, the API, and who is in it."""

    house: House
    api: JsonApi
    tokens: Tokens
    integrations: Integrations
    passwords: ApplicationPasswords
    lin_id: int = 0
    wang_id: int = 0

    def caller(self, token: str = "", **headers: str) -> Caller:
        """A program."""
        return Caller(Visitor(self.house.app), token, headers)

    async def lin(self, scopes: Any = MAIL_SCOPES) -> Caller:
        """Lin's program."""
        return self.caller((await self.tokens.add(Kind.ACCOUNT, LIN, "test", scopes))[1])

    async def wang(self) -> Caller:
        """Wang's program."""
        return self.caller((await self.tokens.add(Kind.ACCOUNT, WANG, "test", ALL_SCOPES))[1])

    async def token_by(self, status: int = 200, **fields: str) -> Mapping[str, Any]:
        """What the token endpoint says."""
        answer = await Visitor(self.house.app).request(
            "POST",
            BASE + "/token",
            urlencode(fields).encode(),
            {"content-type": "application/x-www-form-urlencoded"},
        )
        assert answer.status == status, answer.text
        value: Mapping[str, Any] = answer.json()
        return value


@asynccontextmanager
async def open_api_house(
    database: Database, directory: Path, limits: Limits | None = None
) -> AsyncIterator[ApiHouse]:
    """Build it; several on one database are several workers."""
    made: list[JsonApi] = []
    chosen = limits or Limits()
    hashing = PasswordHashing()
    tokens, integrations = Tokens(database), Integrations(database, hashing)

    def beside(services: Services, sign_on: SignOn) -> Any:
        api = JsonApi(
            ApiServices(
                accounts=services.accounts,
                sign_in=services.sign_in,
                tokens=tokens,
                integrations=integrations,
                rates=CallRates(database, chosen.calls_per_minute),
                answered=AnsweredCalls(database),
                administration=Administration(
                    database,
                    Domains(database, services.accounts, lambda: datetime.now(UTC)),
                    services.accounts,
                    Aliases(database),
                    DistributionLists(database),
                ),
                folders=services.folders,
                entries=services.entries,
                messages=services.messages,
                append=services.append,
                quota=services.quota,
                search=services.search,
                changes=services.changes,
                people=services.people,  # type: ignore[arg-type]
                statistics=MailStatistics(database),
                submission=services.submission,
            ),
            chosen,
            4_000_000,
            lambda: datetime.now(UTC),
            sign_on.client,
        )
        made.append(api)
        return api.routes()

    def stop() -> None:
        for api in made:
            api.stop()

    async with open_house(database, directory, beside=beside, on_stop=stop) as house:
        yield ApiHouse(house, made[0], tokens, integrations, ApplicationPasswords(database))
    hashing.close()


@asynccontextmanager
async def inhabited(database: Database, directory: Path) -> AsyncIterator[ApiHouse]:
    """The API with Lin and Wang."""
    async with open_api_house(database, directory) as opened:
        opened.lin_id = await opened.house.account(LIN, "林晓")
        opened.wang_id = await opened.house.account(WANG, "王伟")
        yield opened


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[ApiHouse]:
    """The API with Lin and Wang."""
    async with inhabited(database, tmp_path) as opened:
        yield opened
