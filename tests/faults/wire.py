"""A proxy between asyncpg and PostgreSQL that breaks at one chosen message.

It reads the framing of the frontend/backend protocol 3.0 (PostgreSQL manual, 55.2 and 55.7) and nothing
else: a type byte, a length, a body. Messages of all connections are counted together from `arm` on, in
both directions, so "the 17th message" names a moment of a whole worker.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

LIMIT_BYTES = 2**20  # read ahead in each direction
_HEADER = struct.Struct("!ci")
_LENGTH = struct.Struct("!i")
_STARTUP = "startup"  # the first message of a connection has no type
_READY = "Z"
# What a server may answer with an error: each of these makes it work. Not Sync, Flush and Close.
_WORK = frozenset("QPBEdc")
_EXECUTES = frozenset((*"QEdc", "startup"))
_NO_SQL = b"no such statement"  # a syntax error wherever it stands


class Fault(Enum):
    """What happens at the chosen message; a value is what the tables print."""

    CLOSED = "connection closed"
    TERMINATED = "backend terminated (57P01)"
    DEADLOCK = "deadlock (40P01)"
    CANCEL = "cancel (57014)"
    DISK_FULL = "full disk (53100)"
    STALL = "stall"

    @property
    def is_answer(self) -> bool:
        """Whether the statement fails and the connection lives on."""
        return self in _ANSWERS


_ANSWERS = {
    Fault.DEADLOCK: ("40P01", "deadlock detected"),
    Fault.CANCEL: ("57014", "canceling statement due to user request"),
    Fault.DISK_FULL: ("53100", "could not extend file: No space left on device"),
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message that passed: its type letter, whether the client sent it, and on which connection.

    `is_idle`: the server is ready, outside any transaction.
    """

    type: str
    is_request: bool
    connection: int
    is_idle: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """A moment: before the message `number` (from 1) is passed on, or just after it was."""

    number: int
    is_after: bool = False

    def __str__(self) -> str:
        return f"{'after' if self.is_after else 'before'} {self.number}"


def crash_points(journal: list[Message], fault: Fault) -> list[Point]:
    """Every moment of a run at which `fault` can happen.

    After a message is before the next one, except where a connection falls idle: there the client finds out
    only when it comes back to it.
    """
    points: list[Point] = []
    for number, message in enumerate(journal, start=1):
        if fault.is_answer:
            if message.is_request and message.type in _WORK:
                points.append(Point(number))
            continue
        points.append(Point(number))
        if message.type == _READY and not message.is_request:
            points.append(Point(number, is_after=True))
    return points


def distinct(journal: list[Message], points: list[Point]) -> list[Point]:
    """The moments that are not like the one before: for the server, for asyncpg, or for both.

    A statement is begun, or it is done and nobody hears of it: whatever broke off between was rolled back,
    and asyncpg tells nothing of half an answer. A connection that falls idle is another matter; one in a
    transaction goes on at once. And connections that begin alike are alike: what was tried at the beginning
    of one is not tried again on the next, but for its very first message.
    """
    chosen: set[Point] = set()
    turns: dict[int, _Turn] = {}
    known: set[tuple[tuple[str, bool], ...]] = set()
    for number, message in enumerate(journal, start=1):
        turn = turns.setdefault(message.connection, _Turn(is_new=message.type == _STARTUP))
        turn.history.append((message.type, message.is_request))
        if turn.is_new and len(turn.history) > 1:
            history = tuple(turn.history)
            is_known = history in known
            known.add(history)
        else:
            is_known = False
        if not is_known and (turn.begins if message.is_request else turn.has_worked):
            chosen.add(Point(number))
        if message.is_idle and not is_known:
            chosen.add(Point(number, is_after=True))
        if message.is_request:
            turn.begins = False
            turn.has_worked |= message.type in _EXECUTES
        else:
            turn.begins = message.type == _READY
            turn.has_worked = False
    return [point for point in points if point in chosen]


@dataclass
class _Turn:
    """What went on last on one connection."""

    is_new: bool
    history: list[tuple[str, bool]] = field(default_factory=list)
    begins: bool = True  # the next request is the first one of a statement
    has_worked: bool = False  # the next answer tells of something that was done


@dataclass(eq=False)
class _Link:
    """One connection through the wire."""

    number: int
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    is_cut: bool = False
    is_stalled: bool = False
    in_transaction: bool = False
    error: Fault | None = None  # the next error of the server is told as this one
    swallows: bool = False  # answers up to that error are kept back

    def cut(self) -> None:
        """Close both ends; what was passed on still arrives."""
        self.is_cut = True
        for writer in (self.client, self.server):
            with suppress(OSError, RuntimeError):
                writer.close()


