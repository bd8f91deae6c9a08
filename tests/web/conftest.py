"""A webmail on a fresh database, with one account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from postroad.db.pool import Database
from tests.web.client import Visitor
from tests.web.house import House, open_house

LIN = "lin@demo.example"


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> AsyncIterator[House]:
    """The webmail and what it stands on, with nobody in it."""
    async with open_house(database, tmp_path) as house:
        yield house


@dataclass
class Lin:
    """An account and its visitor, signed in."""

    id: int
    inbox: int
    visitor: Visitor


@pytest.fixture
async def lin(house: House) -> Lin:
    """Lin, signed in."""
    account_id = await house.account(LIN, "林晓")
    visitor = Visitor(house.app)
    assert (await visitor.sign_in(LIN)).status == 303
    return Lin(account_id, await house.folder(account_id), visitor)
