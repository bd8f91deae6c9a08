"""The campaign platform on the database that its tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from postroad.db.pool import Database
from postroad.directory.passwords import PasswordHashing
from tests.campaigns.house import House, open_house
from tests.campaigns.shared import emptied, one_database


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
