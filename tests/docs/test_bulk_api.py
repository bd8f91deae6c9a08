"""The examples of the bulk-mail page are run as they stand, one after the other, and each says success."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote_plus, urlsplit

import pytest
from starlette.applications import Starlette

from postroad.bridges.edm.service import EdmApi
from postroad.campaigns.principals import CUSTOMERS
from postroad.config import Edm, SignInLimits
from postroad.db.pool import Database
from postroad.directory.identity.sign_in import SignIn
from postroad.directory.passwords import PasswordHashing
from tests.bridges.edm.conftest import Caller, status_of
from tests.bridges.edm.test_strangers import CALLS
from tests.campaigns.house import open_house
from tests.web.client import Visitor

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("bulk-api.md", "bulk-api.zh.md")
ADDRESSES = b"a@example.com;A\nb@example.com;B\n"
# What says nothing of itself: lists, details, exports.
_READS = re.compile(
    r"(?:\A|-)list(?:\Z|-)|detail|export|overview|stat|info|deduction|stask|domain-check|query"
)


def examples(page: str) -> list[str]:
    """The curl commands of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("curl ")]


def call_of(command: str) -> tuple[str, str]:
    """The script and the `do` of a command."""
    url = urlsplit(shlex.split(command)[-1])
    do = re.search(r"(?:\A|&)do=([^&]*)", url.query)
    return url.path.rpartition("/")[2].removesuffix(".php"), do[1] if do else ""


def test_both_pages_have_an_example_and_a_row_of_every_call() -> None:
    assert examples(PAGES[0]) == examples(PAGES[1])
    assert {call_of(command) for command in examples(PAGES[0])} == set(CALLS)
    for page in PAGES:
        rows = re.findall(
            r"^\| [\d., ]+ \| `([a-z]+)\.php`(?: `([a-z-]+)`)? \|", (DOCS / page).read_text(), re.MULTILINE
        )
        assert sorted(rows) == sorted(CALLS)


@pytest.fixture
def hashing() -> Iterator[PasswordHashing]:
    made = PasswordHashing()
    yield made
    made.close()


async def test_the_examples_run(database: Database, hashing: PasswordHashing) -> None:
    house = open_house(database, hashing)
    lin, boss = await house.customer("lin"), await house.customer("boss", is_manager=True)
    house.dns.serve("shop.example")
    sign_in = SignIn(database, hashing, SignInLimits())

    async def check(username: str, password: str, client: str) -> int:
        return (await sign_in.check(username, password, client, "api", kinds=CUSTOMERS)).id

    edm = EdmApi(house.campaigns, check, Edm(), lambda: datetime.now(UTC), lambda request: "192.0.2.7")
    visitor = Visitor(Starlette(routes=edm.routes()))
    callers = {"lin": Caller(visitor, lin, house), "boss": Caller(visitor, boss, house)}
    for command in examples(PAGES[0]):
        words = shlex.split(command)
        caller = callers[words[words.index("-u") + 1].partition(":")[0]]
        url = urlsplit(words[-1])
        target = f"{url.path}?{url.query}"
        pairs = [
            (flag, words[place + 1])
            for place, flag in enumerate(words)
            if flag in ("-d", "--data-urlencode", "-F")
        ]
        script, do = call_of(command)
        if any(flag == "-F" for flag, _ in pairs):
            query = dict(pair.split("=") for pair in url.query.split("&") if not pair.startswith("do="))
            answer = await caller.upload(script, do, {}, [("file", "address.txt", ADDRESSES)], **query)
        elif pairs:
            fields = (value.split("=", 1) if flag == "--data-urlencode" else [value] for flag, value in pairs)
            body = "&".join(
                f"{each[0]}={quote_plus(each[1])}" if len(each) == 2 else each[0] for each in fields
            )
            headers = {**caller.headers(), "content-type": "application/x-www-form-urlencoded"}
            answer = await visitor.request("POST", target, body.encode(), headers)
        else:
            answer = await visitor.request("GET", target, headers=caller.headers())
        assert answer.status == 200, command
        if not _READS.search(do or script):
            assert status_of(answer).startswith("success"), (command, answer.text)
        await house.campaigns.checks.run_all()
        await house.campaigns.imports.run_once()
