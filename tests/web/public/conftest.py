"""What readers touch, on the database of the campaign tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from starlette.responses import PlainTextResponse

from postroad.campaigns.tracking.hits import Hits
from postroad.db.pool import Database
from postroad.db.tasks import TaskSupervisor
from postroad.directory.passwords import PasswordHashing
from postroad.web.public.application import PublicApplication
from tests.campaigns.house import House, open_house
from tests.campaigns.mailing import Mailing, send_mailing
from tests.campaigns.shared import emptied, one_database
from tests.web.client import Visitor


@pytest.fixture(scope="session")
def shared_dsn(cluster_dsn: str, template_database: str) -> Iterator[str]:
    """The DSN of the one database of these tests."""
    yield from one_database(cluster_dsn, template_database)


@pytest.fixture
async def database(shared_dsn: str) -> AsyncIterator[Database]:
    """An open pool on it, emptied."""
    async for database in emptied(shared_dsn):
        yield database


@dataclass
class Street:
    """A mailing, its reader, and what is gathered of him."""

    house: House
    mailing: Mailing
    reader: Visitor
    hits: Hits


@pytest.fixture
async def street(database: Database) -> AsyncIterator[Street]:
    """A mailing to two lists was sent; its first recipient reads it."""
    hashing = PasswordHashing()
    house = open_house(database, hashing)
    mailing = await send_mailing(house, lists=("News", "Offers"))
    async with Hits(database, TaskSupervisor(), gather_seconds=3600, drain_seconds=100) as hits:
        campaigns = house.campaigns
        app = PublicApplication(
            PlainTextResponse("the other pages"),
            keys=campaigns.keys,
            hits=hits,
            targets=campaigns.targets,
            leaving=campaigns.leaving,
            web_versions=campaigns.web_versions,
        )
        yield Street(house, mailing, Visitor(app), hits)
    hashing.close()
