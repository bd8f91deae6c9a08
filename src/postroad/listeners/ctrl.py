"""The control doors, `ctrl` and `ctrls`: requests of the engine served by whoever knows the commands.

No rule of the protocol and no command here. Interface page ctrl-protocol.md; timeouts are its section 1.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Protocol

import structlog

from postroad.db.pool import DatabaseUnavailable
from postroad.db.tasks import TaskSupervisor
from postroad.listeners.access import HANDSHAKE_SECONDS, AccessListener, Turned
from postroad.listeners.access_metrics import AccessDoorMetrics
from postroad.listeners.connection import Connection, Draining, Gone, Silent
from postroad.listeners.limits import Connections, Network, is_within
from postroad.listeners.tls import ServerTls
from postroad.protocols.ctrl.replies import TEXTS, Code, CtrlFailure
from postroad.protocols.ctrl.server import Command, CtrlServer, Greeting, Login, StartTls, Upload
from postroad.protocols.ctrl.states import State
from postroad.protocols.ctrl.wire import reply_line

IDLE_SECONDS = 120.0
SIGN_IN_SECONDS = 90.0  # for the login line, and within an upload

_BUSY = reply_line(-Code.BUSY, TEXTS[Code.BUSY])
WORDS = Turned(_BUSY, _BUSY)


@dataclass(frozen=True, slots=True)
class Done:
    """The command did what it should."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A list of rows, some at a time."""

    pages: AsyncIterator[Sequence[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class TextLines:
    """A list of lines as they are, without their ends."""

    lines: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Lines are wanted; `store` takes them, and may raise `CtrlFailure`."""

    store: Callable[[Sequence[bytes]], Awaitable[None]]


Answer = Done | Rows | TextLines | Wanted


class Caller(Protocol):
    """Somebody who signed in."""

    @property
    def name(self) -> str: ...
    async def answer(self, command: str, arguments: Sequence[str]) -> Answer:
        """Do what is asked. Raises `CtrlFailure`, `DatabaseUnavailable`."""
        ...


class ControlDesk(Protocol):
    """Who lets in, and knows the commands (`bridges.jdmail.control.desk`)."""

    @property
    def commands(self) -> frozenset[str]: ...
    async def may_connect(self, client: str) -> bool: ...
    async def sign_in(self, login: Login, client: str, *, takes_passwords: bool) -> Caller:
        """Say who it is. Raises `CtrlFailure`, `DatabaseUnavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class CtrlDoor:
    """What all sessions of one door share. `plain_auth_networks`: passwords are taken there without TLS."""

    product: str
    desk: ControlDesk
    clock: Callable[[], datetime]
    plain_auth_networks: Sequence[Network]
    metrics: AccessDoorMetrics
    tls: ServerTls | None
    idle_seconds: float = IDLE_SECONDS
    sign_in_seconds: float = SIGN_IN_SECONDS


def ctrl_listener(
    name: str, door: CtrlDoor, connections: Connections, tasks: TaskSupervisor | None = None
) -> AccessListener:
    """Make the listener of `ctrl` or `ctrls`."""

    async def serve(connection: Connection) -> None:
        await CtrlSession(door, connection).run()

    return AccessListener(
        name,
        serve,
        WORDS,
        connections=connections,
        metrics=door.metrics,
        tls=door.tls,
        is_tls_first=name == "ctrls",
        tasks=tasks,
    )


class CtrlSession:
    """One session, from the banner to the end."""

    def __init__(self, door: CtrlDoor, connection: Connection) -> None:
        self._door = door
        self._connection = connection
        self._log = structlog.get_logger("ctrl")
        self._caller: Caller | None = None
        self._wanted: Wanted | None = None
        now = door.clock()
        # Section 10: a number that nobody can guess, so that a digest is good for this session alone.
        timestamp = f"<{int(now.timestamp())}.{secrets.randbelow(10**18)}@{connection.server}>"
        date = format_datetime(now.astimezone(UTC).replace(tzinfo=None))
        self._engine = CtrlServer(
            Greeting(timestamp, door.product, date), offers_tls=door.tls is not None, is_tls=connection.is_tls
        )

    async def run(self) -> None:
        """Serve until either side ends it."""
        engine, connection = self._engine, self._connection
        try:
            await self._begin()
            while True:
                request = engine.next_request()
                await self._send()
                if engine.is_closed:
                    return
                if request is None:
                    if engine.is_mid_line:
                        connection.acknowledge()
                    engine.receive(await connection.read(self._patience()))
                else:
                    await self._serve(request)
        except Gone:
            return
        except Silent:
            self._door.metrics.timed_out.inc()  # section 1: closed without a word
        except Draining:
            connection.write(_BUSY)

    async def _begin(self) -> None:
        try:
            if await self._door.desk.may_connect(self._connection.client):
                self._engine.greet()
            else:
                self._log.info("ctrl.turned-away", client=self._connection.client)
                self._engine.turn_away(Code.BAD_CLIENT)
        except DatabaseUnavailable:
            self._engine.turn_away(Code.BUSY)

    def _patience(self) -> float:
        is_idle = self._engine.state is State.COMMANDS
        return self._door.idle_seconds if is_idle else self._door.sign_in_seconds

    async def _send(self) -> None:
        data = self._engine.output()
        if data:
            self._connection.write(data)
            await self._connection.drained()

    async def _serve(self, request: Login | StartTls | Command | Upload) -> None:
        if isinstance(request, Login):
            await self._sign_in(request)
        elif isinstance(request, StartTls):
            await self._start_tls()
        elif isinstance(request, Command):
            await self._command(request)
        else:
            await self._store(request)

    async def _start_tls(self) -> None:
        assert self._door.tls is not None
        try:
            await self._connection.start_tls(self._door.tls, HANDSHAKE_SECONDS)
        except Gone as reason:
            self._door.metrics.handshake_failed.inc()
            self._log.info("ctrl.handshake-failed", client=self._connection.client, reason=str(reason))
            raise
        self._engine.tls_established()

    async def _sign_in(self, login: Login) -> None:
        client = self._connection.client
        takes_passwords = self._connection.is_tls or is_within(client, self._door.plain_auth_networks)
        outcome = "no"
        try:
            self._caller = await self._door.desk.sign_in(login, client, takes_passwords=takes_passwords)
            self._log.info("ctrl.signed-in", name=self._caller.name, client=client)
            self._engine.signed_in()
            outcome = "ok"
        except CtrlFailure as failure:
            self._log.info("ctrl.sign-in-refused", name=login.name, client=client, reason=failure.code.name)
            self._engine.refuse_login(failure.code)
        except DatabaseUnavailable:
            self._engine.refuse_login(Code.BUSY)
        self._door.metrics.answered("login", outcome)

    async def _command(self, command: Command) -> None:
        assert self._caller is not None
        outcome = "no"
        try:
            answer = await self._caller.answer(command.name, command.arguments)
            await self._tell(answer)
            outcome = "ok"
        except CtrlFailure as failure:
            self._engine.fail(failure.code)
        except DatabaseUnavailable:
            self._engine.fail(Code.BUSY)
        name = command.name if command.name in self._door.desk.commands else "unknown"
        self._log.info(
            "ctrl.command",
            command=name,
            by=self._caller.name,
            client=self._connection.client,
            outcome=outcome,
        )
        self._door.metrics.answered(name, outcome)

    async def _tell(self, answer: Answer) -> None:
        engine = self._engine
        match answer:
            case Done():
                engine.done()
            case Wanted():
                self._wanted = answer
                engine.want_upload()
            case TextLines(lines):
                engine.begin_list()
                engine.lines(lines)
                engine.end_list()
            case Rows(pages):
                await self._tell_rows(pages)

    async def _tell_rows(self, pages: AsyncIterator[Sequence[Sequence[str]]]) -> None:
        # The first page before a word is said: what fails until then can still be told.
        page = await anext(pages, None)
        self._engine.begin_list()
        try:
            while page is not None:
                self._engine.rows(page)
                await self._send()
                page = await anext(pages, None)
        except (CtrlFailure, DatabaseUnavailable) as error:
            # A list cannot end in a failure; one that breaks off must not look whole.
            self._connection.abort()
            raise Gone from error
        self._engine.end_list()

    async def _store(self, upload: Upload) -> None:
        wanted, self._wanted = self._wanted, None
        assert wanted is not None
        try:
            await wanted.store(upload.lines)
            self._engine.done()
        except CtrlFailure as failure:
            self._engine.fail(failure.code)
        except DatabaseUnavailable:
            self._engine.fail(Code.BUSY)
