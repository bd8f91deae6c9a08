"""The examples of the API's page are run as they stand, one after the other, and each says success."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote_plus, urlsplit

import pytest

from postroad.api.service import BASE
from postroad.db.pool import Database
from postroad.directory.identity.tokens import MAIL_SCOPES
from postroad.directory.principals import Kind
from postroad.mailstore.folders import Role
from postroad.message.address import Address
from tests.api.conftest import LIN, SHELL, ApiHouse, inhabited
from tests.api.test_directory import administrator
from tests.api.test_mail import mail
from tests.web.client import Visitor

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("api.md", "api.zh.md")
HOST = "https://mail.example.com"


@pytest.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[ApiHouse]:
    async with inhabited(database, tmp_path) as opened:
        yield opened


def examples(page: str) -> list[str]:
    """The curl commands of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("curl ")]


def asked(command: str, values: dict[str, str]) -> tuple[str, str, bytes, dict[str, str]]:
    """Method, path, body and headers of a curl command."""
    # As a shell would: variables are filled in, but not between single quotes.
    words = [
        word if f"'{word}'" in command else Template(word).substitute(values) for word in shlex.split(command)
    ][1:]
    method, url, data, headers = "GET", "", list[str](), dict[str, str]()
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name.lower()] = value
        elif word == "-d":
            data.append(words.pop(0))
        elif word == "--data-urlencode":
            name, _, value = words.pop(0).partition("=")
            data.append(f"{name}={quote_plus(value)}")
        elif word == "-u":
            headers["authorization"] = "Basic " + base64.b64encode(words.pop(0).encode()).decode()
        elif word != "-N":
            url = word
    if data:
        headers.setdefault("content-type", "application/x-www-form-urlencoded")
    place = urlsplit(url)
    return method, place.path + (f"?{place.query}" if place.query else ""), "&".join(data).encode(), headers


def path_of(command: str) -> tuple[str, str]:
    """The operation that a command calls: its method and the path with its parameters' names left out."""
    words = shlex.split(command)
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    path = next(word for word in words if word.startswith("$API")).removeprefix("$API").partition("?")[0]
    return method, re.sub(r"\$\w+|[\w.]+@[\w.]+|new\.example|(?<=parts/)1", "*", path)


def test_both_pages_have_an_example_of_every_operation(api: ApiHouse) -> None:
    assert examples(PAGES[0]) == examples(PAGES[1])
    offered = {(one.method, re.sub(r"\{\w+\}", "*", one.path)) for one in api.api.operations}
    assert {path_of(command) for command in examples(PAGES[0])} - {("POST", "/token")} == offered


async def test_the_examples_run(api: ApiHouse) -> None:
    uids = [await api.house.deliver(api.lin_id, mail(f"n {number}")) for number in range(3)]
    _, password = await api.passwords.add(Address.parse(LIN), "page")
    _, secret = await api.integrations.add("oa", SHELL, domains=["demo.example"], scopes=["mail:read"])
    values = {
        "API": HOST + BASE,
        "TOKEN": (await api.tokens.add(Kind.ACCOUNT, LIN, "page", MAIL_SCOPES))[1],
        "ADMIN": (await administrator(api, "root")).token,
        "SECRET": secret,
        "PASSWORD": password,
        "INBOX": str(await api.house.folder(api.lin_id)),
        "ARCHIVE": str(await api.house.folder(api.lin_id, Role.ARCHIVE)),
        "UID": str(uids[-1]),
    }
    visitor = Visitor(api.house.app)
    for command in examples(PAGES[0]):
        method, path, body, headers = asked(command, values)
        if path.endswith("/events"):
            async with visitor.stream(path, headers) as pieces:
                assert b"hello" in await pieces.get() + await pieces.get()
            continue
        answer = await visitor.request(method, path, body, headers)
        assert 200 <= answer.status < 300, (command, answer.text)
        told: Any = answer.json() if answer.headers.get("content-type") == "application/json" else {}
        if path.endswith("/token") and "oa" in command:
            values["OA_TOKEN"] = told["access_token"]
        elif (method, path) == ("POST", f"{BASE}/folders"):
            values["NEW"] = str(told["id"])
        elif path.startswith(f"{BASE}/drafts") and method != "DELETE":
            values["DRAFT" if method == "POST" else "DRAFT2"] = str(told["uid"])
