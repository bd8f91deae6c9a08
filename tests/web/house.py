"""The webmail over real services and a real database, served in the test's own loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn
from starlette.routing import BaseRoute

from postroad.config import Settings, SignInLimits, Smtp, Web
from postroad.db.notify import Announcer, Listener
from postroad.db.pool import Database
from postroad.directory.addresses.accounts import Accounts
from postroad.directory.addresses.resolver import Resolver
from postroad.directory.identity.sessions import Sessions
from postroad.directory.identity.sign_in import SignIn
from postroad.directory.identity.standing import Standing
from postroad.directory.passwords import PasswordHashing
from postroad.events.outbox import Outbox
from postroad.mailstore.append import Append
from postroad.mailstore.blobs import Blobs
from postroad.mailstore.changes import Changes
from postroad.mailstore.correspondents import Correspondents
from postroad.mailstore.delivery import Delivery
from postroad.mailstore.entries import Entries
from postroad.mailstore.folders import Folders, Role, ensure_defaults_in
from postroad.mailstore.indexer import Indexer
from postroad.mailstore.messages import Messages
from postroad.mailstore.quota import Quota
from postroad.mailstore.search import Search
from postroad.message.address import Address
from postroad.message.summary import summarise
from postroad.transport.accepting.signing import StoredKey
from postroad.transport.service import Neighbours, Transport
from postroad.web.app import Services, WebApplication, create_app
from postroad.web.mail.sign_on import SignOn

PASSWORD = "correct horse 42"
Beside = Callable[[Services, SignOn], Sequence[BaseRoute]]


class NoKeys:
    """A directory without signing keys: what is sent here is read here."""

    async def signing_keys(self, names: Sequence[str]) -> Mapping[str, Sequence[StoredKey]]:
        """None for any domain."""
        return {}


@dataclass
class House:
    """Everything the pages stand on."""

    database: Database
    accounts: Accounts
    folders: Folders
    entries: Entries
    messages: Messages
    append: Append
    sign_in: SignIn
    app: WebApplication
    clock: Callable[[], datetime]
    transport: Transport
    changes: Changes
    blobs: Blobs
    url: str = ""

    async def account(self, address: str = "lin@demo.example", name: str = "林晓", **more: object) -> int:
        """A new account with the password `PASSWORD`."""
        domain = address.rpartition("@")[2]
        await self.database.execute("INSERT INTO domain (name) VALUES ($1) ON CONFLICT DO NOTHING", domain)
        account = await self.accounts.add(Address.parse(address), PASSWORD, display_name=name, **more)  # type: ignore[arg-type]
        return account.id

    async def deliver(self, account_id: int, content: bytes, role: Role = Role.INBOX) -> int:
        """Deliver a mail as transport does; returns its UID."""
        mail = await self.messages.prepare(content, summarise(content), b"Return-Path: <x@y.example>\r\n", 28)
        async with self.database.transaction() as connection:
            await self.messages.store_in(connection, [mail])
            done = await self.entries.deliver_in(
                connection, [Delivery.of(mail, account_id, self.clock(), role)]
            )
        self.entries.announce(done)
        assert done[0] is not None
        return done[0].uid

    async def folder(self, account_id: int, role: Role = Role.INBOX) -> int:
        """The id of a folder by its role."""
        return (await self.folders.get_by_role(account_id, role)).id


@asynccontextmanager
async def open_house(
    database: Database,
    directory: Path,
    settings: Web | None = None,
    beside: Beside = lambda _services, _sign_on: (),
    sign_on_hosts: Collection[str] = (),
    on_stop: Callable[[], None] = lambda: None,
) -> AsyncIterator[House]:
    """Build the services and the application, with bridges `beside` it that `on_stop` ends."""

    def clock() -> datetime:
        return datetime.now(UTC)

    web = settings or Web()
    async with AsyncExitStack() as stack:
        announcer = await stack.enter_async_context(Announcer(database))
        listener = await stack.enter_async_context(Listener(database.dsn))
        changes = await stack.enter_async_context(Changes(database, announcer, listener))
        hashing = PasswordHashing()
        stack.callback(hashing.close)
        outbox = Outbox()
        blobs = Blobs(str(directory / "blobs"))
        messages = Messages(database, blobs)
        folders, entries = Folders(database, changes), Entries(database, changes)
        append = Append(database, messages, changes, clock)
        accounts = Accounts(database, outbox, hashing, ensure_defaults_in)
        # By SMTP strangers write as people of ours here, so that notices come back to them.
        smtp = Smtp(own_domains="accept")
        quota, whole = Quota(database, clock), Settings(hostname="mx.demo.example", smtp=smtp)
        resolver = Resolver(database, whole.hostname, listener)
        near = Neighbours(database, resolver, NoKeys(), messages, quota, outbox, changes, announcer)
        transport = await stack.enter_async_context(Transport(whole, near, clock, delivers=False))
        indexing = asyncio.create_task(Indexer(database, blobs).run())
        stack.callback(indexing.cancel)
        standing = Standing(database, listener)
        watching = asyncio.create_task(standing.run())
        stack.callback(watching.cancel)
        services = Services(
            accounts,
            SignIn(database, hashing, SignInLimits(pair_failures=5, client_failures=100), listener),
            Sessions(database, timedelta(seconds=web.session_seconds), clock),
            folders,
            entries,
            messages,
            append,
            quota,
            Search(database, messages),
            changes,
            Correspondents(database),
            transport.submission,
            standing=standing,
        )
        app = create_app(
            services,
            web,
            clock,
            beside=lambda sign_on: beside(services, sign_on),
            sign_on_hosts=sign_on_hosts,
            on_stop=on_stop,
        )
        house = House(
            database,
            accounts,
            folders,
            entries,
            messages,
            append,
            services.sign_in,
            app,
            clock,
            transport,
            changes,
            blobs,
        )
        yield house
        app.stop()


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@asynccontextmanager
async def served(house: House) -> AsyncIterator[str]:
    """Serve the application on a free port of the loopback; yields its address."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(
                house.app, log_level="error", lifespan="off", proxy_headers=False, timeout_graceful_shutdown=2
            )
        )
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        task = asyncio.create_task(server.serve(sockets=[door]))

        async def is_up() -> bool:
            return server.started

        await until(is_up)
        house.url = f"http://127.0.0.1:{door.getsockname()[1]}"
        try:
            yield house.url
        finally:
            house.app.stop()
            server.should_exit = True
            await task