@dataclass
class Wire:
    """The proxy; `running` opens it. `dsn` is where clients connect."""

    dsn: str
    journal: list[Message] = field(default_factory=list)
    struck: Point | None = None  # where the fault really happened

    def __post_init__(self) -> None:
        self._fault: Fault | None = None
        self._point: Point | None = None
        self._is_counting = False
        self._passed = 0
        self._links: set[_Link] = set()
        self._connections = 0

    def arm(self, fault: Fault | None = None, point: Point | None = None) -> None:
        """Count from one, and let `fault` happen at `point`, once."""
        self.journal = []
        self.struck = None
        self._fault, self._point = fault, point
        self._is_counting = True

    def disarm(self) -> list[Message]:
        """Let everything pass from now on, but on what is stalled; gives what was counted."""
        self._is_counting = False
        self._fault = self._point = None
        return self.journal

    async def quiet(self, seconds: float) -> None:
        """Wait until nothing has passed for so long."""
        seen = -1
        while seen != self._passed:
            seen = self._passed
            await asyncio.sleep(seconds)

    # -- one connection

    async def serve(
        self, path: str, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter
    ) -> None:
        """Carry one connection to the server at the socket `path`, until either end closes."""
        try:
            server_reader, server_writer = await asyncio.open_unix_connection(path, limit=LIMIT_BYTES)
        except OSError:
            client_writer.close()
            return
        self._connections += 1
        link = _Link(self._connections, client_writer, server_writer)
        self._links.add(link)
        ways = [
            asyncio.create_task(self._requests(link, client_reader)),
            asyncio.create_task(self._answers(link, server_reader)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            link.cut()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._links.discard(link)

    async def _requests(self, link: _Link, reader: asyncio.StreamReader) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            (length,) = _LENGTH.unpack(head := await reader.readexactly(4))
            await self._carry(link, _STARTUP, head + await reader.readexactly(length - 4), True)
            while not link.is_cut:
                await self._carry(link, *await _read(reader), True)

    async def _answers(self, link: _Link, reader: asyncio.StreamReader) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            while not link.is_cut:
                kind, data = await _read(reader)
                if kind == _READY:
                    link.in_transaction = data[-1:] != b"I"
                if link.error is not None and kind == "E":
                    data = _error(*_ANSWERS[link.error], severity="ERROR")
                    link.error, link.swallows = None, False
                if not link.swallows:
                    await self._carry(link, kind, data, False)

    async def _carry(self, link: _Link, kind: str, data: bytes, is_request: bool) -> None:
        self._passed += 1
        if self._is_counting:
            is_idle = not is_request and kind == _READY and data[-1:] == b"I"
            self.journal.append(Message(kind, is_request, link.number, is_idle))
            if self._is_due(kind, is_request):
                data = await self._strike(link, kind, data, is_request)
        if link.is_stalled:
            # Whatever comes is lost; the client's end is noticed, as a firewall that forgot us would.
            return
        if not link.is_cut:
            await self._pass(link, data, is_request)

    async def _pass(self, link: _Link, data: bytes, is_request: bool) -> None:
        writer = link.server if is_request else link.client
        writer.write(data)
        await writer.drain()

    def _is_due(self, kind: str, is_request: bool) -> bool:
        if self._fault is None or self._point is None or len(self.journal) < self._point.number:
            return False
        if not self._fault.is_answer:
            return True
        return is_request and kind in _WORK  # the next one that can fail

    async def _strike(self, link: _Link, kind: str, data: bytes, is_request: bool) -> bytes:
        """Let the fault happen, once; gives what is passed on instead of the message."""
        assert self._fault is not None and self._point is not None
        fault, point = self._fault, self._point
        self._fault = self._point = None
        self.struck = Point(len(self.journal), point.is_after)
        if fault.is_answer:
            link.error = fault
            return self._spoilt(link, kind, data)
        if point.is_after:
            await self._pass(link, data, is_request)
        if fault is Fault.STALL:
            link.is_stalled = True
            return data
        if fault is Fault.TERMINATED:
            link.client.write(
                _error("57P01", "terminating connection due to administrator command", severity="FATAL")
            )
        link.cut()
        return data

    def _spoilt(self, link: _Link, kind: str, data: bytes) -> bytes:
        """A message that fails for certain, in its place: so the server knows of the failure, too."""
        if kind == "Q":
            if data[5:-1].strip(b"; ").upper() == b"COMMIT" and link.in_transaction:
                # A commit that fails has ended its transaction all the same.
                link.swallows = True
                return _frame("Q", b"ROLLBACK; SELECT 1 / 0\0")
            return _frame("Q", _NO_SQL + b"\0")
        if kind in ("d", "c"):
            return _frame("f", b"spoilt\0")
        return _frame("P", b"\0" + _NO_SQL + b"\0" + struct.pack("!h", 0))


@asynccontextmanager
async def running(upstream_dsn: str, directory: Path) -> AsyncIterator[Wire]:
    """Run a wire to the database at `upstream_dsn` (by its Unix socket) on a socket in `directory`."""
    parts = urlsplit(upstream_dsn)
    query = parse_qs(parts.query)
    port = query["port"][0]
    socket_name = f".s.PGSQL.{port}"
    path = str(Path(query["host"][0]) / socket_name)
    wire = Wire(urlunsplit(parts._replace(query=f"host={quote(str(directory), safe='')}&port={port}")))
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await wire.serve(path, reader, writer)
        finally:
            tasks.discard(task)

    server = await asyncio.start_unix_server(serve, str(directory / socket_name), limit=LIMIT_BYTES)
    try:
        yield wire
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    head = await reader.readexactly(5)
    kind, length = _HEADER.unpack(head)
    body = await reader.readexactly(length - 4)
    return kind.decode("ascii"), head + body


def _frame(kind: str, body: bytes) -> bytes:
    return _HEADER.pack(kind.encode("ascii"), len(body) + 4) + body


def _error(code: str, text: str, *, severity: str) -> bytes:
    """Make an ErrorResponse (55.8: severity twice, SQLSTATE, message)."""
    fields = ((b"S", severity), (b"V", severity), (b"C", code), (b"M", text))
    return _frame("E", b"".join(key + value.encode() + b"\0" for key, value in fields) + b"\0")
