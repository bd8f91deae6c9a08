"""A house with everything mail needs on its way, over one database; without listeners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from postroad.config import Delivery as DeliverySettings
from postroad.config import Listen, Settings, ShapingRule, Smtp
from postroad.db.pool import Database
from postroad.directory.addresses.resolver import Resolver
from postroad.events.outbox import Outbox
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.changes import FolderChanged
from postroad.mailstore.folders import Role as FolderRole
from postroad.mailstore.messages import Messages
from postroad.mailstore.quota import Quota
from postroad.message.address import Address
from postroad.protocols.smtp.envelope import (
    Envelope,
    EnvelopeRecipient,
    Notify,
    Principal,
    Role,
    SessionInfo,
)
from postroad.transport.accepting.collecting import Collects
from postroad.transport.accepting.signing import Keys, StoredKey
from postroad.transport.delivery.connections import Timeouts
from postroad.transport.delivery.dispatcher import DispatchLimits
from postroad.transport.delivery.judging import Schedule
from postroad.transport.delivery.presence import Presence
from postroad.transport.delivery.rates import Rates
from postroad.transport.delivery.sites import Backoff
from postroad.transport.delivery.source import AnySource
from postroad.transport.service import Neighbours, Transport
from tests.sink import Sink, running

HOSTNAME = "mx.here.example"


class Silence:
    """An announcer and change sink that nobody listens to."""

    def __init__(self) -> None:
        self.changes: list[FolderChanged] = []
        self.channels: list[str] = []

    def announce(self, *what: Any) -> None:
        """Remember it."""
        if not isinstance(what[0], str):
            self.changes.extend(what[0])
        else:
            self.channels.append(what[0])


class Clock:
    """The real time, moved on at will."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def move(self, **step: float) -> None:
        self.ahead += timedelta(**step)


def mail(
    subject: str = "Hello", sender: str = "anna@here.example", to: str = "bert@there.example", more: str = ""
) -> bytes:
    """A small mail."""
    return (
        f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: Fri, 02 Jan 2026 03:04:05 +0000\r\n"
        f"Message-ID: <{subject.replace(' ', '.')}@here.example>\r\n{more}\r\nA line.\r\n"
    ).encode()


def recipients(*addresses: str, notify: Notify | None = None) -> tuple[EnvelopeRecipient, ...]:
    """Envelope recipients of texts."""
    return tuple(EnvelopeRecipient(Address.parse(each), notify) for each in addresses)


