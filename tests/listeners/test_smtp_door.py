"""The door under strain: failures behind it, limits, clients that vanish or dawdle, draining."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import socket
import ssl
import struct

from postroad.protocols.smtp.envelope import Role
from postroad.protocols.smtp.limits import ServerLimits
from tests.listeners.conftest import Opener, Running, until

ENVELOPE = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"


async def connected(door: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    assert (await reader.readline()).startswith(b"220 mx.example.com")
    writer.write(b"HELO client\r\n")
    assert (await reader.readline()).startswith(b"250")
    return reader, writer


def is_empty(door: Running) -> bool:
    return door.listener.open_sessions == 0


async def codes(reader: asyncio.StreamReader, count: int) -> list[int]:
    return [int((await reader.readline())[:3]) for _ in range(count)]


async def test_an_error_behind_the_door_is_an_answer(open_door: Opener) -> None:
    door = await open_door()
    reader, writer = await connected(door)
    writer.write(b"MAIL FROM:<broken@example.org>\r\n" + ENVELOPE + b"x\r\n.\r\n")
    assert await codes(reader, 5) == [451, 250, 250, 354, 250]

    async def fail() -> None:
        raise OSError("the disk is full")

    door.keeper.before_accept = fail
    writer.write(ENVELOPE + b"x\r\n.\r\nQUIT\r\n")
    assert await codes(reader, 5) == [250, 250, 354, 451, 221]
    assert await reader.read() == b""
    assert len(door.keeper.mails) == 1
    assert door.counted("postroad_smtp_failures_total", role="mx") == 2
    writer.close()


async def test_saving_has_a_deadline(open_door: Opener) -> None:
    door = await open_door(limits=ServerLimits(saving_seconds=0.05))
    was_cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            was_cancelled.set()

    door.keeper.before_accept = hang
    reader, writer = await connected(door)
    writer.write(ENVELOPE + b"x\r\n.\r\n")
    assert await codes(reader, 4) == [250, 250, 354, 451]
    assert was_cancelled.is_set()
    assert door.budget.held == 0
    writer.close()


async def test_a_client_that_resets_in_the_middle_of_a_pipeline(open_door: Opener) -> None:
    door = await open_door()
    gate = asyncio.Event()
    entered = asyncio.Event()

    async def wait() -> None:
        entered.set()
        await gate.wait()

    door.keeper.before_accept = wait
    raw = socket.create_connection(("127.0.0.1", door.port))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close sends RST
    mail = ENVELOPE + b"x\r\n.\r\n"
    await asyncio.to_thread(raw.sendall, b"EHLO c\r\n" + mail * 3)
    await entered.wait()
    raw.close()
    await until(lambda: door.listener.open_sessions == 0)
    gate.set()
    await until(lambda: len(door.keeper.mails) == 1)  # the one that was being saved is saved
    reader, writer = await connected(door)
    writer.write(mail)
    assert await codes(reader, 4) == [250, 250, 354, 250]
    assert len(door.keeper.mails) == 2
    assert door.budget.held == 0
    writer.close()


async def test_a_thousand_idle_connections_are_limited(open_door: Opener) -> None:
    door = await open_door(most_per_client=50)

    async def first_line() -> tuple[bytes, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        return await reader.readline(), writer

    greeted = []
    for _ in range(10):
        greeted += await asyncio.gather(*(first_line() for _ in range(100)))
    lines = [line for line, _ in greeted]
    assert sum(line.startswith(b"220") for line in lines) == 50
    assert sum(line.startswith(b"421 4.7.0") for line in lines) == 950
    await until(lambda: door.listener.open_sessions == 50)
    for _, writer in greeted:
        writer.close()
    await until(lambda: door.connections.open == 0)
    assert (await first_line())[0].startswith(b"220")
    assert door.counted("postroad_smtp_connections_total", role="mx", outcome="turned away") == 950


async def test_a_silent_client_is_sent_away(open_door: Opener) -> None:
    door = await open_door(limits=ServerLimits(idle_seconds=0.1))
    reader, writer = await connected(door)
    assert (await reader.readline()).startswith(b"421 4.4.2")
    assert await reader.read() == b""
    writer.close()
    await until(lambda: door.listener.open_sessions == 0)


async def test_a_dawdling_client_is_ended_by_the_total_time(open_door: Opener) -> None:
    door = await open_door(limits=ServerLimits(idle_seconds=5, session_seconds=0.3))
    reader, writer = await connected(door)
    writer.write(ENVELOPE)
    assert await codes(reader, 3) == [250, 250, 354]
    line = asyncio.create_task(reader.readline())
    while not line.done():
        writer.write(b"x")
        await asyncio.wait([line], timeout=0.02)
    assert (await line).startswith(b"421 4.4.2")
    assert door.keeper.mails == []
    writer.close()


async def test_time_of_ours_is_not_the_clients(open_door: Opener) -> None:
    door = await open_door(limits=ServerLimits(idle_seconds=0.05))
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    door.keeper.before_accept = wait
    reader, writer = await connected(door)
    writer.write(ENVELOPE + b"x\r\n.\r\n")
    asyncio.get_running_loop().call_later(0.3, gate.set)
    assert await codes(reader, 4) == [250, 250, 354, 250]
    writer.close()


async def test_content_beyond_the_memory_set_aside_is_put_off(open_door: Opener) -> None:
    door = await open_door(budget_bytes=100_000)
    reader, writer = await connected(door)
    writer.write(b"MAIL FROM:<a@example.org> SIZE=200000\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
    assert await codes(reader, 3) == [250, 250, 452]
    writer.write(ENVELOPE)
    assert await codes(reader, 3) == [250, 250, 354]
    for _ in range(50):
        writer.write(b"x" * 9998 + b"\r\n")
        await writer.drain()
    writer.write(b".\r\n" + ENVELOPE + b"small\r\n.\r\n")
    assert await codes(reader, 5) == [452, 250, 250, 354, 250]
    assert [content for _, content, _ in door.keeper.mails] == [b"small\r\n"]
    writer.close()
    await until(lambda: door.listener.open_sessions == 0)
    assert door.budget.held == 0


async def test_a_client_that_reads_nothing_stops_being_read(open_door: Opener) -> None:
    door = await open_door(limits=ServerLimits(idle_seconds=0.2, junk_commands=10**9))
    raw = socket.create_connection(("127.0.0.1", door.port))
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    flood = asyncio.ensure_future(loop.sock_sendall(raw, b"HELP\r\n" * 4_000_000))
    await until(lambda: door.listener.open_sessions == 1)
    await until(lambda: door.listener.open_sessions == 0)  # silent as far as we hear, so it is cut off
    await asyncio.wait([flood])
    assert flood.exception() is not None
    raw.close()


async def test_draining_finishes_mails_in_hand_and_ends_the_others(open_door: Opener) -> None:
    door = await open_door()
    idle_reader, idle_writer = await connected(door)
    reader, writer = await connected(door)
    writer.write(ENVELOPE)
    assert await codes(reader, 3) == [250, 250, 354]
    draining = asyncio.create_task(door.listener.drain(30))
    assert await codes(idle_reader, 1) == [421]
    writer.write(b"x\r\n.\r\n")
    assert await codes(reader, 2) == [250, 421]
    await draining
    assert len(door.keeper.mails) == 1
    for closing in (writer, idle_writer):
        closing.close()
    try:
        await asyncio.open_connection("127.0.0.1", door.port)
    except OSError:
        return
    raise AssertionError("the door still opens")


async def test_draining_is_bounded(open_door: Opener) -> None:
    door = await open_door()
    reader, writer = await connected(door)
    writer.write(ENVELOPE)
    await codes(reader, 3)
    await door.listener.drain(0.05)
    assert await codes(reader, 1) == [421]
    assert await reader.read() == b""
    writer.close()


async def test_a_half_closed_client_still_reads_its_answers(open_door: Opener) -> None:
    door = await open_door()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"HELO c\r\n" + ENVELOPE + b"x\r\n.\r\n")
    writer.write_eof()
    assert await codes(reader, 6) == [220, 250, 250, 250, 354, 250]
    assert await reader.read() == b""
    writer.close()


async def test_a_body_in_two_pieces_does_not_wait_for_a_delayed_acknowledgement(open_door: Opener) -> None:
    door = await open_door()
    reader, writer = await connected(door)
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
    for _ in range(20):
        writer.write(ENVELOPE)
        assert await codes(reader, 3) == [250, 250, 354]
        writer.write(b"x\r\n")
        writer.write(b".\r\n")
        assert await codes(reader, 1) == [250]
    assert len(door.keeper.mails) == 20
    writer.close()


async def test_garbage_instead_of_a_handshake(open_door: Opener) -> None:
    for role in (Role.SUBMISSION, Role.SUBMISSIONS):
        door = await open_door(role)
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        if role is Role.SUBMISSION:
            await reader.readline()
            writer.write(b"EHLO c\r\nSTARTTLS\r\n")
            while not (await reader.readline()).startswith(b"220"):
                pass
        writer.write(b"EHLO plain text\r\n" * 100)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        await until(functools.partial(is_empty, door))
        failed = door.counted("postroad_smtp_connections_total", role=role.value, outcome="handshake failed")
        assert failed == 1


async def test_commands_that_ride_on_the_end_of_the_handshake_are_obeyed(open_door: Opener) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for role in (Role.SUBMISSION, Role.SUBMISSIONS):
        door = await open_door(role)
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        if role is Role.SUBMISSION:
            await reader.readline()
            writer.write(b"EHLO c\r\nSTARTTLS\r\n")
            while not (await reader.readline()).startswith(b"220"):
                pass
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(incoming, outgoing)
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(65536))
        client.write(b"EHLO c\r\nMAIL FROM:<a@example.org>\r\nQUIT\r\n")
        writer.write(outgoing.read())  # the end of the handshake and the commands, in one piece
        answers = b""
        while not answers.endswith(b"221 2.0.0 Bye\r\n"):
            try:
                answers += client.read(65536)
            except ssl.SSLWantReadError:
                incoming.write(await reader.read(65536))
        assert b"530 5.7.0" in answers
        assert answers.startswith(b"220" if role is Role.SUBMISSIONS else b"250")
        writer.close()


async def test_commands_behind_starttls_are_not_obeyed_under_tls(open_door: Opener) -> None:
    door = await open_door(Role.MX)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    await reader.readline()
    writer.write(b"EHLO c\r\nSTARTTLS\r\nMAIL FROM:<evil@example.org>\r\n")
    while not (await reader.readline()).startswith(b"220"):
        pass
    writer.close()
    await until(lambda: door.listener.open_sessions == 0)
    assert door.keeper.senders == []


async def test_a_slow_half_mail_gives_up_its_memory_for_a_whole_one(open_door: Opener) -> None:
    door = await open_door(budget_bytes=200_000)
    slow = []
    for number in range(3):
        reader, writer = await connected(door)
        writer.write(ENVELOPE + b"x" * 60_000)
        assert await codes(reader, 3) == [250, 250, 354]
        await until(lambda count=number + 1: door.budget.held >= count * 60_000)  # type: ignore[misc]
        slow.append((reader, writer))
    reader, writer = await connected(door)
    writer.write(ENVELOPE)
    assert await codes(reader, 3) == [250, 250, 354]
    for _ in range(5):
        writer.write(b"y" * 9_998 + b"\r\n")
        await writer.drain()
    writer.write(b".\r\n")
    assert await codes(reader, 1) == [250]
    assert door.budget.let_go >= 1
    answers = []
    for half_reader, half_writer in slow:
        half_writer.write(b"\r\n.\r\n")
        answers += await codes(half_reader, 1)
    assert answers[0] == 452  # the one that had waited longest
    assert answers.count(250) + answers.count(452) == 3
    assert 250 in answers
    for _, each in [*slow, (reader, writer)]:
        each.close()
    await until(lambda: door.listener.open_sessions == 0)
    assert door.budget.held == 0


async def test_a_session_ends_when_who_signed_in_may_not_stay(open_door: Opener) -> None:
    door = await open_door(Role.MX)
    reader, writer = await connected(door)
    gate, entered = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        entered.set()
        await gate.wait()

    door.keeper.before_accept = wait
    token = base64.b64encode(b"\0user@example.com\0secret")
    writer.write(b"EHLO c\r\nAUTH PLAIN " + token + b"\r\n")
    while (await reader.readline()).startswith(b"250-"):
        pass
    assert await codes(reader, 1) == [235]
    writer.write(ENVELOPE + b"x\r\n.\r\n")
    await entered.wait()
    (end,) = door.passwords.watched
    end()  # with a mail in hand
    gate.set()
    assert await codes(reader, 4) == [250, 250, 354, 250]
    assert (await reader.readline()).startswith(b"421 4.7.0")
    assert await reader.read() == b""
    assert len(door.keeper.mails) == 1
    writer.close()
