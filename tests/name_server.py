"""A small DNS server for tests, on a free port of the loopback interface, UDP and TCP: zones from a dict,
failures on demand.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

PORTS_TRIED = 20


class NameServer(asyncio.DatagramProtocol):
    """Answers from `zone`: {("example.org", "MX"): ["10 mx.example.org."]}.

    Names in `failing` get SERVFAIL, those in `silent` nothing, in `garbage` bytes that are no answer, in
    `strange` an answer to another question; those in `late` wait until `released`.
    """

    def __init__(self, zone: dict[tuple[str, str], list[str]], ttl: int = 300) -> None:
        self.zone = zone
        self.ttl = ttl
        self.negative_ttl: int | None = 30  # MINIMUM of the SOA that comes with absences; None: no SOA
        self.is_secure = False  # sets the AD bit
        self.follows_aliases = True
        self.failing: set[str] = set()
        self.silent: set[str] = set()
        self.garbage: set[str] = set()
        self.strange: set[str] = set()
        self.late: set[str] = set()
        self.released = asyncio.Event()
        self.asked: Counter[tuple[str, str]] = Counter()
        self.asked_by_tcp: Counter[str] = Counter()
        self.under_way = 0
        self.most_under_way = 0
        self.address = ""
        self._changed = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        host, port = transport.get_extra_info("sockname")[:2]
        self.address = f"{host}:{port}"

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        self._changed.set()
        query = dns.message.from_wire(data)
        answer = self._answer(query)
        if answer is None:
            return
        name = _asked_name(query)
        if name in self.garbage:
            self._transport.sendto(b"\x00garbage\xff", addr)
            self._transport.sendto(data[:2] + b"\x81\x80" + b"\xff" * 40, addr)
            return
        try:
            wire = answer.to_wire(max_size=query.payload or 512)
        except dns.exception.TooBig:
            short = dns.message.make_response(query, recursion_available=True)
            short.flags |= dns.flags.TC
            wire = short.to_wire()
        if name in self.late:
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            task = asyncio.create_task(self._send_late(wire, addr))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._transport.sendto(wire, addr)

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the questions of one connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                query = dns.message.from_wire(await reader.readexactly(size))
                self.asked_by_tcp[_asked_name(query)] += 1
                answer = self._answer(query)
                if answer is None:
                    break
                wire = answer.to_wire(max_size=65535)
                writer.write(len(wire).to_bytes(2, "big") + wire)
                await writer.drain()
        writer.close()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; looked at after each question."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    def close(self) -> None:
        """Send nothing more."""
        for task in self._tasks:
            task.cancel()
        if self._transport is not None:
            self._transport.close()

    async def _send_late(self, wire: bytes, addr: tuple[str, int]) -> None:
        try:
            await self.released.wait()
        finally:
            self.under_way -= 1
        assert self._transport is not None
        self._transport.sendto(wire, addr)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        name = _asked_name(query)
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked[name, kind] += 1
        if name in self.silent:
            return None
        if name in self.strange:
            query = dns.message.make_query("another.example", "A", id=query.id)
        answer = dns.message.make_response(query, recursion_available=True)
        if name in self.failing:
            answer.set_rcode(dns.rcode.SERVFAIL)
        else:
            self._fill(answer, name, kind)
        if self.is_secure:
            answer.flags |= dns.flags.AD
        return answer

    def _fill(self, answer: dns.message.Message, name: str, kind: str) -> None:
        for _ in range(8):
            texts = self.zone.get((name, kind))
            if texts is not None:
                answer.answer.append(dns.rrset.from_text(f"{name}.", self.ttl, "IN", kind, *texts))
                return
            alias = self.zone.get((name, "CNAME"))
            if alias is None:
                break
            answer.answer.append(dns.rrset.from_text(f"{name}.", self.ttl, "IN", "CNAME", *alias))
            if not self.follows_aliases:
                return
            name = alias[0].rstrip(".").lower()
        else:
            return  # as far as we follow
        if not any(known == name for known, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        if self.negative_ttl is not None:
            soa = f"ns.example. admin.example. 1 7200 900 1209600 {self.negative_ttl}"
            zone = name.rpartition(".")[2]
            answer.authority.append(dns.rrset.from_text(f"{zone}.", 3600, "IN", "SOA", soa))


def _asked_name(query: dns.message.Message) -> str:
    return query.question[0].name.to_text(omit_final_dot=True).lower()


@asynccontextmanager
async def name_server(zone: dict[tuple[str, str], list[str]], ttl: int = 300) -> AsyncIterator[NameServer]:
    """Run a name server for the body."""
    loop = asyncio.get_running_loop()
    for left in reversed(range(PORTS_TRIED)):
        transport, server = await loop.create_datagram_endpoint(
            lambda: NameServer(zone, ttl), local_addr=("127.0.0.1", 0)
        )
        port = transport.get_extra_info("sockname")[1]
        try:
            tcp = await asyncio.start_server(server.serve_tcp, "127.0.0.1", port)
            break
        except OSError:  # the port is free for UDP only
            transport.close()
            if not left:
                raise
    assert server.address, "without it the system's resolver would be asked"
    try:
        yield server
    finally:
        tcp.close()
        server.close()
