"""The services of the directory on a fresh database, a clock that tests turn, and a listener that hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from postroad.config import SignInLimits
from postroad.db.notify import Listener
from postroad.db.pool import Connection, Database
from postroad.directory.addresses.accounts import Accounts
from postroad.directory.addresses.aliases import Aliases
from postroad.directory.addresses.lists import DistributionLists
from postroad.directory.addresses.resolver import Resolver
from postroad.directory.announcements import Hearing
from postroad.directory.identity.application_passwords import ApplicationPasswords
from postroad.directory.identity.sessions import Sessions
from postroad.directory.identity.sign_in import SignIn
from postroad.directory.passwords import PasswordHashing
from postroad.events.outbox import Outbox
from postroad.message.address import Address

LIMITS = SignInLimits(
    pair_failures=3, client_failures=5, account_failures=6, window_seconds=60, block_seconds=120
)


@dataclass
class Clock:
    """A time that only tests move."""

    now: datetime = datetime(2026, 11, 1, 12, tzinfo=UTC)
    pauses: list[float] = field(default_factory=list)

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class RecordingStore:
    """Stands where the mail store does: notes what it was asked in the transaction."""

    prepared: list[int] = field(default_factory=list)
    refuses: bool = False

    async def __call__(self, connection: Connection, account_ids: Sequence[int]) -> None:
        count = await connection.fetchval("SELECT count(*) FROM account WHERE id = ANY($1)", account_ids)
        assert count == len(account_ids)
        if self.refuses:
            raise RuntimeError("no folders today")
        self.prepared.extend(account_ids)


@dataclass
class House:
    """Everything of the directory, on one database."""

    database: Database
    listener: Listener
    clock: Clock
    hashing: PasswordHashing
    store: RecordingStore
    accounts: Accounts
    aliases: Aliases
    lists: DistributionLists
    application_passwords: ApplicationPasswords
    resolver: Resolver
    sign_in: SignIn
    sessions: Sessions

    async def domain(self, name: str, alias_of: str | None = None) -> None:
        """Make a domain without keys."""
        await self.database.execute(
            "INSERT INTO domain (name, alias_of) VALUES ($1, (SELECT id FROM domain WHERE name = $2))",
            name,
            alias_of,
        )
        await self.database.execute("SELECT pg_notify('directory', '*')")

    async def heard(self) -> None:
        """Wait until everything announced so far has been heard; it comes in the order of commits."""
        marked = asyncio.Event()

        def hear(payload: str | None) -> None:
            if payload == "mark":
                marked.set()

        self.listener.add("mark", hear)
        await self.listener.listening()
        await self.database.execute("SELECT pg_notify('mark', 'mark')")
        await asyncio.wait_for(marked.wait(), 10)
        self.listener.remove("mark", hear)

    def another_worker(self) -> SignIn:
        """A second process's way of signing in: nothing shared but the database."""
        return sign_in_on(self.database, self.hashing, self.clock, self.listener)

    async def pass_time(self, seconds: float) -> None:
        """Move the clocks of workers and what the database counts by its own."""
        self.clock.move(seconds)
        for table, column in (("sign_in_attempt", "ends_at"), ("known_origin", "last_seen_at")):
            await self.database.execute(
                f"UPDATE {table} SET {column} = {column} - $1::interval", timedelta(seconds=seconds)
            )


def sign_in_on(database: Database, hashing: PasswordHashing, clock: Clock, hearing: Hearing) -> SignIn:
    """One worker's way of signing in. Pauses are noted on the clock, not waited for."""

    async def pause(seconds: float) -> None:
        clock.pauses.append(seconds)
        await asyncio.sleep(0)

    return SignIn(database, hashing, LIMITS, hearing, monotonic=clock.monotonic, pause=pause)


def address(text: str) -> Address:
    """Short for tests."""
    return Address.parse(text)


@pytest.fixture
def hashing() -> Iterator[PasswordHashing]:
    hashing = PasswordHashing()
    yield hashing
    hashing.close()


@pytest.fixture
async def house(database: Database, hashing: PasswordHashing) -> AsyncIterator[House]:
    clock, store = Clock(), RecordingStore()
    async with Listener(database.dsn) as listener:
        house = House(
            database=database,
            listener=listener,
            clock=clock,
            hashing=hashing,
            store=store,
            accounts=Accounts(database, Outbox(), hashing, store),
            aliases=Aliases(database),
            lists=DistributionLists(database),
            application_passwords=ApplicationPasswords(database),
            resolver=Resolver(database, "mail.example.com", listener, monotonic=clock.monotonic),
            sign_in=sign_in_on(database, hashing, clock, listener),
            sessions=Sessions(database, timedelta(days=14), clock),
        )
        await house.domain("example.com")
        await listener.listening()
        yield house


class Counting:
    """Counts the queries that a database is asked while it is watched."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queries = 0
        for name in ("fetch", "fetchrow", "fetchval", "execute"):
            self._watch(database, name, monkeypatch)

    def _watch(self, database: Database, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        real = getattr(database, name)

        async def counted(*arguments: object) -> object:
            self.queries += 1
            return await real(*arguments)

        monkeypatch.setattr(database, name, counted)