@dataclass
class House:
    """The parts under test; `transport()` makes one more worker on the same database."""

    database: Database
    blobs: Blobs
    clock: Clock = field(default_factory=Clock)
    silence: Silence = field(default_factory=Silence)

    def __post_init__(self) -> None:
        self.messages = Messages(self.database, self.blobs)
        self.resolver = Resolver(self.database, HOSTNAME)

    async def domain(self, name: str = "here.example") -> int:
        """A domain of ours, without keys."""
        await self.database.execute("INSERT INTO domain (name) VALUES ($1) ON CONFLICT DO NOTHING", name)
        found: int = await self.database.fetchval("SELECT id FROM domain WHERE name = $1", name)
        return found

    async def account(self, address: str = "anna@here.example", **columns: Any) -> Principal:
        """A new account."""
        parsed = Address.parse(address)
        await self.domain(parsed.domain)
        names = "".join(f", {name}" for name in columns)
        places = "".join(f", ${place}" for place in range(2, 2 + len(columns)))
        account_id = await self.database.fetchval(
            f"INSERT INTO account (domain_id, address{names}) "
            f"SELECT id, $1{places} FROM domain WHERE name = split_part($1, '@', 2) RETURNING id",
            address,
            *columns.values(),
        )
        return Principal(account_id, parsed)

    async def alias(self, address: str, *targets: str) -> None:
        """A new alias."""
        await self.domain(address.partition("@")[2])
        await self.database.execute(
            "INSERT INTO alias (domain_id, address, targets) "
            "SELECT id, $1, $2 FROM domain WHERE name = split_part($1, '@', 2)",
            address,
            list(targets),
        )

    async def distribution_list(
        self,
        address: str,
        *members: str,
        owners: Sequence[str] = (),
        posting: str = "members",
        name: str = "",
    ) -> None:
        """A new distribution list."""
        await self.domain(address.partition("@")[2])
        list_id = await self.database.fetchval(
            "INSERT INTO distribution_list (domain_id, address, posting, name) "
            "SELECT id, $1, $2, $3 FROM domain WHERE name = split_part($1, '@', 2) RETURNING id",
            address,
            posting,
            name,
        )
        await self.database.executemany(
            "INSERT INTO distribution_list_member (list_id, address, is_owner) VALUES ($1, $2, $3)",
            [(list_id, each, each in owners) for each in (*members, *owners)],
        )

    def worker(
        self,
        relay: Sink | None = None,
        *,
        schedule: Schedule | None = None,
        backoff_seconds: float = 0.2,
        lease: timedelta = timedelta(minutes=10),
        poll_seconds: float = 0.1,
        connections: int = 10,
        delivers: bool = True,
        timeouts: Timeouts | None = None,
        delivery: dict[str, Any] | None = None,
        smtp: dict[str, Any] | None = None,
        keys: Keys | None = None,
        shaping: Sequence[ShapingRule] = (),
        rates: Rates | None = None,
        sources: Callable[[Presence], Sequence[AnySource]] = lambda _presence: (),
        above: Collects | None = None,
    ) -> Transport:
        """One worker's transport; `relay` is its smart host, else it delivers by MX."""
        settings = Settings(
            hostname=HOSTNAME,
            listen=Listen(smtp="127.0.0.1:1"),
            # Strangers bring mail of our people in most tests here; what else becomes of it: test_foreign.py.
            smtp=Smtp(**{"own_domains": "accept", **(smtp or {})}),
            delivery=DeliverySettings(
                **{
                    "relay": f"127.0.0.1:{relay.port}" if relay is not None else "",
                    "max_connections_per_destination": connections,
                    "max_messages_per_connection": 100,
                    **(delivery or {}),
                }
            ),
            shaping=tuple(shaping),
        )
        return Transport(
            settings,
            Neighbours(
                database=self.database,
                resolver=self.resolver,
                keys=keys or NoKeys(),
                messages=self.messages,
                quota=Quota(self.database, self.clock),
                outbox=Outbox(),
                changes=self.silence,
                announcer=self.silence,
            ),
            self.clock,
            schedule=schedule,
            timeouts=timeouts or Timeouts(connect=5, setup=5, idle=0.2, longest=5),
            backoff=Backoff(asyncio.get_running_loop().time, backoff_seconds, backoff_seconds),
            limits=DispatchLimits(
                lease=lease,
                connections=50,
                poll_seconds=poll_seconds,
                reap_seconds=0.2,
            ),
            delivers=delivers,
            rates=rates,
            sources=sources,
            above=above,
        )

    async def age(self, **step: float) -> None:
        """Let time pass for the queue, whose times are the database's: everything was that much earlier."""
        async with self.database.transaction() as connection:
            await connection.execute(
                "UPDATE queue_envelope SET queued_at = queued_at - $1::interval", timedelta(**step)
            )
            await connection.execute(
                "UPDATE queue_recipient SET next_attempt_at = next_attempt_at - $1::interval",
                timedelta(**step),
            )
            await connection.execute(
                "UPDATE queue_worker SET missed_at = missed_at - $1::interval", timedelta(**step)
            )

    def session(self, principal: Principal | None = None, client: str = "192.0.2.9") -> SessionInfo:
        """An SMTP session."""
        return SessionInfo(Role.MX, client, "client.example", True, principal=principal)

    async def inbox(self, account: Principal, role: str = "inbox") -> list[bytes]:
        """What an account finds in a folder: whole mails as they are read, oldest first."""
        rows = await self.database.fetch(
            "SELECT c.prefix || c.body AS mail FROM entry e JOIN folder f ON f.id = e.folder_id "
            "JOIN content c ON c.message_id = e.message_id WHERE f.account_id = $1 AND f.role = $2 "
            "ORDER BY e.uid",
            account.account_id,
            role,
        )
        return [row["mail"] for row in rows]

    async def queued(self) -> list[dict[str, Any]]:
        """The recipients in the queue."""
        rows = await self.database.fetch("SELECT * FROM queue_recipient ORDER BY envelope_id, number")
        return [dict(row) for row in rows]

    async def events(self, kind: str) -> list[dict[str, Any]]:
        """The payloads of the events of a kind."""
        rows = await self.database.fetch("SELECT payload FROM event WHERE kind = $1 ORDER BY id", kind)
        return [row["payload"] for row in rows]

    async def until(self, holds: Callable[[], Awaitable[object]], seconds: float = 90.0) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(seconds):
            while not await holds():  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.02)

    async def until_empty(self, seconds: float = 90.0) -> None:
        """Wait until the queue is empty."""

        async def is_empty() -> bool:
            return not await self.database.fetchval("SELECT EXISTS (SELECT FROM queue_recipient)")

        await self.until(is_empty, seconds)

    async def check(self) -> None:
        """What must hold of the queue's tables whenever nothing is under way."""
        lonely = await self.database.fetch(
            "SELECT id FROM queue_envelope e WHERE NOT EXISTS "
            "(SELECT FROM queue_recipient q WHERE q.envelope_id = e.id)"
        )
        assert not lonely, "an envelope without recipients"
        lost = await self.database.fetch(
            "SELECT id FROM queue_envelope e WHERE NOT EXISTS "
            "(SELECT FROM content c WHERE c.message_id = e.message_id)"
        )
        assert not lost, "an envelope without content"
        orphans = await self.database.fetch(
            "SELECT message_id FROM content c "
            "WHERE NOT EXISTS (SELECT FROM message m WHERE m.id = c.message_id) "
            "AND NOT EXISTS (SELECT FROM queue_envelope e WHERE e.message_id = c.message_id) "
            "AND NOT EXISTS (SELECT FROM message_release r WHERE r.message_id = c.message_id)"
        )
        assert not orphans, "content that nothing points at"


class Plenty:
    """Room for so many recipients, whatever their route; `barred` routes have none."""

    def __init__(self, recipients: int, per_route: int | None = None, barred: Sequence[str] = ()) -> None:
        self.recipients = recipients
        self._per_route = recipients if per_route is None else per_route
        self._barred = set(barred)

    def of(self, route: str) -> int:
        """How many there is room for."""
        return 0 if route in self._barred else self._per_route

    def take(self, route: str, recipients: int) -> int:
        """As many of them as that."""
        return min(recipients, self.of(route))


class NoKeys:
    """A directory without signing keys."""

    async def signing_keys(self, names: Sequence[str]) -> dict[str, list[StoredKey]]:
        """None."""
        return {}


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> AsyncIterator[House]:
    """A house with nobody in it; its tables are checked at the end."""
    house = House(database, Blobs(str(tmp_path / "blobs")))
    yield house
    await house.check()


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """A running sink."""
    async with running(Sink()) as sink:
        yield sink


@asynccontextmanager
async def entered(parts: Iterable[Transport]) -> AsyncIterator[list[Transport]]:
    """Several workers at once."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(each) for each in parts]


__all__ = ["Envelope", "FolderRole", "House", "entered", "mail", "recipients"]
