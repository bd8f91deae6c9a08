"""The POP3 doors, `pop3` and `pop3s`: requests of the engine served by the directory and the mail store.

No rule of the protocol and no SQL here. RFC 1939, RFC 8314.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from postroad.db.pool import DatabaseUnavailable
from postroad.db.tasks import TaskSupervisor
from postroad.directory.principals import Principal
from postroad.listeners.access import HANDSHAKE_SECONDS, AccessListener, Turned
from postroad.listeners.access_metrics import AccessDoorMetrics
from postroad.listeners.access_sign_in import Refused, Why
from postroad.listeners.budget import ContentBudget
from postroad.listeners.connection import Connection, Draining, Farewell, Gone, Silent
from postroad.listeners.limits import Connections, Network, is_within
from postroad.listeners.tls import ServerTls
from postroad.mailstore.errors import MailStoreError, NoSuchMessage
from postroad.mailstore.maildrop import FIRST_PIECE, MaildropInUse
from postroad.protocols.pop3.content import top
from postroad.protocols.pop3.maildrop import Maildrop
from postroad.protocols.pop3.server import Pop3Config, Pop3Server, Request, Retrieve, SignIn, StartTls, Update
from postroad.protocols.pop3.states import State

IDLE_SECONDS = 600.0  # RFC 1939 3: at least 10 minutes
SIGN_IN_SECONDS = 60.0  # silence of somebody who is nobody yet; Dovecot login_idle_timeout has 3 minutes

WORDS = Turned(b"-ERR [SYS/TEMP] Too many connections\r\n", b"-ERR [SYS/TEMP] Something went wrong here\r\n")


class OpenedMaildrop(Protocol):
    """An inbox that is ours (`mailstore.maildrop.OpenMaildrop`)."""

    uid_validity: int

    @property
    def is_held(self) -> bool: ...
    def mails(self) -> AsyncIterator[tuple[int, int]]: ...
    async def content(self, uid: int) -> bytes: ...
    async def beginning(self, uid: int, wanted_bytes: int) -> tuple[bytes, bool]: ...
    async def remove(self, uids: Sequence[int]) -> None: ...
    async def close(self) -> None: ...


class OpensMaildrops(Protocol):
    """What is needed of the mail store (`mailstore.maildrop.Maildrops`)."""

    async def open(self, account_id: int) -> OpenedMaildrop: ...


class ChecksPasswords(Protocol):
    """What is needed of the directory (`AccessSignIn`)."""

    async def check(self, username: str, password: str, client: str) -> Principal: ...
    def watch(self, principal: Principal, end: Callable[[], None]) -> Callable[[], None]: ...


@dataclass(frozen=True, slots=True)
class Pop3Door:
    """What all sessions of one door share. `plain_auth_networks`: passwords are taken there without TLS."""

    hostname: str
    plain_auth_networks: Sequence[Network]
    sign_in: ChecksPasswords
    maildrops: OpensMaildrops
    metrics: AccessDoorMetrics
    tls: ServerTls | None
    idle_seconds: float = IDLE_SECONDS
    sign_in_seconds: float = SIGN_IN_SECONDS
    budget: ContentBudget = field(default_factory=ContentBudget)


def pop3_listener(
    name: str, door: Pop3Door, connections: Connections, tasks: TaskSupervisor | None = None
) -> AccessListener:
    """Make the listener of `pop3` or `pop3s`."""

    async def serve(connection: Connection) -> None:
        await Pop3Session(door, connection).run()

    return AccessListener(
        name,
        serve,
        WORDS,
        connections=connections,
        metrics=door.metrics,
        tls=door.tls,
        is_tls_first=name == "pop3s",
        tasks=tasks,
    )


class Pop3Session:
    """One session, from the banner to the end."""

    def __init__(self, door: Pop3Door, connection: Connection) -> None:
        self._door = door
        self._connection = connection
        self._log = structlog.get_logger("pop3")
        self._maildrop: OpenedMaildrop | None = None
        self._unwatch: Callable[[], None] | None = None
        self._share = door.budget.share(connection.client, connection)
        self._engine = Pop3Server(
            Pop3Config(
                door.hostname,
                offers_stls=door.tls is not None,
                allows_plain_auth=is_within(connection.client, door.plain_auth_networks),
            ),
            is_tls=connection.is_tls,
        )

    async def run(self) -> None:
        """Serve until either side ends it."""
        engine, connection = self._engine, self._connection
        engine.greet()
        try:
            while True:
                request = engine.next_request()
                is_cut = engine.has_more
                await self._send()
                self._share.hold(0)
                if engine.is_closed:
                    return
                if request is not None:
                    await self._serve(request)
                    if connection.farewell is not None:
                        raise Draining(connection.farewell)
                elif not is_cut:
                    if engine.is_mid_line:
                        connection.acknowledge()
                    engine.receive(await connection.read(self._patience()))
        except Gone:
            return
        except Silent:
            self._door.metrics.timed_out.inc()
            await self._end("Nothing was heard for too long")
        except Draining as reason:
            code = "[AUTH]" if reason.farewell is Farewell.NOT_ANY_MORE else "[SYS/TEMP]"
            await self._end(f"{code} {reason}")
        finally:
            self._share.hold(0)
            if self._unwatch is not None:
                self._unwatch()
            if self._maildrop is not None:
                await self._maildrop.close()

    def _patience(self) -> float:
        is_known = self._engine.state is State.TRANSACTION
        return self._door.idle_seconds if is_known else self._door.sign_in_seconds

    async def _end(self, text: str) -> None:
        self._engine.close(text)
        for piece in self._engine.output():
            self._connection.write(piece)

    async def _send(self) -> None:
        for piece in self._engine.output():
            self._connection.write(piece)
            await self._connection.drained()

    async def _serve(self, request: Request) -> None:
        engine = self._engine
        word = type(request).__name__.lower()
        outcome = "no"
        try:
            match request:
                case StartTls():
                    assert self._door.tls is not None
                    await self._send()
                    await self._connection.start_tls(self._door.tls, HANDSHAKE_SECONDS)
                    engine.tls_established()
                case SignIn():
                    await self._sign_in(request)
                case Retrieve():
                    content = await self._content(request)
                    # Held until the client has taken it, and slow ones are many.
                    if not self._share.hold(len(content)):
                        raise Refused(Why.LATER, "Too many mails are being fetched at once; try again")
                    engine.deliver(content)
                case Update():
                    await self._update(request)
            outcome = "ok"
        except Refused as refusal:
            engine.refuse(f"{_CODES[refusal.why]} {refusal.text}")
        except MaildropInUse as refusal:
            engine.refuse(f"[IN-USE] {refusal}")
        except NoSuchMessage:
            engine.refuse("That mail has been removed meanwhile")
        except MailStoreError as refusal:
            engine.refuse(f"[SYS/TEMP] {refusal}")
        except DatabaseUnavailable:
            engine.refuse("[SYS/TEMP] The mails cannot be reached now; try again later")
        except Gone as reason:
            if isinstance(request, StartTls):
                self._door.metrics.handshake_failed.inc()
                self._log.info("pop3.handshake-failed", client=self._connection.client, reason=str(reason))
            raise
        self._door.metrics.answered(word, outcome)

    async def _sign_in(self, request: SignIn) -> None:
        client = self._connection.client
        try:
            principal = await self._door.sign_in.check(request.username, request.password, client)
        except Refused as refusal:
            self._log.info(
                "pop3.sign-in-refused", username=request.username, client=client, reason=refusal.why.value
            )
            raise
        if not self._connection.settle(principal.principal_id):
            raise Refused(Why.LATER, "Too many connections of this account")
        opened = await self._door.maildrops.open(principal.account_id)
        listed = Maildrop(opened.uid_validity)
        try:
            async for uid, size_bytes in opened.mails():
                listed.add(uid, size_bytes)
        except BaseException:
            await opened.close()
            raise
        self._maildrop = opened
        self._unwatch = self._door.sign_in.watch(principal, self._connection.dismiss)
        self._log.info("pop3.signed-in", account=str(principal.address), client=client, mails=listed.count)
        self._engine.signed_in(listed)

    async def _content(self, request: Retrieve) -> bytes:
        assert self._maildrop is not None
        if request.lines is None:
            return await self._maildrop.content(request.uid)
        wanted = FIRST_PIECE
        while True:
            beginning, is_all = await self._maildrop.beginning(request.uid, wanted)
            cut = top(beginning, request.lines)
            if cut is not None or is_all:
                return beginning if cut is None else cut
            wanted *= 8

    async def _update(self, request: Update) -> None:
        assert self._maildrop is not None
        if not self._maildrop.is_held:
            self._engine.refuse("[SYS/TEMP] The lock on the mailbox was lost; nothing is removed")
            return
        await self._maildrop.remove(request.uids)
        self._log.info("pop3.removed", client=self._connection.client, mails=len(request.uids))
        self._engine.updated()


_CODES = {Why.WRONG: "[AUTH]", Why.DISABLED: "[AUTH]", Why.LATER: "[SYS/TEMP]"}
